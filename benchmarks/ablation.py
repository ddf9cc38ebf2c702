#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What each part of the default profile is worth: fits of a crop, with one part left out at a time.

Usage: python benchmarks/ablation.py LIGHTFIELD [--views 5] [--size 160] [--at Y,X] [--lmbda 4]

Prints J = D + lmbda * R of the real files. The rate of the weights counts as in a view of 512 x 512
pixels, in the fit and in J: small crops could not pay for the networks of a whole scene. What a
left-out part's trained weights were is cut out of the default table; the rest is kept.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import numpy as np

from sanrcodec import modelspec
from sanrcodec.container import SectionType, unpack
from sanrcodec.encoder import encode, presets
from sanrcodec.encoder.model import SceneModel
from sanrcodec.io import read_light_field

fit_module = sys.modules["sanrcodec.encoder.fit"]  # the package has a function of this name

_WHOLE = 512 * 512  # pixels of the view whose weights a crop pays its share of


Part = Callable[[], AbstractContextManager[Any]]


def _without(cuts: dict[str, tuple[slice, ...]] | None = None, **changes: int) -> Part:
    """The default profile with some changes, and what is left of the default weights."""
    profile = dataclasses.replace(presets.PROFILES["default"], **changes)
    table = dict(modelspec._trained())
    for name, cut in (cuts or {}).items():
        table[name] = table[name][cut]

    @contextmanager
    def part() -> Iterator[None]:
        with (
            patch.dict(presets.PROFILES, default=profile),
            patch.object(modelspec, "_trained", lambda: table),
        ):
            yield

    return part


def _columns(n: int) -> tuple[slice, ...]:
    return slice(None), slice(n)


_LEVELS = presets.PROFILES["default"].texture_levels
_GEOMETRY_LEVELS = presets.PROFILES["default"].geometry_levels
_N_VIEW_INPUTS = presets.PROFILES["default"].features + 2
_FRONT = (np.r_[0:1, 1 : 2 * _LEVELS - 1 : 2],)  # grids of the front layer, among both layers'

# What it is called, and how it is left out.
PARTS: dict[str, Part] = {
    "nothing": nullcontext,
    "geometry (profile sanr)": lambda: patch.dict(
        presets.PROFILES, default=presets.PROFILES["sanr"]
    ),
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
        {"texture.output.weight": _columns(_LEVELS)}, texture_hidden=0
    ),
    "the geometry trunk's hidden layer": _without(
        {"geometry.output.weight": _columns(_GEOMETRY_LEVELS)}, geometry_hidden=0
    ),
    "the color filter": _without(color_filter=0),
    "the color filter's hidden units": _without(filter_hidden=0),
    "the view MLP": _without(view_depth=0),
    "(y, x) as inputs of the view MLP": _without(
        {"view.hidden0.weight": _columns(_N_VIEW_INPUTS)}, spatial=0
    ),
    "corrections per view": _without(per_view=0),
    "trained default weights": lambda: patch.object(modelspec, "_trained", dict),
    "the search of the weights' steps": lambda: patch.object(
        SceneModel, "coarsen", lambda *_: None
    ),
    "the swept disparity as a guide": lambda: patch.object(fit_module, "_guide", lambda *_: None),
}


@click.command()
@click.argument("light_field", type=click.Path(exists=True, path_type=Path))
@click.option("--views", type=int, default=5, show_default=True, help="Of each axis, the middle.")
@click.option("--size", type=int, default=160, show_default=True)
@click.option("--at", default="0,0", show_default=True, help="Top left pixel of the crop.")
@click.option("--lmbda", type=float, default=4.0, show_default=True)
@click.option("--steps", type=int, default=600, show_default=True)
@click.option("--seeds", type=int, default=1, show_default=True)
@click.option("--only", multiple=True, help="Parts to leave out, by their names.")
def main(
    light_field: Path, views: int, size: int, at: str, lmbda: float, steps: int, seeds: int,
    only: tuple[str, ...],
) -> None:  # fmt: skip
    """Leave out one part of the default profile at a time."""
    samples = read_light_field(light_field).samples
    y, x = (int(n) for n in at.split(","))
    v, u = ((n - views) // 2 for n in samples.shape[:2])
    crop = np.ascontiguousarray(samples[v : v + views, u : u + views, y : y + size, x : x + size])
    share = size * size / _WHOLE
    whole = SceneModel.quantized_weights

    def quantized_weights(model: SceneModel) -> Any:
        weights, bits = whole(model)
        return weights, bits * share

    def cost(seed: int) -> tuple[float, float, float]:
        result = encode(crop, lmbda=lmbda, steps=steps, seed=seed)
        weights = unpack(result.content)[SectionType.WEIGHTS]
        n_bytes = len(result.content) - len(weights.payload) * (1 - share)
        mse = 255**2 / 10 ** (result.psnr_yuv / 10)
        return mse + lmbda * 8 * n_bytes / size**2, n_bytes, result.psnr_yuv

    base = None
    with patch.object(SceneModel, "quantized_weights", quantized_weights):
        for name in ("nothing", *only) if only else PARTS:
            with PARTS[name]():
                j, n_bytes, psnr = np.mean([cost(seed) for seed in range(seeds)], axis=0)
            base = base or j
            change = 100 * (j / base - 1)
            print(
                f"| {name} | {j:.3f} | {change:+.1f} % | {n_bytes:.0f} | {psnr:.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
