# SPDX-License-Identifier: MIT
"""Latent grids <-> bytes: every sample in its order, by the distribution predicted for it.

Writing, reading and counting walk the same loop; a grid takes at most ten vectorized passes.
Must not know what latents mean. See format_spec.md section 6.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from sanrcodec.bitstream.coder import Coder, SymbolCounter, SymbolDecoder, SymbolEncoder
from sanrcodec.bitstream.entropy_network import EntropyNetwork, network_names
from sanrcodec.bitstream.grids import (
    LATENT_MAX,
    PAD,
    PassKind,
    cross_scale_context,
    grids,
    neighbor_context,
    passes,
)
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.tensors import Weights
from sanrcodec.errors import CorruptSectionError

__all__ = ["latent_bits", "pack_latents", "unpack_latents"]

_BLOCK_SAMPLES = 8192  # per call of the network: keeps its working set in cache

Latents = list[npt.NDArray[np.int32]]


def pack_latents(header: StreamHeader, weights: Weights, latents: Latents) -> bytes:
    """Code all grids to the payload of the LATENTS section.

    Args:
        header: Stream header.
        weights: All weights of the file.
        latents: int32 ``[Hg, Wg]`` per grid in coding order, within ``+-LATENT_MAX``.

    Returns:
        Range-coded words.
    """
    encoder = SymbolEncoder()
    for _ in _walk(header, weights, encoder, latents):
        pass
    return encoder.finish()


def latent_bits(header: StreamHeader, weights: Weights, latents: Latents) -> float:
    """Ideal code length of all grids in bits, from the integer tables."""
    counter = SymbolCounter()
    for _ in _walk(header, weights, counter, latents):
        pass
    return counter.bits


def unpack_latents(
    header: StreamHeader, weights: Weights, payload: bytes
) -> Iterator[npt.NDArray[np.int32]]:
    """Decode the payload of the LATENTS section, grid by grid as the caller asks for them.

    Yields:
        int32 ``[Hg, Wg]`` per grid in coding order, which is coarse to fine.

    Raises:
        CorruptSectionError: the payload does not decode, or a latent is out of range; or, after
            the last grid, words remain.
    """
    decoder = SymbolDecoder(payload)
    yield from _walk(header, weights, decoder, None)
    decoder.finish()


def _walk(
    header: StreamHeader, weights: Weights, coder: Coder, given: Latents | None
) -> Iterator[npt.NDArray[np.int32]]:
    """Pass every sample through a coder in coding order; yield each grid."""
    networks = {name: EntropyNetwork(weights, name) for name in network_names(header)}
    n_seen = dict.fromkeys(networks, 0)
    values: Latents = []
    for grid in grids(header):
        h, w = grid.shape
        padded = np.zeros((h + 2 * PAD, w + 2 * PAD), np.int32)
        inner = padded[PAD : PAD + h, PAD : PAD + w]
        cross = cross_scale_context(values, grid)
        for p in passes(grid.shape):
            lattice = slice(p.y0, None, p.stride), slice(p.x0, None, p.stride)
            samples = inner[lattice]
            contexts = neighbor_context(padded, grid.shape, p)
            contexts += [None if c is None else c[lattice] for c in cross]
            location, scale = _predict(
                networks[grid.network], contexts, samples.shape, p.kind, n_seen[grid.network]
            )
            wanted = None if given is None else given[grid.index][lattice].ravel()
            coded = coder.code(wanted, location, scale)
            if given is None and np.abs(coded).max(initial=0) > LATENT_MAX:
                raise CorruptSectionError(f"a latent exceeds +-{LATENT_MAX}; the file is damaged")
            samples[...] = coded.reshape(samples.shape)
        n_seen[grid.network] += 1
        values.append(inner.copy())
        yield values[-1]


def _predict(
    network: EntropyNetwork,
    contexts: list[npt.NDArray[Any] | None],
    shape: tuple[int, ...],
    kind: PassKind,
    grid: int,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Location and scale, int32 ``[n]``, of a pass of ``shape``, as each of its contexts is."""
    columns = [c for c in contexts if c is not None]
    known = np.flatnonzero([c is not None for c in contexts])
    step = max(1, _BLOCK_SAMPLES // shape[1])
    parts = []
    for start in range(0, shape[0], step):
        rows = slice(start, min(start + step, shape[0]))
        near = np.empty((len(columns), (rows.stop - start) * shape[1]), np.float32)
        for row, column in zip(near, columns, strict=True):
            row.reshape(-1, shape[1])[...] = column[rows]
        parts.append(network(near, known, kind, grid))
    location, scale = zip(*parts, strict=True)
    return np.concatenate(location), np.concatenate(scale)
