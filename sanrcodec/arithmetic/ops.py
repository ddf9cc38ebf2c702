# SPDX-License-Identifier: MIT
"""The few array operations of the decoder: what a backend must offer, and numpy's.

Must not hold an operation that rounds; torchops.TorchOps is the torch twin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["NUMPY", "Array", "NumpyOps", "Ops"]

# An array of the backend. Backends share the arithmetic operators and indexing that the decoder
# uses, so that to a type checker each is numpy.
Array = npt.NDArray[Any]

# OpenBLAS gives products of more multiply-adds to threads of its own. They cost more than they
# bring on matrices this thin, and spin where another process wants the core.
_SERIAL_PRODUCT = 1 << 18


class Ops(Protocol):
    """Array operations of a backend.

    Attributes:
        float32, float64, uint8, int16, int32: Its names of these types.
        block_pixels: Pixels that are handled at once.
    """

    float32: Any
    float64: Any
    uint8: Any
    int16: Any
    int32: Any
    block_pixels: int

    def asarray(self, values: Any, dtype: Any) -> Array:
        """Array of ``values``, copied only where that is needed."""

    def cast(self, x: Array, dtype: Any) -> Array:
        """``x`` with another type; the caller knows that its values fit."""

    def clip(self, x: Array, low: int, high: int, out: Array | None = None) -> Array:
        """``x`` saturated to ``low..high``, both included."""

    def floor(self, x: Array, out: Array | None = None) -> Array:
        """Largest integers that are not greater."""

    def maximum(self, x: Array, y: Array, out: Array | None = None) -> Array:
        """The larger ones, element by element."""

    def minimum(self, x: Array, y: Array) -> Array:
        """The smaller ones, element by element."""

    def stack(self, parts: Sequence[Array]) -> Array:
        """Arrays of one shape along a new first axis."""

    def concatenate(self, parts: Sequence[Array], axis: int = 0) -> Array:
        """Arrays one after the other along an axis."""

    def contiguous(self, x: Array) -> Array:
        """``x`` in C order, copied only where that is needed."""

    def arange(self, start: int, stop: int) -> Array:
        """int32 ``start..stop - 1``."""

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Zeros of a shape."""

    def take(self, x: Array, rows: Array) -> Array:
        """Rows of ``x``, along its first axis."""

    def to_numpy(self, x: Array) -> npt.NDArray[Any]:
        """``x`` as a numpy array."""

    def peak(self, x: Array) -> int:
        """Largest magnitude of integer-valued floats."""

    def matmul(self, a: Array, b: Array) -> Array:
        """``a @ b`` of matrices of one float type, ``b`` with many columns."""


class NumpyOps:
    """:class:`Ops` in numpy."""

    float32 = np.float32
    float64 = np.float64
    uint8 = np.uint8
    int16 = np.int16
    int32 = np.int32
    block_pixels = 16384  # keeps the working set of a block in cache

    def asarray(self, values: Any, dtype: Any) -> Array:
        return np.asarray(values, dtype)

    def cast(self, x: Array, dtype: Any) -> Array:
        return x.astype(dtype, copy=False)

    def clip(self, x: Array, low: int, high: int, out: Array | None = None) -> Array:
        clipped: Array = x.clip(low, high, out=out)
        return clipped

    def floor(self, x: Array, out: Array | None = None) -> Array:
        floored: Array = np.floor(x, out=out)
        return floored

    def maximum(self, x: Array, y: Array, out: Array | None = None) -> Array:
        larger: Array = np.maximum(x, y, out=out)
        return larger

    def minimum(self, x: Array, y: Array) -> Array:
        smaller: Array = np.minimum(x, y)
        return smaller

    def stack(self, parts: Sequence[Array]) -> Array:
        return np.stack(parts)

    def concatenate(self, parts: Sequence[Array], axis: int = 0) -> Array:
        return np.concatenate(parts, axis)

    def contiguous(self, x: Array) -> Array:
        return np.ascontiguousarray(x)

    def arange(self, start: int, stop: int) -> Array:
        return np.arange(start, stop, dtype=np.int32)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        return np.zeros(shape, dtype)

    def take(self, x: Array, rows: Array) -> Array:
        return x.take(rows, axis=0)

    def to_numpy(self, x: Array) -> npt.NDArray[Any]:
        return x

    def peak(self, x: Array) -> int:
        return int(max(x.max(initial=0), -x.min(initial=0)))

    def matmul(self, a: Array, b: Array) -> Array:
        n_columns = b.shape[1]
        step = max(1, _SERIAL_PRODUCT // max(1, a.size))
        n_stacked = n_columns // step
        out = np.empty((len(a), n_columns), a.dtype)

        def stacked(x: Array) -> Array:
            return x[:, : n_stacked * step].reshape(len(x), n_stacked, step).swapaxes(0, 1)

        np.matmul(a, stacked(b), out=stacked(out))
        np.matmul(a, b[:, n_stacked * step :], out=out[:, n_stacked * step :])
        return out


NUMPY = NumpyOps()
