# SPDX-License-Identifier: MIT
"""Chooses residuals of single views: where a block is worth its bits, or is wrong without it.

Levels, steps and flags are chosen block by block by ``D + lmbda * R``, by the tables that the
choice before asks for. What fell out is then chosen again at a lower price of bits, as long as few
are enough. Last come objects of a rare color. See format_spec.md sections 6.6 and 8.6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.residuals import (
    BLOCK,
    DIAGONAL,
    FINENESS_SCALES,
    HEAD,
    HEAD_SCALE,
    LEVEL_MAX,
    MAX_FLAG,
    N_CLASSES,
    N_STEPS,
    Tables,
    ViewResiduals,
    block_grid,
    flag_classes,
    level_scales,
    no_residuals,
    residual_bits,
    step_of,
)
from sanrcodec.bitstream.tables import MAX_RESIDUAL, N_SCALES, cost_table
from sanrcodec.decoder import n_workers
from sanrcodec.encoder.block_errors import PAIR, BlockErrors, fallen_blocks
from sanrcodec.encoder.residual_choice import (
    LEVELS_PER_UNIT,
    Choice,
    flag_bits,
    level_bits,
)
from sanrcodec.encoder.spot_colors import SpotColors
from sanrcodec.parallel import in_order

__all__ = ["choose_residuals"]

_N_FITS = 4  # of tables to choices, and back
_N_LIFTS, _LIFT = 6, 1.5  # rounds in which fallen blocks weigh more, by this factor each
# Share of the error of all views that it may cost to lift all blocks that fell out. Where it costs
# more, these are noise; then what a block is worth beside what it gains, if it is lifted.
_NONE_FALLEN, _WORTH_BITS = 0.015, 10
_FRAMING_BITS = 8 * 10  # of the section, and of the last words of its stream
_CHUNK = 512  # blocks at once, so that what is made of them stays in a cache

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]


def choose_residuals(
    header: StreamHeader,
    errors: Sequence[BlockErrors],
    bit_price: float,
    step: int | None = None,
    color_bits: float = 0.0,
) -> tuple[Tables, list[ViewResiduals]] | None:
    """Residuals of all views that pay, of blocks that fell out, and of what lost a rare color.

    Args:
        header: Stream header.
        errors: Of each view in raster order.
        bit_price: Of a bit, as for :func:`~sanrcodec.encoder.block_errors.find_block_errors`.
        step: Index of the step, instead of the one that suits the price.
        color_bits: That may be spent on objects of a rare color beside what pays. Where all of them
            take more, none gets any.

    Returns:
        Head and residuals of each view in raster order; None if no block should have one.
    """
    if not sum(len(view.places) for view in errors):
        return None
    search = _Search(header, errors, bit_price, step)
    choice = search.colored(search.lifted(search.paying()), color_bits)
    if not choice.flags.any():
        return None
    return search.fitted(choice), search.views(choice)


class _Search:
    """Candidates of all views, and how they are chosen."""

    def __init__(
        self,
        header: StreamHeader,
        errors: Sequence[BlockErrors],
        bit_price: float,
        step: int | None,
    ) -> None:
        self.header, self.errors, self.price = header, errors, bit_price
        self.grid = block_grid(header)
        sizes = [len(view.places) for view in errors]
        self.view = np.repeat(np.arange(len(errors)), sizes)
        self.places = np.concatenate([view.places for view in errors])
        self.coefficients = np.concatenate([view.coefficients for view in errors])
        self.weights = np.concatenate([view.weights for view in errors])
        self.lift = np.ones(len(self.view), np.float32)
        scales = np.maximum(14 - np.arange(2 * BLOCK - 1), 0)
        step = self.best_step() if step is None else step
        self.tables = Tables(
            step, ((2, 2), *(N_CLASSES - 1) * ((2, 8),)), 2 * (tuple(scales.tolist()),)
        )
        self.classes = np.zeros(len(self.view), np.int32)

    def best_step(self) -> int:
        """The best uniform step where bits are many: D falls by 2 ln 2 of itself with a bit."""
        luma = float(np.median(self.weights[:, 0]))
        best = math.sqrt(12 * self.price / (2 * math.log(2) * luma)) / LEVELS_PER_UNIT
        steps = [step_of(i, 1) for i in range(N_STEPS)]
        return min(range(N_STEPS), key=lambda i: abs(math.log(steps[i] / max(best, 1.0))))

    def paying(self) -> Choice:
        """Blocks whose residuals are worth their bits, none if not all of it is worth them."""
        everything = np.arange(len(self.view))
        choice = self.chosen(everything)
        for _ in range(_N_FITS - 1):
            if not choice.flags.any():
                break
            self.tables, self.classes = self.fitted(choice), self.class_of(choice)
            choice = self.chosen(everything)
        return choice if self.gain(choice) > 0 else self.none()

    def gain(self, choice: Choice) -> float:
        """What a choice gains against none, in bits; blocks that it lifts are worth some."""
        none = self.none()
        squares = (self.weights * (none.squares - choice.squares)).sum(dtype=np.float64)
        fallen = [len(set(self.fallen(c).tolist()) - {-1}) for c in (none, choice)]
        lifted = fallen[0] - fallen[1]
        return float(squares / self.price) - self.bits(choice) + _WORTH_BITS * lifted

    def lifted(self, paying: Choice) -> Choice:
        """The same, and blocks that fell out at what price lifts them: all, or the cheap ones.

        Args:
            paying: Blocks whose residuals are worth their bits.
        """
        choice, fell = paying, np.zeros(len(self.view), np.bool_)
        for _ in range(_N_LIFTS):
            fallen = np.flatnonzero(self.fallen(choice) >= 0)
            if not fallen.size:
                break
            fell[fallen] = True
            self.lift[fallen] *= _LIFT
            choice = choice.at(fallen, self.chosen(fallen))
        if not fell.any():
            return paying
        still, block, gain = self.fallen(choice), self.larger(), self.gain(paying)
        error = sum(view.error for view in self.errors) * self.header.height * self.header.width
        allowed = _NONE_FALLEN * error / self.price
        if (still < 0).all() and gain - self.gain(choice) <= allowed:
            return choice
        # Candidates of a larger block stand or fall together; the cheapest first, as far as what
        # pays allows it.
        lifted = np.setdiff1d(block[fell], still)
        cost = np.bincount(block, choice.costs - paying.costs)[lifted] / self.price
        order = np.argsort(cost, kind="stable")
        left = gain + np.cumsum(_WORTH_BITS - cost[order])
        n_lifted = int(np.flatnonzero(left >= 0).max(initial=-1)) + 1
        places = np.flatnonzero(fell & ~np.isin(block, lifted[order[:n_lifted]]))
        some = choice.at(places, paying.of(places))
        return some if self.gain(some) >= 0 else paying

    def colored(self, choice: Choice, allowed: float) -> Choice:
        """The same, and all objects of a rare color with that color, if few bits are enough."""
        if not (allowed and any(len(view.rare.at) for view in self.errors)):
            return choice
        spots = SpotColors(self.errors)
        at = spots.candidates
        kept = spots.kept(choice.of(at), self.tables, self.weights[at], self.price)
        colored = choice.at(at, kept)
        return colored if self.bits(colored) - self.bits(choice) <= allowed else choice

    def bits(self, choice: Choice) -> float:
        """Of the section."""
        return residual_bits(self.header, self.fitted(choice), self.views(choice)) + _FRAMING_BITS

    def none(self) -> Choice:
        """No residuals."""
        n, n_planes, size = self.coefficients.shape
        squares = np.square(self.coefficients).sum(-1)
        cost = (squares * self.weights).sum(1).astype(np.float64)
        return Choice(np.zeros(n, np.int32), np.zeros((n, n_planes, size), np.int32), cost, squares)

    def chosen(self, some: npt.NDArray[np.int64]) -> Choice:
        """The best choice for some candidates, by the tables as they are."""
        chunks = (some[i : i + _CHUNK] for i in range(0, len(some), _CHUNK))
        return Choice.joined(list(in_order(self._chosen, chunks, n_workers())))

    def _chosen(self, some: npt.NDArray[np.int64]) -> Choice:
        coefficients = self.coefficients[some]
        lift, weights = self.lift[some][:, None], self.weights[some]
        of_flags = flag_bits(self.tables)[self.classes[some]]  # [n, 2 * MAX_FLAG + 1]
        untouched = np.square(coefficients).sum(-1)
        best = (untouched * weights * lift).sum(1) + self.price * of_flags[:, MAX_FLAG]
        flags = np.zeros(len(some), np.int32)
        levels = np.zeros(coefficients.shape, np.int32)
        squares, bits = untouched.copy(), of_flags[:, MAX_FLAG].copy()
        for fineness in range(MAX_FLAG):
            found, left, taken = self._quantized(coefficients, weights * lift, fineness)
            for n_coded in sorted({1, coefficients.shape[1]}):  # luma, then all planes
                flag = -(fineness + 1) if n_coded > 1 else fineness + 1
                some_left = untouched.copy()
                some_left[:, :n_coded] = left[:, :n_coded]
                spent = of_flags[:, MAX_FLAG + flag] + taken[:, :n_coded].sum(1)
                cost = (some_left * weights * lift).sum(1) + self.price * spent
                better = (cost < best) & found[:, :n_coded].any((1, 2))
                best[better], flags[better] = cost[better], flag
                levels[better, :n_coded] = found[better, :n_coded]
                levels[better, n_coded:] = 0
                squares[better], bits[better] = some_left[better], spent[better]
        costs = (squares * weights).sum(1) + self.price * bits
        return Choice(flags, levels, costs.astype(np.float64), squares)

    def _quantized(
        self, coefficients: Floats, weights: Floats, fineness: int
    ) -> tuple[Integers, Floats, Floats]:
        """Levels, what is left of the squares ``[n, C]``, and bits ``[n, C]``."""
        step = np.float32(step_of(self.tables.step, fineness + 1) * LEVELS_PER_UNIT)
        magnitude = np.abs(coefficients)
        n_planes = coefficients.shape[1]
        rows = level_scales(self.tables, np.array([fineness + 1], np.int32), n_planes)[0]
        levels = np.zeros(coefficients.shape, np.int32)
        squares = np.square(magnitude)
        bits = np.broadcast_to(level_bits()[rows, 0], coefficients.shape).copy()
        # The others, which are most, are nearer to 0, whose bits are the fewest.
        at = np.flatnonzero(magnitude > step / 2)
        near, scale = magnitude.take(at), rows.take(at % rows.size)
        weight = weights.take(at // DIAGONAL.size)

        def cost(level: Integers) -> tuple[Floats, Floats, Floats]:
            """What is left of each square, bits, and the weighted sum of both."""
            square, taken = np.square(near - level * step), level_bits()[scale, level]
            return square, taken, weight * square + self.price * taken

        below = np.minimum(np.floor(near / step), LEVEL_MAX - 1).astype(np.int32)
        best = np.zeros_like(below)
        figures = cost(best)
        for level in (below, below + 1):
            others = cost(level)
            better = others[-1] < figures[-1]
            best = np.where(better, level, best)
            for old, new in zip(figures, others, strict=True):
                np.copyto(old, new, where=better)
        levels.reshape(-1)[at] = np.where(coefficients.take(at) < 0, -best, best)
        squares.reshape(-1)[at], bits.reshape(-1)[at], _ = figures
        return levels, squares.sum(-1), bits.sum(-1)

    def larger(self) -> npt.NDArray[np.int64]:
        """Number of the block of 16 x 16 pixels of each candidate; views have their own."""
        rows, columns = self.grid
        y, x = np.divmod(self.places, columns)
        number: npt.NDArray[np.int64] = (self.view * rows + y // PAIR) * columns + x // PAIR
        return number

    def fallen(self, choice: Choice) -> npt.NDArray[np.int64]:
        """Of each candidate its larger block if that has fallen out, else -1."""
        size = self.header.height, self.header.width
        fell = np.zeros(len(self.view), np.bool_)
        for i, view in enumerate(self.errors):
            own = np.flatnonzero(self.view == i)
            if not own.size:
                continue
            squares = view.squares.copy()
            y, x = np.divmod(view.places, self.grid[1])
            squares[y, x] = choice.squares[own]
            out = np.pad(fallen_blocks(squares, view.limit_db, size), ((0, 1), (0, 1)))
            fell[own] = out[y // PAIR, x // PAIR]
        return np.where(fell, self.larger(), -1)

    def views(self, choice: Choice) -> list[ViewResiduals]:
        """The residuals of each view."""
        views = []
        for i in range(len(self.errors)):
            own = np.flatnonzero((self.view == i) & (choice.flags != 0))
            found = ViewResiduals(self.places[own], choice.flags[own], choice.levels[own])
            views.append(found if own.size else no_residuals(self.header))
        return views

    def class_of(self, choice: Choice) -> Integers:
        """Classes of the candidates."""
        classes: Integers = self._all_classes(choice)[self.view, self.places]
        return classes

    def _all_classes(self, choice: Choice) -> Integers:
        """Classes of all blocks, ``[views, blocks]``."""
        n_v, n_u = self.header.n_v, self.header.n_u
        has = np.zeros((n_v * n_u, self.grid[0] * self.grid[1]), np.bool_)
        has[self.view, self.places] = choice.flags != 0
        blocks = has.reshape(n_v, n_u, *self.grid)
        classes = [
            flag_classes([blocks[v - 1, u]][:v] + [blocks[v, u - 1]][:u], self.grid).ravel()
            for v, u in np.ndindex(n_v, n_u)
        ]
        return np.stack(classes)

    def fitted(self, choice: Choice) -> Tables:
        """The tables that take the fewest bits for a choice, those of the head included."""
        classes = self._all_classes(choice)
        flags = np.zeros(classes.shape, np.int32)
        flags[self.view, self.places] = choice.flags
        counts = np.zeros((N_CLASSES, 2 * MAX_FLAG + 1))
        np.add.at(counts, (classes, flags + MAX_FLAG), 1)
        return replace(
            self.tables,
            flags=tuple(_best_flag_table(count) for count in counts),
            scales=self._best_scales(choice),
        )

    def _best_scales(self, choice: Choice) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Scales of the levels by diagonal, of luma and of chroma."""
        used = choice.flags != 0
        kinds: list[tuple[int, ...]] = []
        for planes, chosen in ((slice(0, 1), used), (slice(1, None), choice.flags < 0)):
            counts = _level_counts(choice.levels[chosen, planes], np.abs(choice.flags[chosen]) - 1)
            bits = np.zeros((2 * BLOCK - 1, N_SCALES))
            for finer, count in enumerate(counts):
                wider = np.minimum(np.arange(N_SCALES) + FINENESS_SCALES * finer, N_SCALES - 1)
                bits += count @ level_bits()[wider].T.astype(np.float64)
            scales: list[int] = []
            for diagonal in range(2 * BLOCK - 1):
                expected = kinds[0][diagonal] if kinds else scales[-1] - 1 if scales else HEAD[9]
                change = _head_bits(np.arange(N_SCALES) - expected)
                scales.append(int((bits[diagonal] + change).argmin()))
            kinds.append(tuple(scales))
        return kinds[0], kinds[1]


def _level_counts(levels: Integers, fineness: Integers) -> npt.NDArray[np.int64]:
    """How many levels of blocks ``[n, planes, 64]`` have each magnitude.

    Args:
        levels: Of the blocks.
        fineness: Of each block, ``[n]``.

    Returns:
        ``[MAX_FLAG, diagonals, LEVEL_MAX + 1]``.
    """
    shape = MAX_FLAG, 2 * BLOCK - 1, LEVEL_MAX + 1
    at = np.flatnonzero(levels)  # few; all others are 0
    block, place = at // math.prod(levels.shape[1:]), at % DIAGONAL.size
    number = (fineness[block] * shape[1] + DIAGONAL[place]) * shape[2] + np.abs(levels.take(at))
    counts = np.bincount(number, minlength=math.prod(shape)).reshape(shape)
    n_planes = levels.shape[1] * np.bincount(fineness, minlength=MAX_FLAG)
    counts[..., 0] = np.outer(n_planes, np.bincount(DIAGONAL)) - counts.sum(-1)
    return counts


def _head_bits(change: npt.NDArray[np.int64]) -> Floats:
    """Bits of what numbers of the head differ by from what is expected."""
    magnitude = np.minimum(np.abs(change), MAX_RESIDUAL)
    bits: Floats = cost_table()[HEAD_SCALE, 4, MAX_RESIDUAL + magnitude]
    return bits


def _best_flag_table(count: npt.NDArray[np.float64]) -> tuple[int, int]:
    """Location and scale that code flags, so many of each value, in the fewest bits."""
    values = slice(MAX_RESIDUAL - MAX_FLAG, MAX_RESIDUAL + MAX_FLAG + 1)
    bits = cost_table()[:, :, values].astype(np.float64) @ count
    location, scale = np.arange(-4, 4), np.arange(N_SCALES)
    bits += _head_bits(location - HEAD[1])[None] + _head_bits(scale - HEAD[2])[:, None]
    best_scale, best_location = np.unravel_index(bits.argmin(), bits.shape)
    return int(location[best_location]), int(best_scale)
