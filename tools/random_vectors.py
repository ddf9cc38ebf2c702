# SPDX-License-Identifier: MIT
"""Files of random integers for tests/vectors: corners of the format that no fit comes to.

Extreme weights and latents reach every clip of the format, and leave enough samples between 0 and
the peak to tell. tools/mutants.py says which clip, or other rule, each file would notice the lack
of. Must not write anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sanrcodec.bitstream import container
from sanrcodec.bitstream.container import SectionType
from sanrcodec.bitstream.grids import GEOMETRY, LATENT_MAX, Grid, grids
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.latents import pack_latents
from sanrcodec.bitstream.residuals import (
    BLOCK,
    DIAGONAL,
    LEVEL_MAX,
    MAX_FLAG,
    Tables,
    ViewResiduals,
    block_grid,
    pack_residuals,
)
from sanrcodec.bitstream.weights import pack_weights
from sanrcodec.scene.parts import bounded_weights, default_weights

__all__ = ["RECIPES", "TABLES", "Recipe", "content_of", "random_residuals"]

_BASE = {
    "n_v": 2, "n_u": 3, "height": 13, "width": 19, "channels": 3, "bit_depth": 16, "layers": 3,
    "margin_y": 4, "margin_x": 5, "mirrored": 1, "axes_reversed": 1, "transposed": 1,
    "gain": 23,
    "texture_levels": 4, "occluded_first": 1, "texture_hidden": 0, "features": 5, "color_filter": 1,
    "filter_hidden": 0, "attention": 0, "geometry_first": 1, "geometry_levels": 3,
    "geometry_hidden": 0, "slope_first": 0, "slope_levels": 0, "view_depth": 0, "view_hidden": 0,
    "spatial": 0, "arm_hidden": 4, "per_view": 1, "profile": 255,
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How a file of random integers is made.

    Attributes:
        covers: What it is there for.
        header: Fields that differ from those of the first file.
        spreads: By the beginning of a tensor's name, how far its weights lie from their defaults;
            the longest beginning counts.
        latent_width: Of the latents' Laplace distribution, in steps.
        extremes: Share of the latents that lie anywhere in their range.
        seed: Of the random numbers.
        from_zero: Weights lie around 0 instead of their defaults, and those of colors close to it.
        residuals: Share of the blocks of views that have one.
    """

    covers: str
    header: Mapping[str, int] = field(default_factory=dict)
    spreads: Mapping[str, int] = field(default_factory=dict)
    latent_width: float = 3.0
    extremes: float = 0.0
    seed: int = 0
    from_zero: bool = False
    residuals: float = 0.0


_LAYERS = {
    "texture_hidden": 3, "attention": 1, "filter_hidden": 3, "geometry_hidden": 3, "view_depth": 2,
    "view_hidden": 4,
}  # fmt: skip
_EXTREME = {
    "texture.attention": 60, "texture.hidden": 400, "texture.output": 400,
    "color_filter.hidden": 60, "color_filter": 2, "geometry": 60, "geometry.output": 30,
    "geometry.output.bias": 300, "slope": 250,
    "view.hidden": 60, "view.hidden0.bias": 900, "view.output": 3, "arm": 12, "per_view": 40,
}  # fmt: skip

RECIPES = {
    "random_three_layers": Recipe(
        "random integers: mirrored u, reversed, three layers, color filter, no gates or MLPs, "
        "16 bit"
    ),
    "extreme_four_layers": Recipe(
        "large random weights and latents: four layers of all levels, slopes, gates, "
        "hidden layers everywhere, not mirrored, reversed",
        {**_LAYERS, "layers": 4, "occluded_first": 0, "mirrored": 0, "features": 6, "n_v": 3,
         "n_u": 2, "texture_levels": 3, "slope_levels": 2, "height": 12, "width": 14,
         "margin_y": 2, "margin_x": 2},
        {**_EXTREME, "color_filter": 60, "view.output": 30}, latent_width=4.0, extremes=0.05,
        seed=1, from_zero=True,
    ),
    "extreme_gray": Recipe(
        "large random weights and latents: one channel, mirrored, not reversed, (y, x) seen",
        {**_LAYERS, "layers": 2, "channels": 1, "bit_depth": 13, "axes_reversed": 0, "spatial": 1,
         "features": 4, "height": 20, "width": 17, "margin_y": 5, "margin_x": 3,
         "geometry_first": 0, "slope_first": 2, "slope_levels": 3},
        {**_EXTREME, "slope": 5, "per_view": 500}, latent_width=4.0, extremes=0.05, seed=2,
        from_zero=True,
    ),
    "extreme_entropy_networks": Recipe(
        "large random weights of the entropy networks, and latents far from what they predict: "
        "escapes; neither mirrored nor reversed",
        {"mirrored": 0, "axes_reversed": 0, "transposed": 0, "layers": 2, "color_filter": 0,
         "arm_hidden": 3,
         "texture_levels": 5, "height": 15, "width": 18, "bit_depth": 9, "margin_y": 2,
         "margin_x": 3},
        {"arm": 700, "texture.output": 12, "geometry": 4, "per_view": 9}, latent_width=2.0,
        extremes=0.06, seed=3, from_zero=True,
    ),
    "flat_with_margins": Recipe(
        "no geometry, but margins, color filter, view network and corrections",
        {**_LAYERS, "layers": 0, "geometry_levels": 0, "geometry_hidden": 0, "view_depth": 1,
         "spatial": 1, "margin_y": 3, "margin_x": 5, "bit_depth": 8, "texture_levels": 5},
        {"texture": 60, "color_filter": 40, "view.hidden": 60, "view.output": 20, "per_view": 90,
         "view_gain": 4500,
         "arm": 12}, seed=4,
    ),
    "extreme_view_network": Recipe(
        "large random weights of the view network, and views far outside of the grid",
        {**_LAYERS, "layers": 0, "geometry_levels": 0, "geometry_hidden": 0, "color_filter": 0,
         "filter_hidden": 0, "spatial": 1, "margin_y": 0, "margin_x": 0, "bit_depth": 12,
         "texture_levels": 3, "n_v": 3, "height": 16},
        {**_EXTREME, "texture.output": 100, "view.hidden": 20, "view.output": 12000,
         "per_view": 1500, "view_gain": 1500},
        latent_width=4.0, extremes=0.05, seed=7, from_zero=True,
    ),
    "large_grid": Recipe(
        "1 x 1024 views: disparities and positions at the limits that 32 bits set",
        {"n_v": 1, "n_u": 1024, "layers": 1, "mirrored": 0, "axes_reversed": 0,
         "transposed": 0, "height": 10,
         "width": 60, "margin_y": 1, "margin_x": 15, "color_filter": 0, "geometry_levels": 3,
         "geometry_first": 0, "view_depth": 1, "view_hidden": 3, "bit_depth": 10, "features": 3},
        {"texture.output": 16, "geometry.output": 6000, "view": 30, "arm": 8, "per_view": 0,
         "view_gain": 0},
        latent_width=0.4, seed=5,
    ),
    "untrained_shapes": Recipe(
        "tensors larger than the trained ones, which begin as hashed numbers; many levels",
        {"n_v": 2, "n_u": 2, "layers": 1, "height": 9, "width": 40, "margin_y": 0, "margin_x": 2,
         "features": 8, "texture_levels": 9, "texture_hidden": 33, "filter_hidden": 9,
         "attention": 1, "geometry_levels": 8, "geometry_hidden": 13, "geometry_first": 0,
         "view_depth": 1, "view_hidden": 13, "arm_hidden": 17, "bit_depth": 8, "mirrored": 0},
        {"": 1, "per_view": 20}, latent_width=1.0, seed=6,
    ),
    "residuals": Recipe(
        "residuals of single views: all flags, levels beyond each clip, blocks that reach beyond "
        "the views",
        {"n_v": 3, "n_u": 3, "height": 27, "width": 37, "bit_depth": 8, "layers": 1,
         "color_filter": 0, "view_depth": 0},
        {"texture": 10, "geometry": 10, "arm": 8, "per_view": 20}, latent_width=1.0, seed=8,
        residuals=0.3,
    ),
    "residuals_gray": Recipe(
        "residuals of gray views, 11 bit, without geometry",
        {"n_v": 2, "n_u": 2, "height": 17, "width": 20, "bit_depth": 11, "layers": 0,
         "channels": 1, "geometry_levels": 0, "color_filter": 0, "margin_y": 0, "margin_x": 0},
        {"texture": 10, "arm": 8, "per_view": 20}, latent_width=1.0, seed=9, residuals=0.4,
    ),
}  # fmt: skip


def content_of(recipe: Recipe) -> bytes:
    """The file of a recipe."""
    random = np.random.default_rng(recipe.seed)
    header = StreamHeader(**{**_BASE, **recipe.header})
    defaults = default_weights(header)
    weights = {}
    for name, default in defaults.items():
        found = [begin for begin in recipe.spreads if name.startswith(begin)]
        spread = recipe.spreads[max(found, key=len)] if found else 20
        difference = random.integers(-spread, spread + 1, default.shape).astype(np.int32)
        weights[name] = difference if recipe.from_zero else default + difference
    if recipe.from_zero:
        # Colors stay near the range of samples, while other features take all of theirs.
        rows = weights["texture.output.weight"][: header.channels]
        rows[:] = random.integers(-1, 2, rows.shape)
        weights["texture.output.bias"][: header.channels] = 0
    weights["texture.output.bias"][0] = 512  # half a scale of luma
    if header.n_u > 256:
        weights["geometry.output.bias"][:] = 3  # moves the outermost views by a few pixels
        weights["per_view"][-1] = (0, 32767, 5, -9, 3)
        weights["per_view"][0] = (0, -32767, 0, 0, 0)
    if "per_view" in weights and recipe.from_zero:
        weights["per_view"][:, 2:] //= 64  # pixels and luma
    weights = bounded_weights(header, weights)
    latents = [_latents(random, recipe, grid) for grid in grids(header)]
    sections: list[tuple[int, bytes]] = [
        (SectionType.HEADER, header.pack()),
        (SectionType.WEIGHTS, pack_weights(defaults, weights)),
        (SectionType.LATENTS, pack_latents(header, weights, latents)),
    ]
    if recipe.residuals:
        views = random_residuals(random, header, recipe.residuals)
        sections.append((SectionType.RESIDUALS, pack_residuals(header, TABLES, views)))
    return container.pack(sections)


TABLES = Tables(
    26,
    ((1, 3), (2, 6), (3, 9), (-1, 12)),
    ((24, 20, 16, 12, 11, 9, 7, 6, 4, 3, 2, 1, 0, 0, 1), (20, 19, 15, 10, 9, 9, *9 * (5,))),
)


def random_residuals(
    random: np.random.Generator, header: StreamHeader, share: float
) -> list[ViewResiduals]:
    """Residuals of a share of the blocks, a few of their levels as large as can be."""
    rows, columns = block_grid(header)
    views = []
    for _ in range(header.n_v * header.n_u):
        places = np.flatnonzero(random.random(rows * columns) < share)
        flags = random.integers(1, MAX_FLAG + 1, len(places)).astype(np.int32)
        if header.channels == 3:
            flags *= random.choice([-1, 1], len(places)).astype(np.int32)
        shape = len(places), header.channels, BLOCK * BLOCK
        levels = np.rint(random.laplace(0, 4.0 / (1 + DIAGONAL), shape)).astype(np.int32)
        extreme = random.integers(-LEVEL_MAX, LEVEL_MAX + 1, shape)
        levels = np.where(random.random(shape) < 0.002, extreme, levels).astype(np.int32)
        levels[flags > 0, 1:] = 0
        views.append(ViewResiduals(places, flags, levels))
    return views


def _latents(random: np.random.Generator, recipe: Recipe, grid: Grid) -> Any:
    shape = grid.shape
    latents = np.rint(random.laplace(0, recipe.latent_width, shape)).astype(np.int32)
    if recipe.extremes:
        anywhere = random.integers(-LATENT_MAX, LATENT_MAX + 1, shape, np.int32)
        # Runs of the largest ones make filters overshoot.
        anywhere = np.where(random.random(shape) < 0.6, np.sign(anywhere) * LATENT_MAX, anywhere)
        latents = np.where(random.random(shape) < recipe.extremes, anywhere, latents)
        if latents.size < 64 and grid.group != GEOMETRY and random.random() < 0.5:
            # A plane of the largest ones with holes, which upsampling overshoots.
            latents = np.where(random.random(shape) < 0.15, 0, LATENT_MAX)
    return np.clip(latents, -LATENT_MAX, LATENT_MAX).astype(np.int32)
