# SPDX-License-Identifier: MIT
"""Network weights <-> bytes: per tensor a width, a step, then the differences to the defaults.

Both directions walk the same loop. Must not know what a network computes.
See format_spec.md section 6.1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sanrcodec.bitstream.coder import Coder, SymbolCounter, SymbolDecoder, SymbolEncoder
from sanrcodec.bitstream.tables import N_SCALES
from sanrcodec.bitstream.tensors import Weights
from sanrcodec.errors import CorruptSectionError, located

__all__ = ["SHIFT_MAX", "WEIGHT_MAX", "best_width", "pack_weights", "unpack_weights"]

WEIGHT_MAX = 32767  # differences lie in -WEIGHT_MAX..WEIGHT_MAX
SHIFT_MAX = 8  # a tensor's differences are coded in steps of up to 2**SHIFT_MAX
# Scale indices that code a tensor's width and shift, as what they differ from the previous one's.
_WIDTH_SCALE, _SHIFT_SCALE = 24, 20


def pack_weights(defaults: Weights, weights: Weights) -> bytes:
    """Code all tensors to the payload of the WEIGHTS section.

    Args:
        defaults: int32 array per tensor name, in coding order.
        weights: The same names and shapes.

    Returns:
        Range-coded words.
    """
    encoder = SymbolEncoder()
    _walk(encoder, defaults, weights)
    return encoder.finish()


def unpack_weights(defaults: Weights, payload: bytes) -> Weights:
    """Decode the payload of the WEIGHTS section.

    Args:
        defaults: int32 array per tensor name, in coding order.
        payload: Range-coded words.

    Returns:
        Weights of the same names and shapes.

    Raises:
        CorruptSectionError: the payload does not decode, or a value is out of range.
    """
    decoder = SymbolDecoder(payload)
    weights = _walk(decoder, defaults, None)
    decoder.finish()
    return weights


def best_width(coded: npt.NDArray[np.int32]) -> int:
    """The scale index that codes a tensor's differences, of any shape, in the fewest bits."""
    flat = coded.ravel()

    def bits(scale: int) -> float:
        counter = SymbolCounter()
        counter.code(flat, *_centered(flat.size, scale))
        return counter.bits

    return min(range(N_SCALES), key=bits)


def _walk(coder: Coder, defaults: Weights, given: Weights | None) -> Weights:
    """Pass all tensors through a coder; return them."""
    weights: Weights = {}
    width = shift = 0
    for name, default in defaults.items():
        with located(f"tensor {name}"):
            coded = next_width = next_shift = None
            if given is not None:
                difference = (given[name] - default).ravel()
                next_shift = _largest_shift(difference, shift)
                coded = difference >> next_shift
                next_width = best_width(coded)
            width += _code_change(coder, width, next_width, _WIDTH_SCALE)
            if not 0 <= width < N_SCALES:
                raise CorruptSectionError(f"width is {width}, allowed are 0..{N_SCALES - 1}")
            shift += _code_change(coder, shift, next_shift, _SHIFT_SCALE)
            if not 0 <= shift <= SHIFT_MAX:
                raise CorruptSectionError(f"shift is {shift}, allowed are 0..{SHIFT_MAX}")
            steps = coder.code(coded, *_centered(default.size, width))
            if np.abs(steps).max(initial=0) > WEIGHT_MAX >> shift:
                raise CorruptSectionError(f"a difference exceeds +-{WEIGHT_MAX}")
            weights[name] = default + (steps << shift).reshape(default.shape)
    return weights


def _code_change(coder: Coder, current: int, following: int | None, scale: int) -> int:
    """Pass what a number changes by from one tensor to the next."""
    change = None if following is None else np.array([following - current], np.int32)
    return int(coder.code(change, *_centered(1, scale))[0])


def _largest_shift(difference: npt.NDArray[np.int32], previous: int) -> int:
    """The coarsest step that loses nothing; where all are equal, the previous tensor's."""
    bits = int(np.bitwise_or.reduce(difference, initial=0))
    return min(SHIFT_MAX, (bits & -bits).bit_length() - 1) if bits else previous


def _centered(n: int, scale: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Location and scale arrays of ``n`` symbols around zero with one width."""
    return np.zeros(n, np.int32), np.full(n, scale, np.int32)
