# SPDX-License-Identifier: MIT
"""Network weights <-> bytes: per tensor a width, then the differences to the default weights.

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

__all__ = ["WEIGHT_MAX", "pack_weights", "unpack_weights", "width_of"]

WEIGHT_MAX = 32767  # coded differences lie in -WEIGHT_MAX..WEIGHT_MAX
_STEP_SCALE = 24  # scale index that codes a tensor's width, as its step from the previous one

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
    previous = 0
    for spec in specs:
        difference = (weights[spec.name] - spec.default).astype(np.int32).ravel()
        width = width_of(difference)
        encoder.encode(np.array([width - previous], np.int32), *_centred(1, _STEP_SCALE))
        encoder.encode(difference, *_centred(difference.size, width))
        previous = width
    return encoder.finish()


def unpack_weights(payload: bytes, specs: list[TensorSpec], name: str = "") -> Weights:
    """Decode the payload of the WEIGHTS section.

    Raises:
        CorruptSectionError: the payload does not decode, or a value is out of range.
    """
    decoder = SymbolDecoder(payload, name)
    weights: Weights = {}
    previous = 0
    for spec in specs:
        width = previous + int(decoder.decode(*_centred(1, _STEP_SCALE))[0])
        if not 0 <= width < N_SCALES:
            raise CorruptSectionError(
                f"{name}: tensor {spec.name} has width {width}, allowed are 0..{N_SCALES - 1}"
            )
        n = int(np.prod(spec.shape))
        difference = decoder.decode(*_centred(n, width))
        if n and np.abs(difference).max() > WEIGHT_MAX:
            raise CorruptSectionError(f"{name}: tensor {spec.name} exceeds +-{WEIGHT_MAX}")
        weights[spec.name] = spec.default + difference.reshape(spec.shape)
        previous = width
    decoder.finish()
    return weights


def _centred(n: int, scale: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Location and scale arrays of ``n`` symbols around zero with one width."""
    return np.zeros(n, np.int32), np.full(n, scale, np.int32)
