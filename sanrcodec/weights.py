# SPDX-License-Identifier: MIT
"""Network weights <-> bytes: per tensor a width, a step, then the differences to the defaults.

Both directions walk the same loop. Must not know what a network computes.
See format_spec.md section 6.1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sanrcodec.entropy import SymbolDecoder, SymbolEncoder, cost_bits
from sanrcodec.errors import CorruptSectionError
from sanrcodec.modelspec import TensorSpec
from sanrcodec.tables import N_SCALES

__all__ = ["SHIFT_MAX", "WEIGHT_MAX", "pack_weights", "unpack_weights", "width_of"]

WEIGHT_MAX = 32767  # differences lie in -WEIGHT_MAX..WEIGHT_MAX
SHIFT_MAX = 8  # a tensor's differences are coded in steps of up to 2**SHIFT_MAX
# Scale indices that code a tensor's width and shift, as what they differ from the previous one's.
_WIDTH_SCALE, _SHIFT_SCALE = 24, 20

Weights = dict[str, npt.NDArray[np.int32]]


def width_of(difference: npt.NDArray[np.int32]) -> int:
    """The scale index that codes a tensor's differences in the fewest bits (encoder side)."""
    flat = difference.ravel()
    costs = [cost_bits(flat, *_centred(flat.size, s)) for s in range(N_SCALES)]
    return int(np.argmin(costs))


def pack_weights(specs: list[TensorSpec], weights: Weights) -> bytes:
    """Code all tensors to the payload of the WEIGHTS section.

    Args:
        specs: Tensors in coding order.
        weights: int32 array per tensor name, in units of ``2**-exponent``.

    Returns:
        Range-coded words.
    """
    encoder = SymbolEncoder()
    width = shift = 0
    for spec in specs:
        previous = width, shift
        difference = (weights[spec.name] - spec.default).astype(np.int32).ravel()
        shift = _shift_of(difference, shift)
        coded = difference >> shift
        width = width_of(coded)
        encoder.encode(np.array([width - previous[0]], np.int32), *_centred(1, _WIDTH_SCALE))
        encoder.encode(np.array([shift - previous[1]], np.int32), *_centred(1, _SHIFT_SCALE))
        encoder.encode(coded, *_centred(coded.size, width))
    return encoder.finish()


def unpack_weights(payload: bytes, specs: list[TensorSpec], name: str = "") -> Weights:
    """Decode the payload of the WEIGHTS section.

    Raises:
        CorruptSectionError: the payload does not decode, or a value is out of range.
    """
    decoder = SymbolDecoder(payload, name)
    weights: Weights = {}
    width = shift = 0
    for spec in specs:
        width += int(decoder.decode(*_centred(1, _WIDTH_SCALE))[0])
        if not 0 <= width < N_SCALES:
            raise CorruptSectionError(
                f"{name}: tensor {spec.name} has width {width}, allowed are 0..{N_SCALES - 1}"
            )
        shift += int(decoder.decode(*_centred(1, _SHIFT_SCALE))[0])
        if not 0 <= shift <= SHIFT_MAX:
            raise CorruptSectionError(
                f"{name}: tensor {spec.name} has shift {shift}, allowed are 0..{SHIFT_MAX}"
            )
        n = int(np.prod(spec.shape))
        coded = decoder.decode(*_centred(n, width))
        if n and np.abs(coded).max() > WEIGHT_MAX >> shift:
            raise CorruptSectionError(f"{name}: tensor {spec.name} exceeds +-{WEIGHT_MAX}")
        weights[spec.name] = spec.default + (coded << shift).reshape(spec.shape)
    decoder.finish()
    return weights


def _shift_of(difference: npt.NDArray[np.int32], previous: int) -> int:
    """The coarsest step that loses nothing; where all are equal, the previous tensor's."""
    bits = int(np.bitwise_or.reduce(difference, initial=0))
    return min(SHIFT_MAX, (bits & -bits).bit_length() - 1) if bits else previous


def _centred(n: int, scale: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Location and scale arrays of ``n`` symbols around zero with one width."""
    return np.zeros(n, np.int32), np.full(n, scale, np.int32)
