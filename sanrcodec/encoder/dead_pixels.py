# SPDX-License-Identifier: MIT
"""Pixels that an aperture hides, as at the rim of a lenslet's image: found, and filled for the fit.

No scene holds them, and a fit that tries bends it to them. Must not change what is coded against:
only a fit sees filled views, and quality is measured on those that were given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from sanrcodec.encoder.exposure import BLACK, Exposure, bright_luma, luma_of
from sanrcodec.lightfield import LightField, StoredSamples

__all__ = ["Mask", "describe_dead_pixels", "filled", "find_dead_pixels", "without_dead_pixels"]

_LIT = 2.0  # times black; what is not so dark may be the edge of something black
_LEAST_VOTERS, _AGREEING = 3, 0.75

Mask = npt.NDArray[np.bool_]


def find_dead_pixels(
    light_field: LightField, exposure: Exposure, extent: float
) -> dict[tuple[int, int], Mask]:
    """Black pixels where the views around show nothing that is nearly black.

    What is black in the scene is so in other views too, not farther away than a view's parallax.
    Three quarters of the views next to it must be lit there: what comes from behind an outline or
    from beyond the frame is seen by the views on one side.

    Args:
        light_field: With any number of views; only those around speckled ones are read.
        exposure: Of the light field.
        extent: Largest disparity, in pixels per view.

    Returns:
        bool ``[H, W]`` of each view that has some.
    """
    reach = math.ceil(extent) + 1
    lit: dict[tuple[int, int], Mask] = {}
    found: dict[tuple[int, int], Mask] = {}
    usable = ~exposure.is_dark
    for v, u in np.argwhere(exposure.is_speckled).tolist():
        around = [
            (v + i, u + j)
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
            if (i or j) and 0 <= v + i < usable.shape[0] and 0 <= u + j < usable.shape[1]
        ]
        around = [place for place in around if usable[place]]
        if len(around) < _LEAST_VOTERS:
            continue
        # Views come row by row: of those before, few are needed again.
        lit = {place: kept for place, kept in lit.items() if place[0] >= v - 1}
        for place in around:
            if place not in lit:
                lit[place] = _is_lit(light_field.view(*place), reach)
        votes = np.sum([lit[place] for place in around], 0)
        luma = luma_of(light_field.view(v, u))
        dead = (luma < BLACK * bright_luma(luma)) & (votes >= _AGREEING * len(around))
        if dead.any():
            found[v, u] = dead
    return found


def without_dead_pixels(
    light_field: LightField, dead: Mapping[tuple[int, int], Mask]
) -> LightField:
    """The light field with its dead pixels filled when a view is read."""
    if not dead:
        return light_field
    return LightField(_Filled(light_field, dead), light_field.bit_depth)


def describe_dead_pixels(dead: Mapping[tuple[int, int], Mask]) -> str:
    """Say in one line how many there are, and what becomes of them."""
    total = sum(int(mask.sum()) for mask in dead.values())
    (v, u), worst = max(dead.items(), key=lambda item: float(item[1].mean()))
    return (
        f"{total} black pixels in {len(dead)} views are lit in the views around, most in view "
        f"{v},{u} ({100 * worst.mean():.1f} %): the aperture hides them. They decode like the "
        "pixels around them; --views leaves rows and columns out"
    )


def filled(view: npt.NDArray[np.generic], dead: Mask) -> npt.NDArray[np.generic]:
    """A view ``[H, W, C]`` whose dead pixels ``[H, W]`` are means of the live ones around them."""
    height, width = dead.shape
    shifts = [(slice(y, y + height), slice(x, x + width)) for y in range(3) for x in range(3)]
    known = ~dead
    colors = np.where(dead[..., None], 0, view).astype(np.float64)
    # From the edges of holes inward, a pixel at a time.
    while known.any() and not known.all():
        padded = np.pad(colors, ((1, 1), (1, 1), (0, 0)))
        number = np.pad(known, 1).astype(np.int64)
        n_around = np.sum([number[shift] for shift in shifts], 0)
        around = np.sum([padded[shift] for shift in shifts], 0)
        reached = ~known & (n_around > 0)
        colors[reached] = around[reached] / n_around[reached, None]
        known |= reached
    return np.rint(colors).astype(view.dtype)


class _Filled(StoredSamples):
    """Samples of a light field, of which some views are filled when they are read."""

    def __init__(self, light_field: LightField, dead: Mapping[tuple[int, int], Mask]) -> None:
        self.shape, self.dtype = light_field.shape, light_field.dtype
        self._light_field, self._dead = light_field, dead

    def __getitem__(self, index: tuple[int, int]) -> np.ndarray:
        view = self._light_field.view(*index)
        dead = self._dead.get(index)
        return view if dead is None else filled(view, dead)


def _is_lit(view: npt.NDArray[np.generic], reach: int) -> Mask:
    """Where nothing nearly black ``[H, W]`` is within reach of a view's pixel."""
    luma = luma_of(view)
    dark = torch.from_numpy(luma < _LIT * BLACK * bright_luma(luma)).float()[None, None]
    for kernel in ((2 * reach + 1, 1), (1, 2 * reach + 1)):
        dark = F.max_pool2d(dark, kernel, 1, (kernel[0] // 2, kernel[1] // 2))
    is_lit: Mask = (dark[0, 0] == 0).numpy()
    return is_lit
