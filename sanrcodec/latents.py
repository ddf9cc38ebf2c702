# SPDX-License-Identifier: MIT
"""Latent grids <-> bytes: the autoregressive module (ARM), in integers, walked by both directions.

The ARM turns a sample's context into the centre and width of its Laplace distribution. It is
hierarchical like Cool-chic's (Ladune et al., ICCV 2023), but the order is a dyadic lattice
refinement instead of a raster scan, so that a grid decodes in at most ten vectorized passes.
See format_spec.md section 6.2. Must not contain a float operation that rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from sanrcodec import modelspec
from sanrcodec.entropy import SymbolDecoder, SymbolEncoder, cost_bits
from sanrcodec.errors import CorruptSectionError
from sanrcodec.fixedpoint import NumpyOps, carrier_bits
from sanrcodec.header import StreamHeader
from sanrcodec.modelspec import LATENT_MAX, N_CONTEXT, PAD
from sanrcodec.tables import N_SCALES
from sanrcodec.weights import Weights

__all__ = ["Arm", "latent_bits", "pack_latents", "unpack_latents"]

CONTEXT_MAX = 127  # neighbours enter the ARM saturated to this
_IN_BITS = 3
_HIDDEN_BITS = 6
_HIDDEN_MAX = 4095
_WEIGHT_BITS = 7
_LOCATION_MAX = 8 * LATENT_MAX
_HIDDEN_SHIFT = _IN_BITS + _WEIGHT_BITS - _HIDDEN_BITS
_ALIGN = _HIDDEN_BITS - _IN_BITS  # what the shortcut's products lack to the outputs' fraction bits
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

    Inputs are the saturated neighbours and their logarithmic magnitudes; one ReLU layer plus a
    linear shortcut (Cool-chic, Ladune et al., ICCV 2023). Each kind of pass, since it knows other
    neighbours, has weights of its own.

    Samples run along the last axis. Rounding shifts are folded into the weights: a factor of a
    power of two moves exponents only.

    Args:
        weights: All weights of the file.
        name: ``texture`` or ``geometry``.

    Raises:
        LimitError: a sum could reach 2**53.
    """

    def __init__(self, weights: Weights, name: str) -> None:
        part = {key: weights[f"arm.{name}.{key}"].astype(np.int64) for key in _ARM_TENSORS}
        bounds = _bounds(part)
        carrier_bits(int(bounds[-1].max()), f"arm.{name}")
        # Contexts that are no larger than this, by the kind of pass, leave float32 exact.
        self.narrow_peak = (bounds < 1 << 24).sum(axis=0) - 1
        hidden_unit, units = 2.0**-_HIDDEN_SHIFT, 2.0 ** -np.array(_OUTPUT_SHIFTS)
        exact = {
            # Hidden units and shortcut share their inputs, hence one product.
            "first": np.concatenate(
                [part["hidden"] * hidden_unit, (part["shortcut"] << _ALIGN) * units[:, None]],
                axis=1,
            ),
            "hidden_bias": ((part["hidden_bias"] << _IN_BITS) * hidden_unit + 0.5)[..., None],
            "output": part["output"] * units[:, None],
            "pass_bias": ((part["pass_bias"] << _HIDDEN_BITS) * units + 0.5)[..., None],
            "grid_bias": ((part["grid_bias"] << _HIDDEN_BITS) * units)[..., None],
        }
        self.parameters = {
            dtype: {key: values.astype(dtype) for key, values in exact.items()}
            for dtype in (np.float32, np.float64)
        }

    def __call__(
        self, near: npt.NDArray, known: npt.NDArray[np.intp], kind: int, grid: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Predict the distributions of some samples of one pass.

        Args:
            near: Integer-valued floats ``[len(known), n]``, the known contexts. Overwritten.
            known: Their numbers among the ``N_CONTEXT`` contexts; all others are 0.
            kind: Kind of the pass, 0..3.
            grid: Number of the grid among those of this network.

        Returns:
            location int32 ``[n]`` in eighths of a step, and scale int32 ``[n]``, an index of the
            tables.
        """
        np.clip(near, -CONTEXT_MAX, CONTEXT_MAX, out=near)
        narrow = NumpyOps.peak(near) <= self.narrow_peak[kind]
        part = self.parameters[np.float32 if narrow else np.float64]
        magnitude = np.take(MAGNITUDE_Q3, np.abs(near).astype(np.intp))
        near *= 1 << _IN_BITS
        # A context of 0 adds nothing to any sum.
        first = part["first"][kind][:, np.concatenate([known, known + N_CONTEXT])]
        sums = NumpyOps.matmul(first, np.concatenate([near, magnitude], dtype=first.dtype))
        h, y = sums[:-2], sums[-2:]
        h += part["hidden_bias"][kind]
        np.clip(np.floor(h, out=h), 0, _HIDDEN_MAX, out=h)
        y += NumpyOps.matmul(part["output"][kind], h)
        y += part["pass_bias"][kind] + part["grid_bias"][grid]
        np.floor(y, out=y)
        location, scale = np.clip(y, _OUTPUT_MIN, _OUTPUT_MAX, out=y).astype(np.int32)
        return location, scale


_ARM_TENSORS = ("hidden", "hidden_bias", "output", "shortcut", "pass_bias", "grid_bias")


def _bounds(part: dict[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Largest magnitudes of an ARM's sums, int64 ``[CONTEXT_MAX + 1, N_KINDS]``.

    By the largest magnitude of the contexts, which the logarithms of magnitudes do not exceed.
    """
    peak = np.arange(CONTEXT_MAX + 1)[:, None, None] << _IN_BITS
    size = {key: np.abs(values) for key, values in part.items()}
    hidden_sum = size["hidden"].sum(axis=2) * peak + (size["hidden_bias"] << _IN_BITS)
    hidden = np.minimum(_HIDDEN_MAX, (hidden_sum >> _HIDDEN_SHIFT) + 1)
    output_sum = (size["output"] @ hidden[..., None])[..., 0]
    output_sum += size["shortcut"].sum(axis=2) * (peak << _ALIGN)
    output_sum += (size["pass_bias"] + size["grid_bias"].max(axis=0)) << _HIDDEN_BITS
    # Rounding adds half a unit of the result.
    largest: npt.NDArray[np.int64] = np.maximum(hidden_sum.max(axis=2), output_sum.max(axis=2))
    return largest + (1 << max(_OUTPUT_SHIFTS))


def _predict(
    arm: Arm,
    contexts: list[npt.NDArray | None],
    shape: tuple[int, int],
    kind: int,
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
        parts.append(arm(near, known, kind, grid))
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
            location, scale = _predict(arms[model], contexts, samples.shape, p.kind, n_seen[model])
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
