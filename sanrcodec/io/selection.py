# SPDX-License-Identifier: MIT
"""A part of a light field: rows and columns of views, every n-th of them, a crop of the pixels.

Reads no file: samples that lie elsewhere stay there, and are cropped when a view is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.lightfield import LightField, StoredSamples

__all__ = ["Range", "Selection", "parse_every", "parse_ranges", "select"]

Range = tuple["int | None", "int | None"]  # from, to (exclusive); None is the end of the axis
_ALL: Range = (None, None)


@dataclass(frozen=True, slots=True)
class Selection:
    """What to keep of a light field.

    Attributes:
        views: Ranges of rows and of columns of views.
        every: Steps along v and u: of the chosen views each first one of so many is kept.
        crop: Ranges of rows and of columns of pixels.
    """

    views: tuple[Range, Range] = (_ALL, _ALL)
    every: tuple[int, int] = (1, 1)
    crop: tuple[Range, Range] = (_ALL, _ALL)

    def places(self, grid: tuple[int, int]) -> tuple[range, range]:
        """Return the rows and columns of views ``(V, U)`` that are kept.

        Raises:
            LightFieldError: a range is empty or reaches beyond its axis.
        """
        return (
            _indices("--views: row", self.views[0], grid[0], self.every[0]),
            _indices("--views: column", self.views[1], grid[1], self.every[1]),
        )

    def of(self, samples: np.ndarray | StoredSamples) -> np.ndarray | StoredSamples:
        """Select from samples ``[V, U, H, W, C]``; copies nothing.

        Raises:
            LightFieldError: a range is empty or reaches beyond its axis.
        """
        n_v, n_u, height, width = samples.shape[:4]
        rows, columns = self.places((n_v, n_u))
        y = _indices("--crop: pixel row", self.crop[0], height)
        x = _indices("--crop: pixel column", self.crop[1], width)
        if (len(rows), len(columns), len(y), len(x)) == samples.shape[:4]:
            return samples
        if isinstance(samples, np.ndarray):
            part: np.ndarray = samples[_slice(rows), _slice(columns), _slice(y), _slice(x)]
            return part
        return _Part(samples, rows, columns, y, x)


def select(light_field: LightField, selection: Selection) -> LightField:
    """Return a part of a light field; lazily, if its samples lie elsewhere.

    Raises:
        LightFieldError: a range is empty or reaches beyond its axis.
    """
    return LightField(selection.of(light_field.samples), light_field.bit_depth)


def parse_ranges(text: str) -> tuple[Range, Range]:
    """Read ``"3:12,3:12"``: rows, then columns; an end that is left out is that of the axis.

    Raises:
        LightFieldError: the text has another form.
    """
    match = re.fullmatch(r"(\d*):(\d*),(\d*):(\d*)", "".join(text.split()))
    if not match:
        raise LightFieldError(
            f"range {text!r} has the wrong form, expected rows and columns such as 3:12,3:12"
        )
    a, b, c, d = (int(number) if number else None for number in match.groups())
    return (a, b), (c, d)


def parse_every(text: str) -> tuple[int, int]:
    """Read ``"2"`` or ``"2,3"``: steps along v and u.

    Raises:
        LightFieldError: the text has another form, or a step is 0.
    """
    match = re.fullmatch(r"(\d{1,4})(?:,(\d{1,4}))?", "".join(text.split()))
    if not match or 0 in (int(step) for step in match.groups() if step):
        raise LightFieldError(f"step {text!r} has the wrong form, expected such as 2 or 2,3")
    return int(match[1]), int(match[2] or match[1])


class _Part(StoredSamples):
    """Part of samples that lie elsewhere."""

    def __init__(
        self, whole: StoredSamples, rows: range, columns: range, y: range, x: range
    ) -> None:
        self._whole, self._rows, self._columns, self._y, self._x = whole, rows, columns, y, x
        self.shape = (len(rows), len(columns), len(y), len(x), whole.shape[4])
        self.dtype = whole.dtype

    def __getitem__(self, index: tuple[int, int]) -> np.ndarray:
        """Read one view and crop it."""
        view = self._whole[self._rows[index[0]], self._columns[index[1]]]
        return view[_slice(self._y), _slice(self._x)].copy()


def _indices(what: str, chosen: Range, size: int, step: int = 1) -> range:
    first = 0 if chosen[0] is None else chosen[0]
    end = size if chosen[1] is None else chosen[1]
    if not 0 <= first < end <= size:
        raise LightFieldError(f"{what}s {first}:{end} are not among 0:{size}")
    return range(first, end, step)


def _slice(indices: range) -> slice:
    return slice(indices.start, indices.stop, indices.step)
