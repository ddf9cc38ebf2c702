# SPDX-License-Identifier: MIT
"""Rounding shifts, leaky units and dense layers of proven bounds, on integer-valued floats.

Every layer proves its bound when it is built, from its own weights, and picks the narrowest
carrier that holds. Must not use a float operation that rounds. See format_spec.md section 7.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sanrcodec.arithmetic.ops import NUMPY, Array, Ops
from sanrcodec.errors import LimitError

__all__ = ["LEAK_BITS", "Dense", "carrier_bits", "leaky_relu", "round_shift"]

LEAK_BITS = 3  # hidden units let 2**-3 of negative sums through: none can close for good


def round_shift(x: Array, shift: int, ops: Ops = NUMPY) -> Array:
    """``floor(x / 2**shift + 1/2)`` of integer-valued floats.

    Exact, since a factor of ``2**-shift`` only moves the exponent.
    """
    if not shift:
        return x
    x = x * 2.0**-shift
    x += 0.5
    return ops.floor(x, out=x)


def leaky_relu(x: Array, ops: Ops = NUMPY) -> Array:
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
        ops: Ops = NUMPY,
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

    def __call__(self, x: Array) -> Array:
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
