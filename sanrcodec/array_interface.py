# SPDX-License-Identifier: MIT
"""What numpy expects of an array, for light fields whose views come one at a time.

``f[4, 4]``, ``f[:, 4]`` or ``f[..., ::2, ::2, :]`` ask for the views and regions that they need,
and for nothing else. Must not know where views come from.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import EllipsisType
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from sanrcodec.errors import LightFieldError

__all__ = ["Index", "ViewArray"]

Index = SupportsIndex | slice | EllipsisType
Region = tuple[int, int, int, int]


class ViewArray(ABC):
    """An array ``[V, U, H, W, C]`` that numpy can read, and whose views are made when asked for."""

    __slots__ = ()

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int, int, int]:
        """Sizes ``(V, U, H, W, C)``."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Of the samples."""

    @abstractmethod
    def read_view(self, v: int, u: int, region: Region) -> npt.NDArray[Any]:
        """Samples ``[y1 - y0, x1 - x0, C]`` of the region ``(y0, y1, x0, x1)`` of a view."""

    @property
    def ndim(self) -> int:
        """Number of axes, 5."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of samples."""
        v, u, h, w, c = self.shape
        return v * u * h * w * c

    def __len__(self) -> int:
        """Number of rows of views."""
        return self.shape[0]

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        """Rows of views ``[U, H, W, C]``, as numpy iterates; ``views()`` gives one at a time."""
        return (self[v] for v in range(len(self)))

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """All views.

        Raises:
            ValueError: ``copy`` is False, but they have to be made.
        """
        if copy is False:
            raise ValueError("views are made when they are asked for: copy=False is not possible")
        return self[...].astype(dtype or self.dtype, copy=False)

    def to_dask(self) -> Any:
        """A dask array whose chunks are single views, decoded when it is computed.

        Raises:
            LightFieldError: dask is not installed.
        """
        try:
            from dask.array import from_array
        except ImportError:
            raise LightFieldError('to_dask needs dask: pip install "dask[array]"') from None
        return from_array(self, chunks=(1, 1, *self.shape[2:]), fancy=False)

    def __getitem__(self, index: Index | tuple[Index, ...]) -> npt.NDArray[Any]:
        """Samples by numpy's basic indexing: integers, slices and one ellipsis.

        Raises:
            IndexError: the index lies outside, has too many axes, or is of another kind.
        """
        axes = _axes(index, self.shape)
        picked = [range(n)[a] if isinstance(a, slice) else range(a, a + 1)
                  for a, n in zip(axes, self.shape, strict=True)]  # fmt: skip
        out = np.empty([len(p) for p in picked], self.dtype)
        if out.size:
            rows, columns = (slice(min(p), max(p) + 1) for p in picked[2:4])
            region = rows.start, rows.stop, columns.start, columns.stop
            # Within the region, steps and directions are left to numpy.
            y, x = (np.array(p) - min(p) for p in picked[2:4])
            for i, v in enumerate(picked[0]):
                for j, u in enumerate(picked[1]):
                    view = self.read_view(v, u, region)
                    out[i, j] = view[y[:, None], x[None, :]][..., list(picked[4])]
        return out[tuple(slice(None) if isinstance(a, slice) else 0 for a in axes)]


def _axes(index: Index | tuple[Index, ...], shape: tuple[int, ...]) -> list[int | slice]:
    """One integer, not negative, or slice for each axis."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if sum(part is Ellipsis for part in parts) > 1:
        raise IndexError("an index can have one ellipsis ('...') only")
    if sum(part is not Ellipsis for part in parts) > len(shape):
        raise IndexError(f"too many indices: a light field has {len(shape)} axes [V, U, H, W, C]")
    gap = len(shape) - sum(part is not Ellipsis for part in parts)
    at = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
    parts[at : at + 1] = [slice(None)] * gap
    axes: list[int | slice] = []
    for name, part, n in zip("VUHWC", parts, shape, strict=True):
        if isinstance(part, slice):
            axes.append(part)
            continue
        try:
            if isinstance(part, bool | np.bool_):  # numpy takes these for masks
                raise TypeError
            number = operator.index(part)  # type: ignore[arg-type]
        except TypeError:
            raise IndexError(
                f"an index of type {type(part).__name__} is not possible here: expected integers, "
                "slices and '...'; read the array first for anything else"
            ) from None
        if not -n <= number < n:
            raise IndexError(f"index {number} is outside axis {name} of size {n}")
        axes.append(number % n)
    return axes
