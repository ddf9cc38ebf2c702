# SPDX-License-Identifier: MIT
"""Small networks with one hidden layer as one kernel, and their gradients as another.

These are the trunks of scenes and the network of views. Must not know of either.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import Function

from sanrcodec.encoder.kernels.device import perceptron as device
from sanrcodec.encoder.kernels.launch import BLOCK, N_COPIES, launch

__all__ = ["Layer", "perceptron"]


Layer = tuple[Tensor, Tensor]  # weights [n_out, n_in] and bias


class _Sizes(NamedTuple):
    """Those of a network."""

    n_in: int
    n_shared: int
    n_out: int
    n_hidden: int
    h_stride: int
    gated: bool
    direct: bool

    @property
    def n_sums(self) -> int:
        """Rows of sums: one for each gate, direct input and hidden unit, and one for biases."""
        return self.n_in * (self.gated + self.direct) + 1 + self.n_hidden

    @property
    def width(self) -> int:
        """Numbers of a row of sums."""
        of_hidden = self.n_out + self.n_in + self.n_shared + 1
        return 1 << max(3, (of_hidden - 1).bit_length())


def perceptron(
    x: Tensor,
    attention: Layer | None,
    hidden: Layer | None,
    output: Layer,
    scale: float,
    leak: float,
    shared: Tensor | None = None,
) -> Tensor:
    """Attention gate, hidden and output layer at every place.

    Args:
        x: ``[n, n_in, P]`` float32.
        attention: ``[n_in, n_in]`` and ``[n_in]``, or None.
        hidden: Weights ``[n_hidden, n_in]`` or wider, and bias ``[n_hidden]`` or ``[n, n_hidden]``.
            The first columns are those of ``x``, the last those of ``shared``, others are not used.
        output: ``[n_out, n_in + n_hidden]`` and bias, or ``[n_out, n_hidden]``, which does not
            look at ``x``.
        scale: Of ``x``.
        leak: Slope of the hidden units below zero.
        shared: ``[m, P]``, inputs of the hidden layer that all ``n`` have in common; they get no
            gradient.

    Returns:
        ``[n, n_out, P]``.
    """
    none = x.new_empty(0)
    weights = [*(attention or (none, none)), *(hidden or (none.reshape(0, 0), none)), *output]
    tensors = [x, none if shared is None else shared, *weights]
    y: Tensor = _Perceptron.apply(scale, leak, *(tensor.contiguous() for tensor in tensors))  # type: ignore[no-untyped-call]
    return y


def _sizes(
    x: Tensor, shared: Tensor, _: Tensor, a_bias: Tensor, h_weight: Tensor, h_bias: Tensor,
    o_weight: Tensor,
) -> _Sizes:  # fmt: skip
    n_in, (n_hidden, h_stride), (n_out, n_seen) = x.shape[1], h_weight.shape, o_weight.shape
    n_shared = shared.shape[0] if shared.ndim == 2 else 0
    direct = n_seen > n_hidden
    return _Sizes(n_in, n_shared, n_out, n_hidden, h_stride, a_bias.numel() > 0, direct)


def _counts(x: Tensor, h_bias: Tensor) -> tuple[int, int, int]:
    """Rows of an image, blocks of all images, and hidden biases of an image of its own."""
    n, _, n_rows = x.shape
    return n_rows, n * -(-n_rows // BLOCK), h_bias.shape[1] if h_bias.ndim == 2 else 0


class _Perceptron(Function):
    """:func:`perceptron`, where tensors that are None there are empty."""

    @staticmethod
    def forward(ctx: Any, scale: float, leak: float, *tensors: Tensor) -> Tensor:
        """Compute all layers."""
        *others, _ = tensors  # gradients do not depend on the output's bias
        ctx.save_for_backward(*others)
        ctx.constants = scale, leak
        x, h_bias, sizes = tensors[0], tensors[5], _sizes(*others)
        counts = _counts(x, h_bias)
        y = x.new_empty(len(x), sizes.n_out, x.shape[2])
        launch(device.forward, x, counts[1], *tensors, y, *counts, scale, leak, **sizes._asdict())
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Compute them again, which takes less than to keep them."""
        tensors = ctx.saved_tensors
        x, h_bias, sizes = tensors[0], tensors[5], _sizes(*tensors)
        counts = _counts(x, h_bias)
        gx = torch.empty_like(x)
        sums = x.new_zeros(N_COPIES, len(x), sizes.n_sums, sizes.width)
        launch(
            device.backward, x, counts[1],
            *tensors, gradients[0].contiguous(), gx, sums, *counts, N_COPIES, *ctx.constants,
            **sizes._asdict(), WIDTH=sizes.width,
        )  # fmt: skip
        return None, None, gx, None, *_of_weights(sums.sum(0), sizes, h_bias.ndim == 2)


def _of_weights(of_each: Tensor, sizes: _Sizes, has_biases: bool) -> list[Tensor | None]:
    """Gradients of all weights and biases.

    Args:
        of_each: ``[n, n_sums, width]``, sums as :func:`.device.perceptron.backward` has them.
        sizes: Of the network.
        has_biases: Whether each image has hidden biases of its own.
    """
    n_in, n_shared, n_out, n_hidden, h_stride, gated, direct = sizes
    of_gates, of_bias, of_direct, of_hidden = of_each.sum(0).split(
        [n_in * gated, 1, n_in * direct, n_hidden]
    )
    hidden_units, of_x, of_shared, _ = of_hidden.split(
        [n_out, n_in, n_shared, sizes.width - n_out - n_in - n_shared], 1
    )
    ga: list[Tensor | None] = [None, None]
    if gated:
        ga = [of_gates[:, 1 : 1 + n_in].T, of_gates[:, 0]]
    gh: list[Tensor | None] = [None, None]
    if n_hidden:
        unused = of_x.new_zeros(n_hidden, h_stride - n_in - n_shared)
        at = n_out + n_in + n_shared
        biases = of_each[:, -n_hidden:, at] if has_biases else of_hidden[:, at]
        gh = [torch.cat([of_x, unused, of_shared], 1), biases]
    go = torch.cat([of_direct[:, :n_out], hidden_units]).T
    return [*ga, *gh, go, of_bias[0, :n_out]]
