# SPDX-License-Identifier: MIT
"""Real weights and their bits as one kernel.

The twin of :class:`sanrcodec.encoder.parameters.WeightVector`. Must not know of its tensors' names.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from sanrcodec.bitstream.tables import MAX_RESIDUAL
from sanrcodec.bitstream.weights import WEIGHT_MAX
from sanrcodec.encoder.kernels.device import weights as device
from sanrcodec.encoder.kernels.launch import spread

__all__ = ["real_weights"]


def real_weights(
    weights: Tensor, bounds: Tensor, constants: tuple[Tensor, ...], widths: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Real weights after rounding, and their bits.

    Args:
        weights: Parameters, ``[N]`` float32.
        bounds: Where each tensor begins, and the end, int32.
        constants: Steps of the differences, units of the parameters, steps of real weights, and
            defaults, ``[N]`` each.
        widths: The least and the largest of a tensor's distribution.
    """
    real, bits = _RealWeights.apply(weights, bounds, constants, widths)  # type: ignore[no-untyped-call]
    return real, bits


class _RealWeights(Function):
    """:func:`real_weights`."""

    @staticmethod
    def forward(
        ctx: Any, weights: Tensor, bounds: Tensor, constants: tuple[Tensor, ...], widths: Any
    ) -> tuple[Tensor, Tensor]:
        """Round, and keep the slopes."""
        real, factors, slopes = (torch.empty_like(weights) for _ in range(3))
        ctx.save_for_backward(factors, slopes)
        bits = weights.new_empty(len(bounds) - 1)
        spread(
            device.forward, weights, len(bits), 1,
            weights, bounds, *constants, real, bits, factors, slopes,
            *widths, float(WEIGHT_MAX), float(MAX_RESIDUAL),
        )  # fmt: skip
        return real, bits.sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Multiply by the slopes."""
        factors, slopes = ctx.saved_tensors
        of_real, of_bits = gradients
        return torch.addcmul(of_real * factors, of_bits, slopes), None, None, None
