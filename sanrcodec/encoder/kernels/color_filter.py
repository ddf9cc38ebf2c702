# SPDX-License-Identifier: MIT
"""The color filter as two kernels, and its gradient as three.

The twin of :class:`sanrcodec.encoder.scene.ColorFilter` of whole views. Must not know of scenes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

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
    weight = torch.cat([linear, hidden])
    corrected: Tensor
    corrected, _ = _forward(features, weight, bias, output, leak)
    return corrected


def _sizes(features: Tensor, output: Tensor) -> dict[str, int]:
    n_colors, n_hidden = output.shape[:2]
    return {"n_in": features.shape[1], "n_colors": n_colors, "n_hidden": n_hidden}


def _n_blocks(features: Tensor, border: int = 0) -> int:
    n, _, height, width = features.shape
    return int(n * -(-(height + 2 * border) * (width + 2 * border) // BLOCK))


@torch.library.custom_op("sanrcodec::color_filter", mutates_args=())
def _forward(
    features: Tensor, weight: Tensor, bias: Tensor, output: Tensor, leak: float
) -> tuple[Tensor, Tensor]:
    """Corrected features, and linear part and hidden units."""
    n, _, height, width = features.shape
    features, weight, output = features.contiguous(), weight.contiguous(), output.contiguous()
    sizes, n_blocks = _sizes(features, output), _n_blocks(features)
    found = features.new_empty(n, len(weight), height, width)
    corrected = torch.empty_like(features)
    launch(
        device.unfold, features, n_blocks,
        features, weight, bias.contiguous(), found, n_blocks, height, width, leak, **sizes,
    )  # fmt: skip
    launch(
        device.correct, features, n_blocks,
        features, found, output, corrected, n_blocks, height, width, **sizes,
    )  # fmt: skip
    return corrected, found


@_forward.register_fake
def _(
    features: Tensor, weight: Tensor, bias: Tensor, output: Tensor, leak: float
) -> tuple[Tensor, Tensor]:
    n, _, height, width = features.shape
    found = features.new_empty(n, len(weight), height, width)
    return features.new_empty(features.shape), found


@torch.library.custom_op("sanrcodec::color_filter_backward", mutates_args=())
def _backward(
    features: Tensor, weight: Tensor, output: Tensor, found: Tensor, gradient: Tensor, leak: float
) -> tuple[Tensor, Tensor]:
    """Gradient of the features, and sums as :func:`.device.color_filter.weight_gradients` has."""
    n, _, height, width = features.shape
    features, weight, output = features.contiguous(), weight.contiguous(), output.contiguous()
    gradient = gradient.contiguous()
    sizes, n_blocks = _sizes(features, output), _n_blocks(features, border=1)
    of_hidden = features.new_zeros(n, sizes["n_hidden"], height, width)
    of_features = torch.zeros_like(features)
    launch(
        device.hidden_gradient, features, n_blocks,
        gradient, found, output, of_hidden, n_blocks, height, width, leak, **sizes,
    )  # fmt: skip
    launch(
        device.input_gradient, features, n_blocks,
        gradient, of_hidden, weight, of_features, n_blocks, height, width, **sizes,
    )  # fmt: skip
    n_blocks = n * -(-height * width // _PIXELS)
    n_sums = sum(_parts(weight, output))
    sums = features.new_empty(n_programs(features, n_blocks, _TAPS) // _TAPS, _TAPS, n_sums)
    launch(
        device.weight_gradients, features, n_blocks,
        features, found, gradient, of_hidden, sums, n_blocks, height, width, **sizes,
        n_parts=_TAPS, BLOCK=_PIXELS,
    )  # fmt: skip
    return of_features, sums.sum(0)


@_backward.register_fake
def _(
    features: Tensor, weight: Tensor, output: Tensor, found: Tensor, gradient: Tensor, leak: float
) -> tuple[Tensor, Tensor]:
    n_sums = sum(_parts(weight, output))
    return features.new_empty(features.shape), features.new_empty(_TAPS, n_sums)


def _parts(weight: Tensor, output: Tensor) -> list[int]:
    """Sums for the weights of features, for those of hidden units, and for biases."""
    (n_out, n_in), (n_colors, n_hidden) = weight.shape[:2], output.shape[:2]
    return [n_in * n_out, n_hidden * n_colors, n_hidden]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    features, weight, _, taps, ctx.leak = inputs
    ctx.save_for_backward(features, weight, taps, output[1])
    ctx.mark_non_differentiable(output[1])


def _gradients(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    features, weight, taps, found = ctx.saved_tensors
    of_features, sums = _backward(features, weight, taps, found, gradient, ctx.leak)
    of_weight, of_taps, of_bias = sums.split(_parts(weight, taps), 1)
    of_weight, of_taps = (
        part.T.unflatten(0, (-1, len(filters))).transpose(0, 1).reshape(filters.shape)
        for part, filters in ((of_weight, weight), (of_taps, taps))
    )
    return of_features, of_weight, of_bias[0], of_taps, None


_forward.register_autograd(_gradients, setup_context=_setup)
