# SPDX-License-Identifier: MIT
"""Default weights, from which a file codes its differences: trained ones, else pseudo-random ones.

Both sides know them, so a file pays only for what the fit changes. They are part of the format.
See format_spec.md section 5.4.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from sanrcodec.bitstream.tensors import TensorSpec, Weights

__all__ = ["default_weights", "trained_weights", "untrained"]


@cache
def trained_weights() -> Weights:
    """Weights that fit many scenes, in units of ``2**-exponent`` at a gain of 1."""
    path = resources.files(__package__) / "default_weights.json"
    table = json.loads(path.read_text(encoding="ascii"))
    return {name: np.array(values, np.int32) for name, values in table.items()}


def default_weights(specs: Sequence[TensorSpec], gain: int) -> Weights:
    """Defaults of all tensors of a model, in coding order.

    Args:
        specs: Tensors in coding order; the place of one among them seeds its pseudo-random default.
        gain: Size of a latent step in sixteenths: what meets latents is scaled by it.
    """
    weights: Weights = {}
    for number, spec in enumerate(specs):
        trained = _trained(spec)
        default = _hashed(spec, number) if trained is None else trained
        n = spec.n_latent_inputs
        if n:
            default = default.copy()
            default[:, :n] = (default[:, :n] * gain + 8) >> 4
        weights[spec.name] = default
    return weights


def untrained(specs: Sequence[TensorSpec]) -> list[str]:
    """Tensors that begin as pseudo-random numbers, since none of their size were trained."""
    table = trained_weights()
    return [
        spec.name
        for spec in specs
        if (spec.name in table or spec.amplitude) and _trained(spec) is None
    ]


def _trained(spec: TensorSpec) -> npt.NDArray[np.int32] | None:
    """The leading block of the trained tensor of that name, if there is one as large."""
    trained = trained_weights().get(spec.name)
    if trained is None or trained.ndim != len(spec.shape):
        return None
    if any(n > m for n, m in zip(spec.shape, trained.shape, strict=True)):
        return None
    block: npt.NDArray[np.int32] = trained[tuple(slice(n) for n in spec.shape)]
    return block


def _hashed(spec: TensorSpec, seed: int) -> npt.NDArray[np.int32]:
    """Pseudo-random weights, uniform in +-amplitude, from a 32-bit integer hash."""
    limit = int(spec.amplitude * (1 << spec.exponent))
    i = np.arange(spec.size, dtype=np.uint64) + np.uint64(seed * 65536 + 1)
    mask = np.uint64(0xFFFFFFFF)
    for multiplier in (0x7FEB352D, 0x846CA68B):
        i ^= i >> np.uint64(16)
        i = (i * np.uint64(multiplier)) & mask
    i ^= i >> np.uint64(15)
    uniform = (i * np.uint64(2 * limit + 1) >> np.uint64(32)).astype(np.int64) - limit
    return uniform.astype(np.int32).reshape(spec.shape) + np.array(spec.offset, np.int32)
