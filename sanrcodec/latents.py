# SPDX-License-Identifier: MIT
"""Latent grids <-> bytes: the autoregressive module (ARM), in integers, walked by both directions.

The ARM turns a sample's context into the centre and width of its Laplace distribution. It is
hierarchical like Cool-chic's (Ladune et al., ICCV 2023), but the order is a dyadic lattice
refinement instead of a raster scan, so that a grid decodes in at most ten vectorized passes.
See format_spec.md section 6.2. Must not contain a float operation that rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sanrcodec import modelspec
from sanrcodec.entropy import SymbolDecoder, SymbolEncoder, cost_bits
from sanrcodec.errors import CorruptSectionError
from sanrcodec.fixedpoint import carrier_bits, round_shift
from sanrcodec.header import StreamHeader
from sanrcodec.modelspec import LATENT_MAX, N_CONTEXT, PAD, Grid, Pass
from sanrcodec.tables import N_SCALES
from sanrcodec.weights import Weights

__all__ = ["Arm", "latent_bits", "pack_latents", "unpack_latents"]

CONTEXT_MAX = 127  # neighbours enter the ARM saturated to this
_IN_BITS = 3
_HIDDEN_BITS = 6
_HIDDEN_MAX = 4095
_WEIGHT_BITS = 7
_LOCATION_MAX = 8 * LATENT_MAX

# round(8 * log2(1 + n)), without libm: the scale of magnitudes on which widths are predicted.
MAGNITUDE_Q3 = np.array(
    [((1 + n) ** 16).bit_length() // 2 for n in range(CONTEXT_MAX + 1)], np.float32
)

Code = Callable[
    [npt.NDArray[np.int32] | None, npt.NDArray[np.int32], npt.NDArray[np.int32]],
    npt.NDArray[np.int32],
]


class Arm:
    """One integer entropy network: context ``[n, N_CONTEXT]`` -> location and scale, int32 ``[n]``.

    Inputs are the saturated neighbours and their logarithmic magnitudes; one ReLU layer, whose bias
    depends on the kind of pass, plus a linear shortcut (Cool-chic, Ladune et al., ICCV 2023).

    Args:
        weights: All weights of the file.
        name: ``texture`` or ``geometry``.

    Raises:
        LimitError: a sum could reach 2**53.
    """

    def __init__(self, weights: Weights, name: str) -> None:
        part = {key: weights[f"arm.{name}.{key}"].astype(np.int64) for key in _ARM_TENSORS}
        in_max = CONTEXT_MAX << _IN_BITS
        hidden_bound = np.abs(part["hidden"]).sum(axis=1).max() * in_max + (
            np.abs(part["hidden_bias"]).max() << _IN_BITS
        )
        align = _HIDDEN_BITS - _IN_BITS
        output_bound = (
            np.abs(part["output"]).sum(axis=1).max() * _HIDDEN_MAX
            + ((np.abs(part["shortcut"]).sum(axis=1).max() * in_max) << align)
            + ((np.abs(part["pass_bias"]).max() + np.abs(part["grid_bias"]).max()) << _HIDDEN_BITS)
        )
        bound = 2 * (int(max(hidden_bound, output_bound)) + (1 << 12))
        self.dtype: Any = np.float32 if carrier_bits(bound, f"arm.{name}") == 24 else np.float64
        self.hidden = part["hidden"].T.astype(self.dtype)
        self.hidden_bias = (part["hidden_bias"] << _IN_BITS).astype(self.dtype)
        self.output = part["output"].T.astype(self.dtype)
        self.shortcut = (part["shortcut"].T << align).astype(self.dtype)
        self.pass_bias = (part["pass_bias"] << _HIDDEN_BITS).astype(self.dtype)
        self.grid_bias = (part["grid_bias"] << _HIDDEN_BITS).astype(self.dtype)

    def __call__(
        self, context: npt.NDArray[np.int32], kind: int, grid: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Predict the distributions of one pass.

        Args:
            context: int32 ``[n, N_CONTEXT]``; unknown neighbours are 0.
            kind: Kind of the pass, 0..3.
            grid: Number of the grid among those of this network.

        Returns:
            location int32 ``[n]`` in eighths of a step, and scale int32 ``[n]``, an index of the
            tables.
        """
        near = np.clip(context, -CONTEXT_MAX, CONTEXT_MAX)
        x: npt.NDArray = np.concatenate(
            [near * np.int32(1 << _IN_BITS), MAGNITUDE_Q3[np.abs(near)]],
            axis=1,
            dtype=self.dtype,
            casting="unsafe",
        )
        h = x @ self.hidden
        h += self.hidden_bias[kind]
        h = np.clip(round_shift(h, _IN_BITS + _WEIGHT_BITS - _HIDDEN_BITS), 0, _HIDDEN_MAX)
        y = h @ self.output + x @ self.shortcut
        y += self.pass_bias[kind] + self.grid_bias[grid]
        sum_bits = _HIDDEN_BITS + _WEIGHT_BITS
        location = np.clip(round_shift(y[:, 0], sum_bits - 3), -_LOCATION_MAX, _LOCATION_MAX)
        scale = np.clip(round_shift(y[:, 1], sum_bits - 2), 0, N_SCALES - 1)
        return location.astype(np.int32), scale.astype(np.int32)


_ARM_TENSORS = ("hidden", "hidden_bias", "output", "shortcut", "pass_bias", "grid_bias")


def _context_rows(
    padded: npt.NDArray[np.int32], cross: list[npt.NDArray | None], grid: Grid, p: Pass
) -> npt.NDArray[np.int32]:
    """Context of one pass, int32 ``[n, N_CONTEXT]``, samples in raster order."""
    columns = modelspec.neighbour_context(padded, grid.shape, p)
    columns += [None if c is None else c[p.y0 :: p.stride, p.x0 :: p.stride] for c in cross]
    h, w = (-(-(n - o) // p.stride) for n, o in zip(grid.shape, (p.y0, p.x0), strict=True))
    rows = np.zeros((h, w, N_CONTEXT), np.int32)
    for i, column in enumerate(columns):
        if column is not None:
            rows[..., i] = column
    return rows.reshape(-1, N_CONTEXT)


def _walk(
    header: StreamHeader, weights: Weights, code: Code, given: list[npt.NDArray[np.int32]] | None
) -> list[npt.NDArray[np.int32]]:
    """Pass every sample through ``code`` in coding order; return the grids it gave back."""
    arms = [Arm(weights, name) for name in modelspec.entropy_models(header)]
    n_seen = [0] * len(arms)
    values: list[npt.NDArray[np.int32]] = []
    for grid in modelspec.grids(header):
        h, w = grid.shape
        padded = np.zeros((h + 2 * PAD, w + 2 * PAD), np.int32)
        inner = padded[PAD : PAD + h, PAD : PAD + w]
        cross = modelspec.cross_scale_context(values, grid)
        for p in modelspec.passes(grid.shape):
            samples = inner[p.y0 :: p.stride, p.x0 :: p.stride]
            rows = _context_rows(padded, cross, grid, p)
            location, scale = arms[grid.entropy_model](rows, p.kind, n_seen[grid.entropy_model])
            source = (
                None
                if given is None
                else given[grid.index][p.y0 :: p.stride, p.x0 :: p.stride].ravel()
            )
            samples[...] = code(source, location, scale).reshape(samples.shape)
        n_seen[grid.entropy_model] += 1
        values.append(inner.copy())
    return values


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

    _walk(header, weights, code, latents)
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

    _walk(header, weights, code, latents)
    return total


def unpack_latents(
    header: StreamHeader, weights: Weights, payload: bytes, name: str = ""
) -> list[npt.NDArray[np.int32]]:
    """Decode the payload of the LATENTS section.

    Returns:
        int32 ``[Hg, Wg]`` per grid in coding order.

    Raises:
        CorruptSectionError: the payload does not decode, or a latent is out of range.
    """
    decoder = SymbolDecoder(payload, name)

    def code(_, location, scale):  # type: ignore[no-untyped-def]
        values = decoder.decode(location, scale)
        if values.size and np.abs(values).max() > LATENT_MAX:
            raise CorruptSectionError(
                f"{name}: a latent exceeds +-{LATENT_MAX}; the file is damaged"
            )
        return values

    latents = _walk(header, weights, code, None)
    decoder.finish()
    return latents
