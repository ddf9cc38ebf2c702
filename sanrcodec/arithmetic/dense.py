# SPDX-License-Identifier: MIT
"""Rounding shifts, leaky units and dense layers of proven bounds, on integer-valued floats.

Every layer proves its bound when it is built, from its own weights, and picks the narrowest
carrier that holds. Must not use a float operation that rounds. See format_spec.md section 7.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sanrcodec.arithmetic.ops import NUMPY, Array, Ops
from sanrcodec.errors import LimitError

__all__ = [
    "LEAK_BITS",
    "SUM_MAX",
    "Dense",
    "LayerFormat",
    "carrier_bits",
    "leaky_relu",
    "round_shift",
    "row_sums",
]

SUM_MAX = (1 << 31) - 1  # of a layer: integers of 32 bits hold it too
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


class LayerFormat(NamedTuple):
    """Number formats of a dense layer.

    Attributes:
        in_bits, out_bits: Fraction bits of input and output; the output has fewer than the sums.
        in_max: Largest magnitude of an input integer.
        low, high: Saturation of the output integers, below 2**24.
        weight_bits, bias_bits: Fraction bits of the parameters.
    """

    in_bits: int
    out_bits: int
    in_max: int
    low: int
    high: int
    weight_bits: int = 7
    bias_bits: int = 10

    @property
    def shift(self) -> int:
        """What the sums are shifted by."""
        return self.weight_bits + self.in_bits - self.out_bits

    def aligned(self, bias: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """Biases in the units of the sums."""
        shift = self.weight_bits + self.in_bits - self.bias_bits
        aligned: npt.NDArray[np.int64] = bias.astype(np.int64) << shift
        return aligned

    def largest_row_sums(self, bias: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """What the magnitudes of a row of weights may add up to, int64 like ``bias``.

        No sum then exceeds SUM_MAX, with its bias and with what rounding adds. See format_spec.md
        section 7.1.
        """
        left = SUM_MAX - np.abs(self.aligned(bias)) - (1 << (self.shift - 1))
        largest: npt.NDArray[np.int64] = left // self.in_max
        return largest

    def check(self, weight: npt.NDArray[np.int32], bias: npt.NDArray[np.int32], name: str) -> None:
        """Refuse weights ``[n_out, n_in]`` whose sums 32 bits might not hold.

        Raises:
            LimitError: the magnitudes of a row add up to more than :meth:`largest_row_sums`.
        """
        sums, largest = row_sums(weight), self.largest_row_sums(bias)
        for j in np.flatnonzero(sums > largest)[:1]:
            raise LimitError(
                f"{name}: the weights of output {j} add up to {sums[j]}, allowed are {largest[j]}; "
                "the file is damaged"
            )


def row_sums(weight: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Sums of the magnitudes of each row of ``[n_out, n_in]``."""
    sums: npt.NDArray[np.int64] = np.abs(weight.astype(np.int64)).sum(axis=1)
    return sums


class Dense:
    """Integer dense layer ``clip(round_shift(W x + b << s_b, shift), low, high)``.

    The shift is folded into the weights: a factor of a power of two moves exponents only.

    Args:
        weight: int ``[n_out, n_in]``, real value ``weight * 2**-weight_bits``.
        bias: int ``[n_out]``, real value ``bias * 2**-bias_bits``.
        form: Number formats.
        name: For messages.
        ops: Array backend.

    Raises:
        LimitError: a sum could exceed SUM_MAX.
    """

    def __init__(
        self,
        weight: npt.NDArray[np.int32],
        bias: npt.NDArray[np.int32],
        form: LayerFormat,
        *,
        name: str,
        ops: Ops = NUMPY,
    ) -> None:
        self.low, self.high, self.ops = form.low, form.high, ops
        form.check(weight, bias, name)
        weight64, bias64 = weight.astype(np.int64), form.aligned(bias)
        self._gain = int(row_sums(weight).max(initial=0))
        # Rounding adds half a unit of the output.
        self._offset = int(np.abs(bias64).max(initial=0)) + (1 << (form.shift - 1))
        self._always_narrow = self._is_narrow(form.in_max)
        unit = 2.0**-form.shift
        self._parameters = {
            dtype: (ops.asarray(weight64 * unit, dtype), ops.asarray(bias64 * unit + 0.5, dtype))
            for dtype in (ops.float32, ops.float64)
        }

    def _is_narrow(self, in_max: int) -> bool:
        """Whether float32 holds all sums of inputs up to a magnitude."""
        return self._gain * in_max + self._offset < 1 << 24

    def __call__(self, x: Array) -> Array:
        """``[n_in, n]`` integer-valued float32 -> ``[n_out, n]`` integer-valued float32.

        What the inputs could be may need float64 where what they are does not.
        """
        ops = self.ops
        narrow = self._always_narrow or self._is_narrow(ops.peak(x))
        dtype = ops.float32 if narrow else ops.float64
        weight, bias = self._parameters[dtype]
        y = ops.matmul(weight, ops.cast(x, dtype))
        y += bias[:, None]
        ops.floor(y, out=y)
        return ops.cast(ops.clip(y, self.low, self.high, out=y), ops.float32)
