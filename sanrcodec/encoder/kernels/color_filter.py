# SPDX-License-Identifier: MIT
"""The color filter as two kernels, and its gradient as three.

The twin of :class:`sanrcodec.encoder.scene.ColorFilter` of whole views. Must not know of scenes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from sanrcodec.encoder.kernels.device import color_filter as device
from sanrcodec.encoder.kernels.launch import BLOCK, launch, n_programs

__all__ = ["color_filter"]

_TAPS = 9
_PIXELS = 32  # of a program at a time that adds up gradients of weights


def color_filter(
    features: Tensor, linear: Tensor, hidden: Tensor, bias: Tensor, output: Tensor, leak: float
) -> Tensor:
    """Correct the colors, which are the first features.

    Args:
        features: ``[n, F, H, W]`` float32.
        linear: ``[C, F, 3, 3]``.
        hidden: ``[n_hidden, F, 3, 3]``.
        bias: ``[n_hidden]``.
        output: ``[C, n_hidden, 3, 3]``.
        leak: Slope of the hidden units below zero.
    """
    tensors = features, torch.cat([linear, hidden]), bias, output
    corrected: Tensor = _ColorFilter.apply(*(tensor.contiguous() for tensor in tensors), leak)  # type: ignore[no-untyped-call]
    return corrected


def _sizes(features: Tensor, output: Tensor) -> dict[str, int]:
    n_colors, n_hidden = output.shape[:2]
    return {"n_in": features.shape[1], "n_colors": n_colors, "n_hidden": n_hidden}


def _n_blocks(features: Tensor, border: int = 0) -> int:
    n, _, height, width = features.shape
    return int(n * -(-(height + 2 * border) * (width + 2 * border) // BLOCK))


def _parts(weight: Tensor, output: Tensor) -> list[int]:
    """Sums for the weights of features, for those of hidden units, and for biases.

    As :func:`.device.color_filter.weight_gradients` has them.
    """
    (n_out, n_in), (n_colors, n_hidden) = weight.shape[:2], output.shape[:2]
    return [n_in * n_out, n_hidden * n_colors, n_hidden]


class _ColorFilter(Function):
    """:func:`color_filter`, whose weights for features are one tensor."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, output: Tensor, leak: float
    ) -> Tensor:
        """Correct the colors, from a linear part and hidden units that are kept."""
        n, _, height, width = features.shape
        sizes, n_blocks = _sizes(features, output), _n_blocks(features)
        found = features.new_empty(n, len(weight), height, width)
        corrected = torch.empty_like(features)
        launch(
            device.unfold, features, n_blocks,
            features, weight, bias, found, n_blocks, height, width, leak, **sizes,
        )  # fmt: skip
        launch(
            device.correct, features, n_blocks,
            features, found, output, corrected, n_blocks, height, width, **sizes,
        )  # fmt: skip
        ctx.save_for_backward(features, weight, output, found)
        ctx.leak = leak
        return corrected

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Of the hidden units first, then of the features and of all weights."""
        features, weight, output, found = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        n, _, height, width = features.shape
        sizes, n_blocks = _sizes(features, output), _n_blocks(features, border=1)
        of_hidden = features.new_zeros(n, sizes["n_hidden"], height, width)
        of_features = torch.zeros_like(features)
        launch(
            device.hidden_gradient, features, n_blocks,
            gradient, found, output, of_hidden, n_blocks, height, width, ctx.leak, **sizes,
        )  # fmt: skip
        launch(
            device.input_gradient, features, n_blocks,
            gradient, of_hidden, weight, of_features, n_blocks, height, width, **sizes,
        )  # fmt: skip
        n_blocks = n * -(-height * width // _PIXELS)
        parts = _parts(weight, output)
        sums = features.new_empty(n_programs(features, n_blocks, _TAPS) // _TAPS, _TAPS, sum(parts))
        launch(
            device.weight_gradients, features, n_blocks,
            features, found, gradient, of_hidden, sums, n_blocks, height, width, **sizes,
            n_parts=_TAPS, BLOCK=_PIXELS,
        )  # fmt: skip
        of_weight, of_output, of_bias = sums.sum(0).split(parts, 1)
        of_weight, of_output = (
            part.T.unflatten(0, (-1, len(filters))).transpose(0, 1).reshape(filters.shape)
            for part, filters in ((of_weight, weight), (of_output, output))
        )
        return of_features, of_weight, of_bias[0], of_output, None
