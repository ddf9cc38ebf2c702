# SPDX-License-Identifier: MIT
"""Named operating points: profiles (shape of the scene model) and presets (effort of the fit).

Must not import torch: the command line names them before it needs an encoder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sanrcodec.arguments import real, whole
from sanrcodec.bitstream.header import StreamHeader, margin_limit
from sanrcodec.errors import LightFieldError
from sanrcodec.lightfield import LightField

__all__ = [
    "DEFAULT_LMBDA",
    "FLAT_PROFILE",
    "OPTION_RANGES",
    "PRESETS",
    "PROFILES",
    "UNIT_LMBDA",
    "OptionRange",
    "Parallax",
    "Preset",
    "checked_number",
    "checked_whole",
    "gain_of",
    "make_header",
    "psnr_of_quality",
]

DEFAULT_LMBDA = 8.0
_MAX_SECONDS = 1e8  # three years
UNIT_LMBDA = 6.0  # whose latent step is 1
_DENSE_LMBDA = 10.0  # up to which latents move at the preset's full rate
_SMALL_VIEW = 256 * 256  # pixels below which a fit has more steps in the same time


class OptionRange(NamedTuple):
    """What a number that is asked for may be.

    Attributes:
        least, most: Both are allowed.
        above: ``least`` is not.
    """

    least: float
    most: float
    above: bool = False


# Name, as :func:`sanrcodec.encode` takes it -> its range.
OPTION_RANGES = {
    # Beyond this range the step of the latents is that of its ends.
    "lmbda": OptionRange(0.01, 10_000.0),
    "bpp": OptionRange(0, 100, above=True),
    "psnr": OptionRange(0, 100, above=True),
    "max_size": OptionRange(1, 2**30),
    "quality": OptionRange(1, 100),
    "steps": OptionRange(1, 1_000_000),
    "time_budget": OptionRange(0, _MAX_SECONDS, above=True),
    "checkpoint_seconds": OptionRange(0, _MAX_SECONDS),
    "seed": OptionRange(0, 2**63 - 1),
}

# Name -> the header values that the profile fixes; the others follow from the light field.
PROFILES: dict[str, Mapping[str, int]] = {
    "default": {
        "profile": 0, "layers": 2, "texture_levels": 7, "occluded_first": 1, "texture_hidden": 32,
        "features": 7, "color_filter": 1, "filter_hidden": 8, "attention": 1, "geometry_first": 1,
        "geometry_levels": 6, "geometry_hidden": 12, "slope_first": 1, "slope_levels": 5,
        "view_depth": 1, "view_hidden": 12, "spatial": 1, "arm_hidden": 16, "per_view": 1,
    },
    # SANR as published: latents and coordinates to color by an MLP, no explicit geometry.
    "sanr": {
        "profile": 1, "layers": 0, "texture_levels": 7, "occluded_first": 1, "texture_hidden": 32,
        "features": 16, "color_filter": 0, "filter_hidden": 0, "attention": 1, "geometry_first": 0,
        "geometry_levels": 0, "geometry_hidden": 0, "slope_first": 0, "slope_levels": 0,
        "view_depth": 2, "view_hidden": 48, "spatial": 1, "arm_hidden": 16, "per_view": 0,
    },
}  # fmt: skip

# For light fields whose views no geometry explains.
FLAT_PROFILE = "sanr"


@dataclass(frozen=True, slots=True)
class Preset:
    """Effort of the fit.

    Attributes:
        steps: Of the optimizer, for large views; see :meth:`steps_for`.
        views_per_step: Views whose error a step averages.
        latent_rate: Rate of the latents at the start, in latent steps.
        weight_rate: Rate of the networks' weights at the start, in real units.
        square_decay: Adam's decay of the mean square of gradients, per step.
        slopes: Whether colors change with the place of a view, by latents of their own.
        most_for_small: Times as many steps that the smallest views get.
    """

    steps: int
    views_per_step: int
    latent_rate: float = 0.1
    weight_rate: float = 1e-2
    square_decay: float = 0.99
    slopes: bool = True
    most_for_small: float = 1.0

    def steps_for(self, height: int, width: int) -> int:
        """Steps of a fit of such views: below 256 x 256 pixels more, in about the same time.

        Args:
            height: Of a view, in pixels.
            width: Of a view, in pixels.
        """
        times = min(self.most_for_small, max(1.0, _SMALL_VIEW / (height * width)))
        return round(self.steps * times)

    def latent_rate_at(self, lmbda: float) -> float:
        """Rate of the latents, less where they are sparse: those that stray cost the most there."""
        return self.latent_rate * math.pow(min(1.0, _DENSE_LMBDA / lmbda), 0.15)

    def model(self, profile: Mapping[str, int]) -> dict[str, int]:
        """Header values of a profile, without what so few steps make no use of."""
        return {**profile} if self.slopes else {**profile, "slope_levels": 0}


PRESETS = {
    # With so few steps, slopes cost a sixth of the time, and gain on some scenes what
    # they lose on others.
    "fast": Preset(
        steps=640,
        views_per_step=1,
        latent_rate=0.15,
        weight_rate=5e-3,
        square_decay=0.95,
        slopes=False,
        most_for_small=4.0,
    ),
    "medium": Preset(steps=16000, views_per_step=4),
    # More views pay off only where steps are many: in the time of medium, more steps gain more.
    "slow": Preset(steps=72000, views_per_step=8),
}


@dataclass(frozen=True, slots=True)
class Parallax:
    """How the views of a light field move against each other.

    Attributes:
        extent: Largest ``abs(disparity)``, in pixels per view.
        mirrored: The u axis runs against the v axis.
        axes_reversed: Both run the other way, so that the smallest disparity is the nearest.
        transposed: The rows of the grid move along x, the columns along y.
    """

    extent: float
    mirrored: bool = False
    axes_reversed: bool = False
    transposed: bool = False


def checked_number(name: str, value: float) -> float:
    """A number within the range of its option.

    Args:
        name: A key of :data:`OPTION_RANGES`.
        value: As it was given.

    Raises:
        LightFieldError: it is outside, or no number at all.
    """
    number = real(value, name)
    _check_range(name, number, value)
    return number


def checked_whole(name: str, value: float) -> int:
    """A number without a fraction within the range of its option.

    Args:
        name: A key of :data:`OPTION_RANGES`.
        value: As it was given; 5e4 does too.

    Raises:
        LightFieldError: it is outside, or no such number.
    """
    number = int(value) if isinstance(value, float) and value.is_integer() else whole(value, name)
    _check_range(name, number, value)
    return number


def _check_range(name: str, number: float, value: object) -> None:
    least, most, above = OPTION_RANGES[name]
    if least <= number <= most and not (above and number == least):
        return
    span = f"more than {least:g}, at most {most:g}" if above else f"{least:g} to {most:g}"
    raise LightFieldError(f"{name} is {value}, expected {span}")


def gain_of(lmbda: float) -> int:
    """Latent step in sixteenths: the error of a uniform quantizer grows with its step squared."""
    return int(min(255, max(1, round(16 * math.sqrt(lmbda / UNIT_LMBDA)))))


def psnr_of_quality(quality: float) -> float:
    """PSNR-YUV in dB that a step of the ladder 1..100 asks for: 25.25 to 50, a quarter each."""
    return 25 + quality / 4


def make_header(
    light_field: LightField, profile: Mapping[str, int], parallax: Parallax | None, gain: int
) -> StreamHeader:
    """Header of a light field.

    Args:
        light_field: Whose size counts, not its samples.
        profile: Header values, one of :data:`PROFILES` or like it.
        parallax: None for a profile without layers.
        gain: Size of a latent step in sixteenths, see :func:`gain_of`.

    Raises:
        LightFieldError: the profile has fewer features than the light field has channels.
        LimitError: the light field is larger than the format allows.
    """
    n_v, n_u, height, width, channels = light_field.shape
    one_view = n_v * n_u == 1
    layers = min(profile["layers"], 1) if one_view else profile["layers"]
    parallax = parallax or Parallax(0.0)
    limit = margin_limit(height, width)
    margin_y, margin_x = (
        min(limit, math.ceil(parallax.extent * (n - 1) / 2) + 1) if layers and not one_view else 0
        for n in ((n_u, n_v) if parallax.transposed else (n_v, n_u))
    )
    if profile["features"] < channels:
        raise LightFieldError(f"profile has {profile['features']} features for {channels} channels")
    of_light_field = {
        "n_v": n_v, "n_u": n_u, "height": height, "width": width, "channels": channels,
        "bit_depth": light_field.bit_depth, "margin_y": margin_y, "margin_x": margin_x,
        "mirrored": int(parallax.mirrored), "axes_reversed": int(parallax.axes_reversed),
        "transposed": int(parallax.transposed),
        "gain": gain,
    }  # fmt: skip
    restricted = {
        "layers": layers,
        "slope_levels": 0 if one_view else profile["slope_levels"],
        "per_view": int(profile["per_view"] and not one_view),
    }
    return StreamHeader(**{**profile, **restricted, **of_light_field})
