# SPDX-License-Identifier: MIT
"""What a weight tensor is to the bitstream: name, shape, precision, and how it begins.

Must not know what a network computes. See format_spec.md section 5.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["BIAS_BITS", "WEIGHT_BITS", "TensorSpec", "Weights", "dense_tensors"]

# Tensors by name, in units of 2**-exponent.
Weights = dict[str, npt.NDArray[np.int32]]

WEIGHT_BITS = 7  # fraction bits of most weights
BIAS_BITS = 10  # fraction bits of the biases of dense layers


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One weight tensor: real value = ``(default + coded difference) * 2**-exponent``.

    Attributes:
        name: Part of the model, layer and role.
        shape: Sizes.
        exponent: Fraction bits.
        amplitude: Real size of the pseudo-random default of tensors that were not trained.
        offset: Integers that are added to that default, along the last axis.
        n_latent_inputs: Leading columns that meet latents, whose step is the header's gain.
    """

    name: str
    shape: tuple[int, ...]
    exponent: int
    amplitude: float = 0.0
    offset: tuple[int, ...] = (0,)
    n_latent_inputs: int = 0

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


def dense_tensors(
    name: str, n_in: int, n_out: int, amplitude: float = 0.0, n_latent_inputs: int = 0
) -> list[TensorSpec]:
    """Weights ``[n_out, n_in]`` and bias ``[n_out]`` of a dense layer."""
    return [
        TensorSpec(
            f"{name}.weight", (n_out, n_in), WEIGHT_BITS, amplitude,
            n_latent_inputs=n_latent_inputs,
        ),
        TensorSpec(f"{name}.bias", (n_out,), BIAS_BITS),
    ]  # fmt: skip
