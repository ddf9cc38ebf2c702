# SPDX-License-Identifier: MIT
"""Latent grids <-> bytes: the autoregressive module (ARM), in integers, walked by both directions.

The ARM turns a sample's context into the centre and width of its Laplace distribution. It is
hierarchical like Cool-chic's (Ladune et al., ICCV 2023), but the order is a dyadic lattice
refinement instead of a raster scan, so that a grid decodes in at most ten vectorized passes.
See format_spec.md section 6.2. Must not contain a float operation that rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sanrcodec import modelspec
from sanrcodec.entropy import SymbolDecoder, SymbolEncoder, cost_bits
from sanrcodec.errors import CorruptSectionError
from sanrcodec.fixedpoint import Dense, NumpyOps, carrier_bits
from sanrcodec.header import StreamHeader
from sanrcodec.modelspec import LATENT_MAX, N_CONTEXT, PAD
from sanrcodec.tables import N_SCALES
from sanrcodec.weights import Weights

__all__ = ["Arm", "latent_bits", "pack_latents", "unpack_latents"]

CONTEXT_MAX = 127  # neighbours enter the ARM saturated to this
HIDDEN_MAX = 4095  # and hidden units are to this
_IN_BITS = 3
_HIDDEN_BITS = 6
_WEIGHT_BITS = 7
_LOCATION_MAX = 8 * LATENT_MAX
# A location has 3 fraction bits, a scale 2.
_OUTPUT_SHIFTS = (_HIDDEN_BITS + _WEIGHT_BITS - 3, _HIDDEN_BITS + _WEIGHT_BITS - 2)
_OUTPUT_MIN = np.array([[-_LOCATION_MAX], [0]], np.float32)
_OUTPUT_MAX = np.array([[_LOCATION_MAX], [N_SCALES - 1]], np.float32)
_BLOCK_SAMPLES = 8192  # per call of the network: keeps its working set in cache

# round(8 * log2(1 + n)), without libm: the scale of magnitudes on which widths are predicted.
MAGNITUDE_Q3 = np.array(
    [((1 + n) ** 16).bit_length() // 2 for n in range(CONTEXT_MAX + 1)], np.float32
)

Code = Callable[
    [npt.NDArray[np.int32] | None, npt.NDArray[np.int32], npt.NDArray[np.int32]],
    npt.NDArray[np.int32],
]


class Arm:
    """One integer entropy network: contexts of a pass -> location and scale of its samples.

    Inputs are the saturated neighbours and their logarithmic magnitudes; two ReLU layers that the
    format fixes, then an output layer and a linear shortcut from the file (Cool-chic, Ladune et
    al., ICCV 2023), all of them apart for each kind of pass, whose known neighbours differ.

    Samples run along the last axis. Rounding shifts are folded into the weights: a factor of a
    power of two moves exponents only.

    Args:
        weights: All weights of the file.
        name: ``texture`` or ``geometry``.

    Raises:
        LimitError: a sum could reach 2**53.
    """

    def __init__(self, weights: Weights, name: str) -> None:
        self._name = name
        self._layers = modelspec.entropy_layers(name)
        part = {key: weights[f"arm.{name}.{key}"].astype(np.int64) for key in _ARM_TENSORS}
        align = _HIDDEN_BITS - _IN_BITS
        sums = np.abs(part["output"]).sum(axis=2) * HIDDEN_MAX
        sums += np.abs(part["shortcut"]).sum(axis=2) * (CONTEXT_MAX << _IN_BITS + align)
        for key in ("pass_bias", "grid_bias"):
            sums += np.abs(part[key]).max(axis=0) << _HIDDEN_BITS
        # Rounding adds half a unit of the result.
        bound = int(sums.max()) + (1 << max(_OUTPUT_SHIFTS))
        self._dtype: Any = np.float32 if carrier_bits(bound, f"arm.{name}") == 24 else np.float64
        units = 2.0 ** -np.array(_OUTPUT_SHIFTS)
        self._output = (part["output"] * units[:, None]).astype(self._dtype)
        self._shortcut = ((part["shortcut"] << align) * units[:, None]).astype(self._dtype)
        self._pass_bias = ((part["pass_bias"] << _HIDDEN_BITS) * units + 0.5).astype(self._dtype)
        self._grid_bias = ((part["grid_bias"] << _HIDDEN_BITS) * units).astype(self._dtype)
        self._hidden: dict[tuple[int, int], tuple[Dense, Dense]] = {}

    def _hidden_layers(self, kind: int, level: int) -> tuple[Dense, Dense]:
        """Both hidden layers for the known contexts of a kind of pass."""
        key = kind, min(level, modelspec.ARM_LEVELS - 1)
        if key not in self._hidden:
            layers = self._layers
            common = {
                "weight_bits": _WEIGHT_BITS, "bias_bits": _WEIGHT_BITS, "out_bits": _HIDDEN_BITS,
                "low": 0, "high": HIDDEN_MAX, "name": f"arm.{self._name}",
            }  # fmt: skip
            self._hidden[key] = (
                Dense(
                    layers["hidden0"][kind][:, _inputs(kind)],
                    layers["hidden0_bias"][kind] + layers["level_bias"][key[1]],
                    in_bits=_IN_BITS, in_max=CONTEXT_MAX << _IN_BITS, **common,
                ),
                Dense(
                    layers["hidden1"][kind], layers["hidden1_bias"][kind],
                    in_bits=_HIDDEN_BITS, in_max=HIDDEN_MAX, **common,
                ),
            )  # fmt: skip
        return self._hidden[key]

    def __call__(
        self, near: npt.NDArray, kind: int, grid: int, level: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Predict the distributions of some samples of one pass.

        Args:
            near: Integer-valued floats ``[n_known, n]``, the contexts that passes of this kind
                know. Overwritten.
            kind: Kind of the pass, 0..3.
            grid: Number of the grid among those of this network.
            level: Of the grid.

        Returns:
            location int32 ``[n]`` in eighths of a step, and scale int32 ``[n]``, an index of the
            tables.
        """
        np.clip(near, -CONTEXT_MAX, CONTEXT_MAX, out=near)
        magnitude = np.take(MAGNITUDE_Q3, np.abs(near).astype(np.intp))
        near *= 1 << _IN_BITS
        x = np.concatenate([near, magnitude])
        first, second = self._hidden_layers(kind, level)
        h = second(first(x)).astype(self._dtype, copy=False)
        x = x.astype(self._dtype, copy=False)
        y = NumpyOps.matmul(self._output[kind], h)
        y += NumpyOps.matmul(np.ascontiguousarray(self._shortcut[kind][:, _inputs(kind)]), x)
        y += (self._pass_bias[kind] + self._grid_bias[grid])[:, None]
        np.floor(y, out=y)
        location, scale = np.clip(y, _OUTPUT_MIN, _OUTPUT_MAX, out=y).astype(np.int32)
        return location, scale


_ARM_TENSORS = ("output", "shortcut", "pass_bias", "grid_bias")


@cache
def _inputs(kind: int) -> npt.NDArray[np.intp]:
    """Inputs of the ARM that passes of a kind know: contexts, then their magnitudes."""
    known = modelspec.known_contexts(kind)
    return np.concatenate([known, known + N_CONTEXT])


def _predict(
    arm: Arm,
    contexts: list[npt.NDArray | None],
    p: modelspec.Pass,
    shape: tuple[int, int],
    grid: int,
    level: int,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Location and scale, int32 ``[n]``, of a pass whose samples have this shape."""
    known = [contexts[i] for i in modelspec.known_contexts(p.kind)]
    step = max(1, _BLOCK_SAMPLES // shape[1])
    parts = []
    for start in range(0, shape[0], step):
        rows = slice(start, min(start + step, shape[0]))
        near = np.zeros((len(known), (rows.stop - start) * shape[1]), np.float32)
        for row, column in zip(near, known, strict=True):
            if column is not None:
                row.reshape(-1, shape[1])[...] = column[rows]
        parts.append(arm(near, p.kind, grid, level))
    location, scale = zip(*parts, strict=True)
    return np.concatenate(location), np.concatenate(scale)


def _walk(
    header: StreamHeader,
    weights: Weights,
    code: Code,
    given: list[npt.NDArray[np.int32]] | None = None,
) -> Iterator[npt.NDArray[np.int32]]:
    """Pass every sample through ``code`` in coding order; yield each grid that it gave back."""
    arms = [Arm(weights, name) for name in modelspec.entropy_models(header)]
    n_seen = [0] * len(arms)
    values: list[npt.NDArray[np.int32]] = []
    for grid in modelspec.grids(header):
        h, w = grid.shape
        padded = np.zeros((h + 2 * PAD, w + 2 * PAD), np.int32)
        inner = padded[PAD : PAD + h, PAD : PAD + w]
        cross = modelspec.cross_scale_context(values, grid)
        for p in modelspec.passes(grid.shape):
            lattice = slice(p.y0, None, p.stride), slice(p.x0, None, p.stride)
            samples = inner[lattice]
            contexts = modelspec.neighbour_context(padded, grid.shape, p)
            contexts += [None if c is None else c[lattice] for c in cross]
            model = grid.entropy_model
            location, scale = _predict(
                arms[model], contexts, p, samples.shape, n_seen[model], grid.level
            )
            source = None if given is None else given[grid.index][lattice].ravel()
            samples[...] = code(source, location, scale).reshape(samples.shape)
        n_seen[grid.entropy_model] += 1
        values.append(inner.copy())
        yield values[-1]


def pack_latents(
    header: StreamHeader, weights: Weights, latents: list[npt.NDArray[np.int32]]
) -> bytes:
    """Code all grids to the payload of the LATENTS section.

    Args:
        header: Stream header.
        weights: All weights of the file.
        latents: int32 ``[Hg, Wg]`` per grid in coding order, within ``+-LATENT_MAX``.

    Returns:
        Range-coded words.
    """
    encoder = SymbolEncoder()

    def code(values, location, scale):  # type: ignore[no-untyped-def]
        encoder.encode(values, location, scale)
        return values

    for _ in _walk(header, weights, code, latents):
        pass
    return encoder.finish()


def latent_bits(
    header: StreamHeader, weights: Weights, latents: list[npt.NDArray[np.int32]]
) -> float:
    """Ideal code length of all grids in bits, from the integer tables."""
    total = 0.0

    def code(values, location, scale):  # type: ignore[no-untyped-def]
        nonlocal total
        total += cost_bits(values, location, scale)
        return values

    for _ in _walk(header, weights, code, latents):
        pass
    return total


def unpack_latents(
    header: StreamHeader, weights: Weights, payload: bytes, name: str = ""
) -> Iterator[npt.NDArray[np.int32]]:
    """Decode the payload of the LATENTS section, grid by grid as the caller asks for them.

    Yields:
        int32 ``[Hg, Wg]`` per grid in coding order, which is coarse to fine.

    Raises:
        CorruptSectionError: the payload does not decode, or a latent is out of range; or, after
            the last grid, words remain.
    """
    decoder = SymbolDecoder(payload, name)

    def code(_, location, scale):  # type: ignore[no-untyped-def]
        values = decoder.decode(location, scale)
        if values.size and np.abs(values).max() > LATENT_MAX:
            raise CorruptSectionError(
                f"{name}: a latent exceeds +-{LATENT_MAX}; the file is damaged"
            )
        return values

    yield from _walk(header, weights, code)
    decoder.finish()
