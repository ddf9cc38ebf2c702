# SPDX-License-Identifier: MIT
"""Named operating points: profiles (shape of the scene model) and presets (effort of the fit)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sanrcodec.errors import LightFieldError
from sanrcodec.header import StreamHeader
from sanrcodec.lightfield import LightField

__all__ = ["PRESETS", "PROFILES", "UNIT_LMBDA", "Preset", "Profile", "gain_of", "make_header"]


UNIT_LMBDA = 6.0  # whose latent step is 1
_DENSE_LMBDA = 10.0  # up to which latents move at the preset's full rate


@dataclass(frozen=True, slots=True)
class Profile:
    """Shape of the scene model, in the terms of :class:`~sanrcodec.header.StreamHeader`."""

    number: int
    layers: int
    texture_hidden: int
    features: int
    color_filter: int
    filter_hidden: int
    geometry_first: int
    geometry_levels: int
    geometry_hidden: int
    view_depth: int
    view_hidden: int
    spatial: int
    arm_hidden: int
    per_view: int
    attention: int = 1
    occluded_first: int = 1
    texture_levels: int = 7


PROFILES = {
    "default": Profile(
        number=0, layers=2, texture_hidden=32, features=7, color_filter=1, filter_hidden=8,
        geometry_first=1, geometry_levels=6, geometry_hidden=12, view_depth=1, view_hidden=12,
        spatial=1, arm_hidden=16, per_view=1,
    ),
    # SANR as published: latents and coordinates to colour by an MLP, no explicit geometry.
    "sanr": Profile(
        number=1, layers=0, texture_hidden=32, features=16, color_filter=0, filter_hidden=0,
        geometry_first=0, geometry_levels=0, geometry_hidden=0, view_depth=2, view_hidden=48,
        spatial=1, arm_hidden=16, per_view=0,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Preset:
    """Effort of the fit."""

    steps: int
    views_per_step: int
    latent_rate: float = 0.1
    weight_rate: float = 1e-2

    def latent_rate_at(self, lmbda: float) -> float:
        """Rate of the latents, less where they are sparse: those that stray cost the most there."""
        return self.latent_rate * min(1.0, _DENSE_LMBDA / lmbda) ** 0.15


PRESETS = {
    "fast": Preset(steps=800, views_per_step=1, latent_rate=0.15),
    "medium": Preset(steps=8000, views_per_step=4),
    "slow": Preset(steps=20000, views_per_step=4),
}


def gain_of(lmbda: float) -> int:
    """Latent step in sixteenths: the error of a uniform quantizer grows with its step squared."""
    return int(min(255, max(1, round(16 * math.sqrt(lmbda / UNIT_LMBDA)))))


def make_header(
    light_field: LightField,
    profile: Profile,
    extent: float,
    mirrored: bool,
    reversed: bool,
    gain: int,
) -> StreamHeader:
    """Header for a light field whose largest disparity is ``extent`` pixels per view.

    ``gain`` is the size of a latent step in sixteenths, see :func:`gain_of`.
    """
    n_v, n_u, height, width, channels = light_field.shape
    layers = profile.layers if n_v * n_u > 1 else min(profile.layers, 1)
    limit = max(height, width) // 4 + 1
    margins = [
        min(limit, math.ceil(extent * (n - 1) / 2) + 1) if layers and n_v * n_u > 1 else 0
        for n in (n_v, n_u)
    ]
    if profile.features < channels:
        raise LightFieldError(f"profile has {profile.features} features for {channels} channels")
    return StreamHeader(
        n_v=n_v, n_u=n_u, height=height, width=width, channels=channels,
        bit_depth=light_field.bit_depth, layers=layers, margin_y=margins[0],
        margin_x=margins[1], mirrored=int(mirrored), reversed=int(reversed), gain=gain,
        texture_levels=profile.texture_levels, occluded_first=profile.occluded_first,
        texture_hidden=profile.texture_hidden, features=profile.features,
        color_filter=profile.color_filter, filter_hidden=profile.filter_hidden,
        attention=profile.attention,
        geometry_first=profile.geometry_first, geometry_levels=profile.geometry_levels,
        geometry_hidden=profile.geometry_hidden, view_depth=profile.view_depth,
        view_hidden=profile.view_hidden, spatial=profile.spatial, arm_hidden=profile.arm_hidden,
        per_view=int(profile.per_view and n_v * n_u > 1), profile=profile.number,
    )  # fmt: skip
