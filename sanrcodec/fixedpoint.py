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

__all__ = ["Dense", "NumpyOps", "carrier_bits", "round_shift"]


class NumpyOps:
    """The few array operations of the decoder, in numpy; encoder.torchops has its torch twin."""

    float32 = np.float32
    float64 = np.float64
    int16 = np.int16
    int32 = np.int32
    floor = staticmethod(np.floor)
    stack = staticmethod(np.stack)
    concatenate = staticmethod(np.concatenate)

    @staticmethod
    def asarray(values: Any, dtype: Any) -> npt.NDArray:
        """Array of ``values``, copied only where that is needed."""
        return np.asarray(values, dtype)

    @staticmethod
    def cast(x: npt.NDArray, dtype: Any) -> npt.NDArray:
        """``x`` with another type; the caller knows that its values fit."""
        return x.astype(dtype, copy=False)

    @staticmethod
    def clip(x: npt.NDArray, low: int, high: int) -> npt.NDArray:
        """``x`` saturated to ``low..high``, both included."""
        clipped: npt.NDArray = np.clip(x, low, high)
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
        return np.take(x, rows, axis=0)


def round_shift(x: Any, shift: int, ops: Any = NumpyOps) -> Any:
    """``floor(x / 2**shift + 1/2)`` of integer-valued floats.

    Exact, since a factor of ``2**-shift`` only moves the exponent.
    """
    return ops.floor(x * 2.0**-shift + 0.5) if shift else x


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

    Args:
        weight: int ``[n_out, n_in]``, real value ``weight * 2**-weight_bits``.
        bias: int ``[n_out]``, real value ``bias * 2**-bias_bits``, or None.
        in_bits, out_bits: Fraction bits of input and output.
        in_max: Largest magnitude of an input integer.
        low, high: Saturation of the output integers.
        name: For messages.
        ops: Array backend.

    Raises:
        LimitError: a partial sum could reach 2**53.
    """

    def __init__(
        self,
        weight: npt.NDArray[np.int32],
        bias: npt.NDArray[np.int32] | None,
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
        self.shift, self.low, self.high, self.ops = sum_bits - out_bits, low, high, ops
        weight64 = weight.astype(np.int64)
        bias64 = (
            np.zeros(len(weight64), np.int64)
            if bias is None
            else bias.astype(np.int64) << (sum_bits - bias_bits)
        )
        rows = np.abs(weight64).sum(axis=1) * in_max + np.abs(bias64)
        # The rounding adds half a unit of the output and one more bit of fraction.
        bound = 2 * (int(rows.max(initial=0)) + (1 << self.shift))
        self.dtype = ops.float32 if carrier_bits(bound, name) == 24 else ops.float64
        self.weight = ops.asarray(np.ascontiguousarray(weight64.T), self.dtype)
        self.bias = ops.asarray(bias64, self.dtype)

    def __call__(self, x: Any) -> Any:
        """``[n, n_in]`` integer-valued floats -> ``[n, n_out]`` integer-valued floats."""
        y = self.ops.cast(x, self.dtype) @ self.weight
        y += self.bias
        return self.ops.clip(round_shift(y, self.shift, self.ops), self.low, self.high)
