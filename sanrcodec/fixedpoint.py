# SPDX-License-Identifier: MIT
"""Exact integer arithmetic carried by floats: rounding shifts, and dense layers of proven bounds.

A matrix product of integers is exact in float64 in any summation order while every partial sum
stays below 2**53, and in float32 below 2**24. Every layer proves its bound when it is built, from
its own weights, and picks the narrowest carrier that holds. Must not use a float operation that
rounds. See format_spec.md section 7.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sanrcodec.errors import LimitError

__all__ = ["LEAK_BITS", "Dense", "NumpyOps", "carrier_bits", "leaky_relu", "round_shift"]

LEAK_BITS = 3  # hidden units let 2**-3 of negative sums through: none can close for good

# OpenBLAS gives products of more multiply-adds to threads of its own. They cost more than they
# bring on matrices this thin, and spin where another process wants the core.
_SERIAL_PRODUCT = 1 << 18


class NumpyOps:
    """The few array operations of the decoder, in numpy; torchops.TorchOps is the torch twin."""

    float32 = np.float32
    float64 = np.float64
    uint8 = np.uint8
    int16 = np.int16
    int32 = np.int32
    block_pixels = 16384  # pixels handled at once: keeps their working set in cache
    floor = staticmethod(np.floor)
    stack = staticmethod(np.stack)
    concatenate = staticmethod(np.concatenate)
    maximum = staticmethod(np.maximum)
    minimum = staticmethod(np.minimum)
    contiguous = staticmethod(np.ascontiguousarray)

    @staticmethod
    def asarray(values: Any, dtype: Any) -> npt.NDArray:
        """Array of ``values``, copied only where that is needed."""
        return np.asarray(values, dtype)

    @staticmethod
    def cast(x: npt.NDArray, dtype: Any) -> npt.NDArray:
        """``x`` with another type; the caller knows that its values fit."""
        return x.astype(dtype, copy=False)

    @staticmethod
    def clip(x: npt.NDArray, low: int, high: int, out: npt.NDArray | None = None) -> npt.NDArray:
        """``x`` saturated to ``low..high``, both included."""
        clipped: npt.NDArray = x.clip(low, high, out=out)
        return clipped

    @staticmethod
    def arange(start: int, stop: int) -> npt.NDArray[np.int32]:
        """int32 ``start..stop - 1``."""
        return np.arange(start, stop, dtype=np.int32)

    @staticmethod
    def zeros(shape: tuple[int, ...], dtype: Any) -> npt.NDArray:
        """Zeros of a shape."""
        return np.zeros(shape, dtype)

    @staticmethod
    def take(x: npt.NDArray, rows: npt.NDArray) -> npt.NDArray:
        """Rows of ``x``, along its first axis."""
        return x.take(rows, axis=0)

    @staticmethod
    def to_numpy(x: npt.NDArray) -> npt.NDArray:
        """``x`` as a numpy array."""
        return x

    @staticmethod
    def peak(x: npt.NDArray) -> int:
        """Largest magnitude of integer-valued floats."""
        return int(max(x.max(initial=0), -x.min(initial=0)))

    @staticmethod
    def matmul(a: npt.NDArray, b: npt.NDArray) -> npt.NDArray:
        """``a @ b`` of matrices of one float type, ``b`` with many columns."""
        n_columns = b.shape[1]
        step = max(1, _SERIAL_PRODUCT // max(1, a.size))
        n_stacked = n_columns // step
        out = np.empty((len(a), n_columns), a.dtype)

        def stacked(x: npt.NDArray) -> npt.NDArray:
            return x[:, : n_stacked * step].reshape(len(x), n_stacked, step).swapaxes(0, 1)

        np.matmul(a, stacked(b), out=stacked(out))
        np.matmul(a, b[:, n_stacked * step :], out=out[:, n_stacked * step :])
        return out


def round_shift(x: Any, shift: int, ops: Any = NumpyOps) -> Any:
    """``floor(x / 2**shift + 1/2)`` of integer-valued floats.

    Exact, since a factor of ``2**-shift`` only moves the exponent.
    """
    if not shift:
        return x
    x = x * 2.0**-shift
    x += 0.5
    return ops.floor(x, out=x)


def leaky_relu(x: Any, ops: Any = NumpyOps) -> Any:
    """``max(x, floor(x / 2**LEAK_BITS))`` of integer-valued floats. Overwrites ``x``."""
    leaked = x * 2.0**-LEAK_BITS
    ops.floor(leaked, out=leaked)
    return ops.maximum(x, leaked, out=x)


def carrier_bits(bound: int, what: str) -> int:
    """Mantissa bits of the narrowest float that holds sums up to ``bound``.

    Raises:
        LimitError: the bound does not fit float64.
    """
    if bound < 1 << 24:
        return 24
    if bound < 1 << 53:
        return 53
    raise LimitError(f"{what}: sums of up to {bound} exceed 2**53")


class Dense:
    """Integer dense layer ``clip(round_shift(W x + b << s_b, shift), low, high)``.

    The shift is folded into the weights: a factor of a power of two moves exponents only.

    Args:
        weight: int ``[n_out, n_in]``, real value ``weight * 2**-weight_bits``.
        bias: int ``[n_out]``, real value ``bias * 2**-bias_bits``.
        in_bits, out_bits: Fraction bits of input and output; the output has fewer than the sums.
        in_max: Largest magnitude of an input integer.
        low, high: Saturation of the output integers, below 2**24.
        name: For messages.
        ops: Array backend.

    Raises:
        LimitError: a partial sum could reach 2**53.
    """

    def __init__(
        self,
        weight: npt.NDArray[np.int32],
        bias: npt.NDArray[np.int32],
        *,
        weight_bits: int,
        bias_bits: int = 10,
        in_bits: int,
        out_bits: int,
        in_max: int,
        low: int,
        high: int,
        name: str,
        ops: Any = NumpyOps,
    ) -> None:
        sum_bits = weight_bits + in_bits
        shift = sum_bits - out_bits
        self.low, self.high, self.ops = low, high, ops
        weight64 = weight.astype(np.int64)
        bias64 = bias.astype(np.int64) << (sum_bits - bias_bits)
        self._gain = int(np.abs(weight64).sum(axis=1).max(initial=0))
        # Rounding adds half a unit of the output.
        self._offset = int(np.abs(bias64).max(initial=0)) + (1 << shift)
        self._always_narrow = carrier_bits(self._bound(in_max), name) == 24
        unit = 2.0**-shift
        self._parameters = {
            dtype: (ops.asarray(weight64 * unit, dtype), ops.asarray(bias64 * unit + 0.5, dtype))
            for dtype in (ops.float32, ops.float64)
        }

    def _bound(self, in_max: int) -> int:
        return self._gain * in_max + self._offset

    def __call__(self, x: Any) -> Any:
        """``[n_in, n]`` integer-valued float32 -> ``[n_out, n]`` integer-valued float32.

        What the inputs could be may need float64 where what they are does not.
        """
        ops = self.ops
        narrow = self._always_narrow or self._bound(ops.peak(x)) < 1 << 24
        dtype = ops.float32 if narrow else ops.float64
        weight, bias = self._parameters[dtype]
        y = ops.matmul(weight, ops.cast(x, dtype))
        y += bias[:, None]
        ops.floor(y, out=y)
        return ops.cast(ops.clip(y, self.low, self.high, out=y), ops.float32)
