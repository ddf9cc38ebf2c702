# SPDX-License-Identifier: MIT
"""Residuals with which a small object of a rare color has that color in every view.

Where its outline lies between pixels in some views, a scene shows it pale or too large in these,
which hardly raises the error of a view. An eye sees its color, the mean over its pixels. So levels
are moved until that is right. Must not choose what pays. See format_spec.md section 8.6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sanrcodec.bitstream.residuals import (
    BLOCK,
    LEVEL_MAX,
    MAX_FLAG,
    Tables,
    ViewResiduals,
    level_scales,
    step_of,
)
from sanrcodec.color import ycc
from sanrcodec.encoder.block_errors import BlockErrors, transformed
from sanrcodec.encoder.residual_choice import LEVELS_PER_UNIT, Choice, level_bits
from sanrcodec.scene.residuals import add_residuals

__all__ = ["SpotColors"]

# By how much the mean color of an object may be off, in levels of 8 bits: by as much as few would
# see, or as the errors around it hide, in units of their root mean square.
_OFF, _OFF_HIDDEN = 9.0, 1.8
_NEAR = 3.0  # levels within which the mean of a plane is put right
_LEAST_PIXELS = 12.0  # of an object, in a block and those around it
_COARSEST = 64.0  # step in levels; that of a mean is an eighth
_LEAST_GAIN = 0.5  # levels of the mean, by a move
_LEAST_COST = 1e-6  # of a move: what costs nothing is judged by what it moves
_N_ROUNDS = 4  # of levels and of what they make of the samples, which are clipped

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.int32]


class SpotColors:
    """Blocks of all views that have pixels of a rare color.

    Args:
        errors: Of each view.

    Attributes:
        candidates: int64 ``[m]``, which of the candidates of all views they are.
    """

    def __init__(self, errors: Sequence[BlockErrors]) -> None:
        rare, columns = [view.rare for view in errors], errors[0].squares.shape[1]
        starts = np.cumsum([0, *(len(view.places) for view in errors)])
        self.candidates = np.concatenate([s + r.at for s, r in zip(starts, rare, strict=False)])
        # Numbers in one grid of all views, with a border between them.
        width, height = columns + 1, len(errors[0].squares) + 1
        self._neighbors = [y * width + x for y in (-1, 0, 1) for x in (-1, 0, 1)]
        self._places = np.concatenate(
            [
                (i * height + view.places[view.rare.at] // columns) * width
                + view.places[view.rare.at] % columns
                for i, view in enumerate(errors)
            ]
        )
        self._coefficients = np.concatenate([view.coefficients[view.rare.at] for view in errors])
        self._rarity = np.concatenate([r.rarity for r in rare])
        self._reference = np.concatenate([r.reference for r in rare]).astype(np.int32)
        self._decoded = np.concatenate([r.decoded for r in rare])
        limits = [max(_OFF, _OFF_HIDDEN * math.sqrt(r.error_around)) for r in rare]
        self._limits = np.repeat(limits, [len(r.at) for r in rare])
        self._bit_depth = rare[0].bit_depth
        self._pixels = self._rarity.sum((1, 2))
        self._masks = transformed(self._rarity)

    def kept(self, choice: Choice, tables: Tables, weights: Floats, price: float) -> Choice:
        """Residuals with which no object is off by more than a little, as far as they can.

        Args:
            choice: For these blocks.
            tables: By which it is coded.
            weights: float32 ``[m, C]``, of squared errors in the cost.
            price: Of a bit.

        Returns:
            The same, with costs and errors as they were chosen.
        """
        flags, levels = choice.flags.copy(), choice.levels.copy()
        least = _fineness(tables.step)
        scales = level_scales(tables, np.arange(1, MAX_FLAG + 1, dtype=np.int32), levels.shape[1])
        for _ in range(_N_ROUNDS):
            lacking = self._lacking(tables.step, flags, levels)
            off = np.argwhere(np.abs(lacking) > _NEAR * self._pixels[:, None])
            for i, plane in off.tolist():
                fineness = max(abs(int(flags[i])), least)
                if flags[i]:
                    finer = levels[i] << (fineness - abs(int(flags[i])))
                    levels[i] = np.clip(finer, -LEVEL_MAX, LEVEL_MAX)
                step = step_of(tables.step, fineness) * LEVELS_PER_UNIT
                levels[i, plane] = _moved(
                    levels[i, plane],
                    self._coefficients[i, plane] / step,
                    step**2 * weights[i, plane],
                    price * level_bits()[scales[fineness - 1, plane]],
                    lacking[i, plane] / self._pixels[i],
                    step * self._masks[i] / self._pixels[i],
                )
                has_chroma = flags[i] < 0 or levels[i, 1:].any()
                flags[i] = (-fineness if has_chroma else fineness) * levels[i].any()
            if not len(off):
                break
        return replace(choice, flags=flags, levels=levels)

    def _lacking(self, step: int, flags: Integers, levels: Integers) -> Floats:
        """Sums of what planes lack over the rare pixels of each block, ``[m, C]``; 0 if not off."""
        samples = self._decoded.reshape(-1, BLOCK, 3).copy()  # all blocks, one below the other
        has = np.flatnonzero(flags)
        residuals = ViewResiduals(has, flags[has], levels[has])
        region = 0, len(samples), 0, BLOCK
        add_residuals(samples, self._bit_depth, BLOCK, region, step, residuals)
        errors = self._reference - samples.reshape(self._reference.shape)
        errors = errors * (self._rarity[..., None] * 255 / (2**self._bit_depth - 1))
        sums = np.column_stack((errors.sum((1, 2), dtype=np.float64), self._pixels))
        around = np.sum([self._beside(sums, distance) for distance in self._neighbors], 0)
        mean = around[:, :3] / around[:, 3:]
        off = (np.abs(mean).max(1) > self._limits) & (around[:, 3] >= _LEAST_PIXELS)
        return np.where(off[:, None], ycc(mean) * self._pixels[:, None], 0.0)

    def _beside(self, values: Floats, distance: int) -> Floats:
        """Those of blocks so far on in the grid, 0 where that has no rare color."""
        wanted = self._places + distance
        at = np.minimum(np.searchsorted(self._places, wanted), len(wanted) - 1)
        beside: Floats = values[at] * (self._places[at] == wanted)[:, None]
        return beside


def _fineness(step: int) -> int:
    """The coarsest one that is fine enough to put a mean right."""
    fine = (f for f in range(1, MAX_FLAG) if step_of(step, f) * LEVELS_PER_UNIT <= _COARSEST)
    return next(fine, MAX_FLAG)


def _moved(
    levels: Integers, exact: Floats, weight: float, bits: Floats, lacking: float, pulls: Floats
) -> Integers:
    """Levels of a plane of a block, moved one by one where that costs the least for what it does.

    Args:
        levels: int32 ``[64]``.
        exact: ``[64]``, what they stand for, in steps.
        weight: Cost of a squared error of a step.
        bits: ``[64, LEVEL_MAX + 1]``, cost of levels of each magnitude.
        lacking: Of the mean over the pixels that matter.
        pulls: ``[64]``, what a step of each adds to that.
    """
    each = np.arange(len(levels))
    while abs(lacking) > _NEAR:
        best = math.inf
        for move in (1, -1):
            moved = np.clip(levels + move, -LEVEL_MAX, LEVEL_MAX)
            gains = abs(lacking) - np.abs(lacking - move * pulls)
            costs = weight * (np.square(exact - moved) - np.square(exact - levels))
            costs = costs + bits[each, np.abs(moved)] - bits[each, np.abs(levels)]
            useful = (gains > _LEAST_GAIN) & (moved != levels)
            ratios = np.full(len(levels), math.inf)
            np.divide(np.maximum(costs, _LEAST_COST), gains, out=ratios, where=useful)
            at = int(ratios.argmin())
            if ratios[at] < best:
                best, change = ratios[at], (at, move)
        if best == math.inf:
            break
        at, move = change
        levels = levels + move * (each == at)
        lacking -= move * float(pulls[at])
    return levels
