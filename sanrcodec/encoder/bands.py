# SPDX-License-Identifier: MIT
"""Rows shared by several processes: which rows of the views each has, and what these can look at.

Nothing of a scene is exchanged: of the canvas every process computes what its own rows see. Must
not know how a scene or a view is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from sanrcodec.bitstream.grids import level_shape
from sanrcodec.bitstream.header import StreamHeader, margin_limit
from sanrcodec.encoder.distributed import ALONE, Ranks
from sanrcodec.errors import SanrError

__all__ = ["Band", "of_rows", "rows_of_each", "widened", "within"]

# Bands begin at multiples of so many rows of whole views. At the sizes of all schedules these are
# whole rows, and whole blocks of color_outliers.
_UNIT = 4
# Rows of the canvas beyond a view's margin that a band can still look at. Nothing bounds shifts and
# disparities of a fit: what looks even further sees the last of these rows.
_RESERVE = 4


class Band:
    """The rows of all views that belong to this rank, at one size.

    A band is like a light field of fewer rows. It sees a window of the canvas, which is wider by
    the margin on both sides, just as the canvas is wider than a view. Where there are too few rows
    for all ranks, those without any do the last ones, which do not count there.

    Args:
        header: Shape of the scene.
        ranks: The processes.
        level: Of the canvas; at most 2 if there are several processes.

    Attributes:
        header: Shape of the scene.
        level: Of the canvas.
        height: Number of rows of a whole view.
        rows: Those of this rank.
        window: Rows of the canvas that they can look at.
        counted: Rows of the canvas, among these, that belong to this rank. Each has one.

    Raises:
        SanrError: several processes cannot share that level.
    """

    def __init__(self, header: StreamHeader, ranks: Ranks = ALONE, level: int = 0) -> None:
        self.header, self.level, self._ranks = header, level, ranks
        self.height, _ = level_shape((header.height, header.width), level)
        self._canvas_height, _ = level_shape(header.canvas, level)
        if ranks.size == 1:
            self._has_rows, self.rows = True, range(self.height)
            self.window = self.counted = range(self._canvas_height)
            return
        n_units, unit = -(-header.height // _UNIT), _UNIT >> level
        if not unit:
            raise SanrError(
                f"the schedule has a phase of level {level}, which {ranks.size} processes cannot "
                f"share: at most {_UNIT.bit_length() - 1} is possible; use another schedule, or "
                "one process"
            )
        first, stop = (rank * n_units // ranks.size for rank in (ranks.rank, ranks.rank + 1))
        self._has_rows = first < stop
        first = min(first, n_units - 1)
        self.rows = range(unit * first, min(unit * max(stop, first + 1), self.height))
        start, end = self.rows.start, self.rows.stop
        # Smaller margins may be no whole rows.
        least, most = header.margin_y >> level, -(-header.margin_y >> level)
        self.counted = range(
            start + least if start else 0,
            end + least if end < self.height else self._canvas_height,
        )
        # The search for a position starts with the nearest disparity within the margin.
        reach = most + _RESERVE if header.layers else 0
        if header.margin_y == margin_limit(header.height, header.width):
            reach = self._canvas_height  # disparities may be larger than the margin tells
        seen = range(start + least, end + most)
        self.window = widened(seen, reach, reach, self._canvas_height)

    def mean(self, x: Tensor) -> Tensor:
        """The mean over the rows of whole views, the same on all ranks; collective.

        Args:
            x: The mean over the rows of this rank.
        """
        return self._ranks.mean(self.part(x))

    def part(self, x: Tensor, block: int = 1) -> Tensor:
        """What has, as its mean over the ranks, the mean over all blocks of rows.

        Args:
            x: The mean over the blocks of this rank.
            block: Rows of a block.
        """
        return self._weighted(x, -(-len(self.rows) // block), -(-self.height // block))

    def part_of_sum(self, x: Tensor) -> Tensor:
        """What has, as its mean over the ranks, the sum over all rows.

        Args:
            x: The sum over the rows of this rank.
        """
        return self._weighted(x, 1, 1)

    def part_of_canvas(self, x: Tensor) -> Tensor:
        """What has, as its mean over the ranks, the mean over all rows of the canvas.

        Args:
            x: The mean over the rows that count on this rank.
        """
        return self._weighted(x, len(self.counted), self._canvas_height)

    def _weighted(self, x: Tensor, n: int, total: int) -> Tensor:
        if self._ranks.size == 1:
            return x
        return x * (self._ranks.size * n / total if self._has_rows else 0.0)


def widened(rows: range, before: int, after: int, height: int) -> range:
    """More rows to either side, as far as there are any."""
    return range(max(0, rows.start - before), min(height, rows.stop + after))


def within(rows: range, window: range) -> range:
    """Rows, counted from the start of a window."""
    return range(rows.start - window.start, rows.stop - window.start)


def of_rows(x: Tensor, rows: range) -> Tensor:
    """Some rows of ``[..., H, W]``; all of them are ``x`` itself, whose gradient is no copy."""
    return x if len(rows) == x.shape[-2] else x.narrow(-2, rows.start, len(rows))


def rows_of_each(planes: Sequence[Tensor], rows: Sequence[range]) -> Sequence[Tensor]:
    """Some rows of each of several planes ``[H, W]``, whose gradients are made all at once.

    Plane by plane, a GPU would run two small kernels for each. Where all rows are asked for, planes
    are what is given.
    """
    if all(len(of_one) == len(plane) for plane, of_one in zip(planes, rows, strict=True)):
        return planes
    found: tuple[Tensor, ...] = _RowsOfEach.apply(rows, *planes)  # type: ignore[no-untyped-call]
    return found


class _RowsOfEach(Function):
    """:func:`rows_of_each`."""

    @staticmethod
    def forward(ctx: Any, rows: Sequence[range], *planes: Tensor) -> tuple[Tensor, ...]:
        """Take the rows, without copies."""
        ctx.rows, ctx.shapes = rows, [plane.shape for plane in planes]
        return tuple(of_rows(plane, of_one) for plane, of_one in zip(planes, rows, strict=True))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Set zeros around them, as one concatenation."""
        sizes = [height * width for height, width in ctx.shapes]
        zeros = gradients[0].new_zeros(max(sizes))
        parts = (
            (zeros[: rows.start * width], gradient.flatten(), zeros[rows.stop * width : size])
            for gradient, rows, (_, width), size in zip(
                gradients, ctx.rows, ctx.shapes, sizes, strict=True
            )
        )
        whole = torch.cat(list(chain.from_iterable(parts))).split(sizes)
        return None, *(part.view(shape) for part, shape in zip(whole, ctx.shapes, strict=True))
