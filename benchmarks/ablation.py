#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What each part of the default profile is worth: fits of a crop, with one part left out at a time.

Usage: python benchmarks/ablation.py LIGHTFIELD [--views 5] [--size 160] [--at Y,X] [--lmbda 4]

Prints J = D + lmbda * R of the real files. The rate of the weights counts as in a view of 512 x 512
pixels, in the fit and in J: small crops could not pay for the networks of a whole scene. What a
left-out part's trained weights were is cut out of the default table; the rest is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import click
import numpy as np
import torch
from torch import Tensor

from sanrcodec.bitstream import defaults
from sanrcodec.bitstream.container import SectionType
from sanrcodec.encoder.export import export
from sanrcodec.encoder.fitting import fit
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.schedule import DEFAULT_SCHEDULE, Schedule
from sanrcodec.encoder.sweep import estimate_geometry
from sanrcodec.io import read_light_field
from sanrcodec.lightfield import LightField
from sanrcodec.metrics import light_field_psnr_yuv
from sanrcodec.presets import PRESETS, PROFILES, gain_of, make_header

_WHOLE = 512 * 512  # pixels of the view whose weights a crop pays its share of
_PRESET = PRESETS["medium"]
_DEFAULT = PROFILES["default"]

Table = Mapping[str, np.ndarray]


class CropModel(SceneModel):
    """The scene model of a crop, whose weights cost as little as if they served a whole view."""

    weight_share = 1.0

    def quantized_weights(self) -> tuple[dict[str, Tensor], Tensor]:
        """As the scene model, at a share of the bits."""
        weights, bits = super().quantized_weights()
        return weights, bits * self.weight_share


@dataclass(frozen=True)
class Variant:
    """The encoder without one of its parts.

    Attributes:
        profile: Header values.
        schedule: Of the fit.
        cuts: Name of a trained tensor -> what is left of it.
        trained: Whether there are trained weights at all.
    """

    profile: Mapping[str, int] = field(default_factory=lambda: _DEFAULT)
    schedule: Schedule = DEFAULT_SCHEDULE
    cuts: Mapping[str, tuple[slice | np.ndarray, ...]] = field(default_factory=dict)
    trained: bool = True

    def table(self) -> dict[str, np.ndarray]:
        """The trained weights that fit what is left."""
        if not self.trained:
            return {}
        table = defaults.trained_weights()
        return {**table, **{name: table[name][cut] for name, cut in self.cuts.items()}}


def _without(
    cuts: Mapping[str, tuple[slice | np.ndarray, ...]] | None = None, **changes: int
) -> Variant:
    """The default profile with some changes, and what is left of the default weights."""
    return Variant(profile={**_DEFAULT, **changes}, cuts=cuts or {})


def _columns(n: int) -> tuple[slice, ...]:
    return slice(None), slice(n)


_N_VIEW_INPUTS = _DEFAULT["features"] + 2
# Grids of the front layer, among both layers'.
_FRONT = (np.r_[0:1, 1 : 2 * _DEFAULT["texture_levels"] - 1 : 2],)

# What it is called, and how it is left out.
VARIANTS: dict[str, Variant] = {
    "nothing": Variant(),
    "geometry (profile sanr)": Variant(profile=PROFILES["sanr"]),
    "the occluded layer": _without(
        {
            "arm.texture.grid_bias": _FRONT,
            "geometry.output.weight": (slice(1),),
            "geometry.output.bias": (slice(1),),
        },
        layers=1,
    ),
    "scale attention": _without(attention=0),
    "the texture trunk's hidden layer": _without(
        {"texture.output.weight": _columns(_DEFAULT["texture_levels"])}, texture_hidden=0
    ),
    "the geometry trunk's hidden layer": _without(
        {"geometry.output.weight": _columns(_DEFAULT["geometry_levels"])}, geometry_hidden=0
    ),
    "the color filter": _without(color_filter=0),
    "the color filter's hidden units": _without(filter_hidden=0),
    "the view MLP": _without(view_depth=0),
    "(y, x) as inputs of the view MLP": _without(
        {"view.hidden0.weight": _columns(_N_VIEW_INPUTS)}, spatial=0
    ),
    "corrections per view": _without(per_view=0),
    "trained default weights": Variant(trained=False),
    "the search of the weights' steps": Variant(schedule=replace(DEFAULT_SCHEDULE, coarsens=False)),
    "the swept disparity as a guide": Variant(schedule=replace(DEFAULT_SCHEDULE, guide_weight=0.0)),
}


def encode_crop(
    crop: LightField, variant: Variant, lmbda: float, steps: int, seed: int, device: str
) -> tuple[float, float, float]:
    """Fit a crop and code it.

    Returns:
        J, the bytes that count, and PSNR-YUV in dB.
    """
    height, width = crop.shape[2:4]
    share = height * width / _WHOLE
    with torch.no_grad():
        geometry = estimate_geometry(crop, device) if variant.profile["layers"] else None
    table = variant.table()
    with patch.object(defaults, "trained_weights", lambda: table):
        parallax = geometry.parallax if geometry else None
        model = CropModel(make_header(crop, variant.profile, parallax, gain_of(lmbda)), device)
        model.weight_share = share
        fit(
            model, crop, geometry, _PRESET, lmbda=lmbda, steps=steps, seed=seed,
            schedule=variant.schedule,
        )  # fmt: skip
        content, decoded = export(model, None)
        psnr = light_field_psnr_yuv(crop.views(), decoded.views(), crop.bit_depth).mean
    weights = decoded.sections[SectionType.WEIGHTS].payload
    n_bytes = len(content) - len(weights) * (1 - share)
    mse = 255**2 / 10 ** (psnr / 10)
    return mse + lmbda * 8 * n_bytes / (height * width), n_bytes, psnr


@click.command()
@click.argument("light_field", type=click.Path(exists=True, path_type=Path))
@click.option("--views", type=int, default=5, show_default=True, help="Of each axis, the middle.")
@click.option("--size", type=int, default=160, show_default=True)
@click.option("--at", default="0,0", show_default=True, help="Top left pixel of the crop.")
@click.option("--lmbda", type=float, default=4.0, show_default=True)
@click.option("--steps", type=int, default=600, show_default=True)
@click.option("--seeds", type=int, default=1, show_default=True)
@click.option("--only", multiple=True, help="Parts to leave out, by their names.")
@click.option("--device", default="cuda" if torch.cuda.is_available() else "cpu")
def main(
    light_field: Path, views: int, size: int, at: str, lmbda: float, steps: int, seeds: int,
    only: tuple[str, ...], device: str,
) -> None:  # fmt: skip
    """Leave out one part of the default profile at a time."""
    whole = read_light_field(light_field)
    y, x = (int(n) for n in at.split(","))
    v, u = ((n - views) // 2 for n in whole.grid)
    samples = whole.samples[v : v + views, u : u + views, y : y + size, x : x + size]
    crop = LightField(np.ascontiguousarray(samples), whole.bit_depth)
    base = None
    for name in ("nothing", *only) if only else VARIANTS:
        figures = [
            encode_crop(crop, VARIANTS[name], lmbda, steps, seed, device) for seed in range(seeds)
        ]
        j, n_bytes, psnr = np.mean(figures, axis=0)
        base = base or j
        change = 100 * (j / base - 1)
        print(f"| {name} | {j:.3f} | {change:+.1f} % | {n_bytes:.0f} | {psnr:.2f} |", flush=True)


if __name__ == "__main__":
    main()
