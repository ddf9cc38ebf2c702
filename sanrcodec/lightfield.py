# SPDX-License-Identifier: MIT
"""The light field type and the notation of its grid; never touches a file."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sanrcodec.arguments import whole
from sanrcodec.array_interface import ViewArray
from sanrcodec.errors import LightFieldError

__all__ = [
    "MAX_BIT_DEPTH",
    "MAX_GRID",
    "MAX_SIZE",
    "MAX_VIEWS",
    "MIN_BIT_DEPTH",
    "LightField",
    "StoredSamples",
    "as_grid",
    "check_grid",
    "format_grid",
    "parse_grid",
]

MAX_GRID = 1024  # views along v, and along u
MAX_VIEWS = 4096  # in all
MAX_SIZE = 16384  # rows, and columns, of one view
MIN_BIT_DEPTH, MAX_BIT_DEPTH = 8, 16


class StoredSamples(ABC):
    """Samples that lie elsewhere and are read one view at a time, by any number of threads.

    Attributes:
        shape: ``(V, U, H, W, C)``.
        dtype: Of the views.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        """Length of the shape."""
        return len(self.shape)

    @abstractmethod
    def __getitem__(self, index: tuple[int, int]) -> np.ndarray:
        """Read view ``v, u``, an array ``[H, W, C]`` of its own."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all views."""
        samples = np.empty(self.shape, self.dtype)
        for v, u in np.ndindex(self.shape[:2]):
            samples[v, u] = self[v, u]
        return samples.astype(dtype or self.dtype, copy=False)


class _AsBytes(StoredSamples):
    """Stored uint16 samples that need 8 bits, as uint8."""

    def __init__(self, samples: StoredSamples) -> None:
        self.shape, self.dtype, self._samples = samples.shape, np.dtype(np.uint8), samples

    def __getitem__(self, index: tuple[int, int]) -> np.ndarray:
        return self._samples[index].astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LightField(ViewArray):
    """A validated grid of views of one scene; numpy reads it as an array.

    Attributes:
        samples: uint8 or uint16 array ``[V, U, H, W, C]``, C is 1 (gray) or 3 (RGB); or, of a
            light field that is better not held in memory, a stand-in with the same shape.
        bit_depth: Significant bits of a sample, 8..16. Samples of 8 bits are uint8: those given as
            uint16 are converted, all others are uint16.

    Raises:
        LightFieldError: on construction, when the samples break one of these rules.
    """

    samples: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | StoredSamples
    bit_depth: int = 8

    def __post_init__(self) -> None:
        """Check dtype, shape, limits and the range of the samples."""
        samples, bit_depth = self.samples, whole(self.bit_depth, "bit depth")
        object.__setattr__(self, "bit_depth", bit_depth)
        if not isinstance(samples, np.ndarray | StoredSamples):
            raise LightFieldError(f"samples are {type(samples).__name__}, expected a numpy array")
        if samples.dtype not in (np.uint8, np.uint16):
            raise LightFieldError(f"samples are {_describe(samples)}, expected uint8 or uint16")
        if samples.ndim != 5:
            raise LightFieldError(f"samples have shape {samples.shape}, expected [V, U, H, W, C]")
        *sizes, channels = samples.shape
        limits = (MAX_GRID, MAX_GRID, MAX_SIZE, MAX_SIZE)
        for name, size, limit in zip("VUHW", sizes, limits, strict=True):
            if not 1 <= size <= limit:
                raise LightFieldError(f"{name} is {size}, expected 1..{limit}")
        check_grid((sizes[0], sizes[1]))
        if channels not in (1, 3):
            raise LightFieldError(f"views have {channels} channels, expected 1 (gray) or 3 (RGB)")
        if not MIN_BIT_DEPTH <= bit_depth <= MAX_BIT_DEPTH:
            raise LightFieldError(
                f"bit depth is {bit_depth}, expected {MIN_BIT_DEPTH}..{MAX_BIT_DEPTH}"
            )
        if samples.dtype == np.uint8 and bit_depth != 8:
            raise LightFieldError(f"bit depth {bit_depth} needs uint16 samples, found uint8")
        if samples.dtype == np.uint16 and bit_depth < 16:
            largest = self.largest_sample()
            if largest >> bit_depth:
                raise LightFieldError(
                    f"a sample is {largest}, but {bit_depth} bits hold 0..{2**bit_depth - 1}; "
                    f"the bit depth must be at least {largest.bit_length()}"
                )
        if samples.dtype == np.uint16 and bit_depth == MIN_BIT_DEPTH:
            narrow = (
                samples.astype(np.uint8) if isinstance(samples, np.ndarray) else _AsBytes(samples)
            )
            object.__setattr__(self, "samples", narrow)

    @property
    def grid(self) -> tuple[int, int]:
        """Number of views ``(V, U)``."""
        return self.samples.shape[0], self.samples.shape[1]

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Sizes ``(V, U, H, W, C)``."""
        n_v, n_u, height, width, channels = self.samples.shape
        return n_v, n_u, height, width, channels

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 or uint16."""
        return self.samples.dtype

    def __repr__(self) -> str:
        """One line: sizes and depth."""
        v, u, h, w, c = self.shape
        kind = "gray" if c == 1 else "RGB"
        return f"<LightField: {v} x {u} views of {w} x {h} pixels, {kind}, {self.bit_depth} bit>"

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """All views, without a copy where they are in memory and none is asked for."""
        if not isinstance(self.samples, np.ndarray):
            return ViewArray.__array__(self, dtype, copy)  # slots leave super() no class to find
        if copy is False and self.samples.dtype != (dtype or self.dtype):
            raise ValueError(f"samples are {self.dtype}: copy=False is not possible for {dtype}")
        return self.samples.astype(dtype or self.dtype, copy=bool(copy))

    def read_view(self, v: int, u: int, region: tuple[int, int, int, int]) -> npt.NDArray[Any]:
        """A region of a view, for numpy's indexing of the light field."""
        y0, y1, x0, x1 = region
        return self.view(v, u)[y0:y1, x0:x1]

    def views(self) -> Iterator[np.ndarray]:
        """Yield all views ``[H, W, C]``, row by row."""
        return (self.samples[index] for index in np.ndindex(self.grid))

    def largest_sample(self) -> int:
        """Return the largest sample of all views."""
        return max(int(view.max()) for view in self.views())

    def view(self, v: int, u: int) -> np.ndarray:
        """Return the view at row ``v`` and column ``u``, without a copy if it is in memory.

        Args:
            v: Row of the grid, 0-based from the top; negative values are refused.
            u: Column of the grid, 0-based from the left.

        Returns:
            Array ``[H, W, C]`` of the light field's dtype.

        Raises:
            LightFieldError: there is no such view.
        """
        n_v, n_u = self.grid
        v, u = whole(v, "v"), whole(u, "u")
        if not (0 <= v < n_v and 0 <= u < n_u):
            raise LightFieldError(
                f"view {v},{u} is outside this light field "
                f"({n_v} x {n_u} views: v runs 0..{n_v - 1}, u runs 0..{n_u - 1})"
            )
        view: np.ndarray = self.samples[v, u]
        return view


def parse_grid(text: str) -> tuple[int, int]:
    """Read ``"9x9"``, rows of views first, as ``(V, U)``.

    Raises:
        LightFieldError: the text has another form, or the numbers are outside the limits.
    """
    match = re.fullmatch(r"\s*([0-9]{1,4})\s*[xX]\s*([0-9]{1,4})\s*", text)
    if not match:
        raise LightFieldError(f"grid {text!r} has the wrong form, expected VxU such as 9x9")
    grid = int(match[1]), int(match[2])
    check_grid(grid)
    return grid


def as_grid(grid: Iterable[int] | str) -> tuple[int, int]:
    """A grid as a caller gives it: two numbers of any kind, as from a JSON file, or text.

    Args:
        grid: Number of views, ``(V, U)`` or ``"9x9"``.

    Raises:
        LightFieldError: it is none, or outside the limits.
    """
    if isinstance(grid, str):
        return parse_grid(grid)
    try:
        n_v, n_u = grid
    except (TypeError, ValueError):
        raise LightFieldError("grid has another form, expected (V, U) such as (9, 9)") from None
    whole_grid = whole(n_v, "V of the grid"), whole(n_u, "U of the grid")
    check_grid(whole_grid)
    return whole_grid


def check_grid(grid: tuple[int, int]) -> None:
    """Refuse a grid outside the limits: 1..MAX_GRID each, MAX_VIEWS in all.

    Raises:
        LightFieldError: it is outside.
    """
    if not all(1 <= size <= MAX_GRID for size in grid):
        raise LightFieldError(f"grid {format_grid(grid)}: V and U run 1..{MAX_GRID}")
    if grid[0] * grid[1] > MAX_VIEWS:
        raise LightFieldError(
            f"grid {format_grid(grid)} has {grid[0] * grid[1]} views, limit is {MAX_VIEWS}"
        )


def format_grid(grid: tuple[int, int]) -> str:
    """Write ``(V, U)`` in the form that `parse_grid` reads."""
    return f"{grid[0]}x{grid[1]}"


def _describe(samples: np.ndarray | StoredSamples) -> str:
    """Name the dtype of refused samples; tell NaN and infinity apart from mere floats."""
    if samples.dtype.kind in "fc" and not np.isfinite(samples).all():
        return f"{samples.dtype} with NaN or infinite values"
    return str(samples.dtype)
