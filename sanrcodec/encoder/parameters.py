# SPDX-License-Identifier: MIT
"""The parameters of a fit, two flat vectors, and the integers that a file holds of them.

All latents are one vector and all weights another, so that quantization, rate and optimizer are a
handful of large operations. Must not know what latents and weights mean.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sanrcodec.bitstream.grids import grids
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.tensors import Weights
from sanrcodec.bitstream.weights import WEIGHT_MAX
from sanrcodec.encoder.functions import clamp
from sanrcodec.encoder.kernels import runs_on
from sanrcodec.encoder.part import FloatWeights, Part
from sanrcodec.encoder.quantize import laplace_bits, straight_through
from sanrcodec.scene.parts import default_weights, tensor_specs

__all__ = ["LatentVector", "Planes", "WeightVector"]

# Latent grids by group and level.
Planes = dict[tuple[int, int], Tensor]

# Widths of the Laplace distributions that code weights, in steps: those of the tables.
_WIDTHS = 0.0526, 45.0


class LatentVector:
    """How all latents lie in one vector: grid after grid in coding order.

    Args:
        header: Stream header.

    Attributes:
        grids: In coding order.
        slices: Place of each grid.
        size: Number of latents.
    """

    def __init__(self, header: StreamHeader) -> None:
        self.grids = grids(header)
        self.slices = _slices([grid.shape[0] * grid.shape[1] for grid in self.grids])
        self.size = self.slices[-1].stop

    def size_down_to(self, level: int) -> int:
        """Number of latents of that level and coarser ones, which come first."""
        return sum(math.prod(grid.shape) for grid in self.grids if grid.level >= level)

    def planes(self, latents: Tensor) -> Planes:
        """The grids ``[Hg, Wg]`` of a vector ``[N]``."""
        parts = latents.split([part.stop - part.start for part in self.slices])
        return {
            (grid.group, grid.level): part.reshape(grid.shape)
            for grid, part in zip(self.grids, parts, strict=True)
        }

    def vector(self, latents: list[np.ndarray]) -> Tensor:
        """The vector of some grids ``[Hg, Wg]``, float32 on the CPU."""
        return torch.from_numpy(np.concatenate([grid.ravel() for grid in latents])).float()

    def integers(self, latents: Tensor) -> list[np.ndarray]:
        """Grids of rounded latents ``[N]``, int32 ``[Hg, Wg]``."""
        flat = latents.cpu().numpy().astype(np.int32)
        return [
            flat[part].reshape(grid.shape)
            for grid, part in zip(self.grids, self.slices, strict=True)
        ]


class WeightVector(Part):
    """How all weights lie in one vector, and what quantization makes of them.

    A parameter is the difference to the default. One of 1 is one real unit, but at least 2**7 units
    of tensors with few fraction bits.

    Args:
        header: Stream header.
        device: Where the vector lives.

    Attributes:
        specs: Tensors in coding order.
        slices: Place of each tensor.
        size: Number of weights.
        step: ``[size]``, what differences are rounded to multiples of; the search for the weights'
            steps finds it at the end of a fit.
    """

    step: Tensor
    _bounds: Tensor
    _segment: Tensor
    _segment_size: Tensor
    _unit: Tensor
    _exponent_step: Tensor
    _default: Tensor

    def __init__(self, header: StreamHeader, device: torch.device | str) -> None:
        super().__init__()
        self.specs = tensor_specs(header)
        sizes = [spec.size for spec in self.specs]
        self.slices = _slices(sizes)
        self.size = self.slices[-1].stop
        defaults = default_weights(header)
        segment = np.repeat(np.arange(len(sizes)), sizes)
        exponents = np.array([spec.exponent for spec in self.specs])
        self.constant("step", np.ones(self.size), device)
        self.constant("_bounds", np.cumsum([0, *sizes]), device, torch.int32)
        self.constant("_segment", segment, device, torch.int64)
        self.constant("_segment_size", np.array(sizes), device)
        self.constant("_unit", 2.0 ** np.maximum(7, exponents)[segment], device)
        self.constant("_exponent_step", 2.0 ** -exponents[segment], device)
        self.constant("_default", np.concatenate([d.ravel() for d in defaults.values()]), device)

    @property
    def quantum(self) -> Tensor:
        """``[size]``, what a step changes a parameter by."""
        return self.step / self._unit

    def forward(self, weights: Tensor) -> tuple[FloatWeights, Tensor]:
        """Real weights by their tensors of a vector ``[size]``, and their bits, ``[]``.

        After rounding, through which gradients pass as they are.
        """
        real, bits = self._flat(weights)
        parts = real.split([part.stop - part.start for part in self.slices])
        return {
            spec.name: part.reshape(spec.shape)
            for spec, part in zip(self.specs, parts, strict=True)
        }, bits

    def _flat(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The same as one vector."""
        if runs_on(weights):
            from sanrcodec.encoder.kernels.weights import real_weights

            constants = self.step, self._unit, self._exponent_step, self._default
            return real_weights(weights, self._bounds, constants, _WIDTHS)
        steps = self._coded(weights)
        real = torch.addcmul(self._default, steps, self.step) * self._exponent_step
        magnitude = steps.detach().abs()
        total = torch.zeros_like(self._segment_size).index_add_(0, self._segment, magnitude)
        scale = (total / self._segment_size).clamp(*_WIDTHS).index_select(0, self._segment)
        return real, laplace_bits(steps, torch.zeros_like(steps), scale).sum()

    def vector(self, weights: Weights) -> Tensor:
        """The parameters ``[size]`` that integers of a file stand for, float32 on the device."""
        flat = np.concatenate([weights[spec.name].ravel() for spec in self.specs])
        difference = torch.as_tensor(flat, device=self._default.device) - self._default
        return difference / self._unit

    def integers(self, weights: Tensor) -> Weights:
        """Tensors as the file holds them, int32."""
        flat = self._coded(weights) * self.step + self._default
        flat_q = flat.detach().cpu().numpy().astype(np.int32)
        return {
            spec.name: flat_q[part].reshape(spec.shape)
            for spec, part in zip(self.specs, self.slices, strict=True)
        }

    def _coded(self, weights: Tensor) -> Tensor:
        """Differences to the defaults as they are coded, in steps."""
        limit = torch.floor(WEIGHT_MAX / self.step)
        return clamp(straight_through(weights * (self._unit / self.step)), -limit, limit)


def _slices(sizes: Sequence[int]) -> list[slice]:
    return [slice(a, b) for a, b in itertools.pairwise([0, *itertools.accumulate(sizes)])]
