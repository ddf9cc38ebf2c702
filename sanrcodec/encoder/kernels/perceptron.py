# SPDX-License-Identifier: MIT
"""Small networks with one hidden layer as one kernel, and their gradients as another.

These are the trunks of scenes and the network of views. Must not know of either.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

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
    y: Tensor = _forward(x, none if shared is None else shared, *weights, scale, leak)
    return y


def _sizes(x: Tensor, shared: Tensor, a_bias: Tensor, h_weight: Tensor, o_weight: Tensor) -> _Sizes:
    n_in, (n_hidden, h_stride), (n_out, n_seen) = x.shape[1], h_weight.shape, o_weight.shape
    n_shared = shared.shape[0] if shared.ndim == 2 else 0
    direct = n_seen > n_hidden
    return _Sizes(n_in, n_shared, n_out, n_hidden, h_stride, a_bias.numel() > 0, direct)


@torch.library.custom_op("sanrcodec::perceptron", mutates_args=())
def _forward(
    x: Tensor, shared: Tensor, a_weight: Tensor, a_bias: Tensor, h_weight: Tensor, h_bias: Tensor,
    o_weight: Tensor, o_bias: Tensor, scale: float, leak: float,
) -> Tensor:  # fmt: skip
    sizes = _sizes(x, shared, a_bias, h_weight, o_weight)
    n, _, n_rows = x.shape
    y = x.new_empty(n, sizes.n_out, n_rows)
    n_blocks = n * -(-n_rows // BLOCK)
    launch(
        device.forward, x, n_blocks,
        *_dense(x, shared, a_weight, a_bias, h_weight, h_bias, o_weight, o_bias), y,
        n_rows, n_blocks, _bias_stride(h_bias), scale, leak, **sizes._asdict(),
    )  # fmt: skip
    return y


@_forward.register_fake
def _(
    x: Tensor, shared: Tensor, a_weight: Tensor, a_bias: Tensor, h_weight: Tensor, h_bias: Tensor,
    o_weight: Tensor, o_bias: Tensor, scale: float, leak: float,
) -> Tensor:  # fmt: skip
    return x.new_empty(len(x), len(o_weight), x.shape[2])


@torch.library.custom_op("sanrcodec::perceptron_backward", mutates_args=())
def _backward(
    x: Tensor, shared: Tensor, a_weight: Tensor, a_bias: Tensor, h_weight: Tensor, h_bias: Tensor,
    o_weight: Tensor, gradient: Tensor, scale: float, leak: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradient of ``x``, and sums ``[n, n_sums, width]``."""
    sizes = _sizes(x, shared, a_bias, h_weight, o_weight)
    n, _, n_rows = x.shape
    gx = x.new_empty(x.shape)
    sums = x.new_zeros(N_COPIES, n, sizes.n_sums, sizes.width)
    n_blocks = n * -(-n_rows // BLOCK)
    launch(
        device.backward, x, n_blocks,
        *_dense(x, shared, a_weight, a_bias, h_weight, h_bias, o_weight, gradient), gx, sums,
        n_rows, n_blocks, _bias_stride(h_bias), N_COPIES, scale, leak, **sizes._asdict(),
        WIDTH=sizes.width,
    )  # fmt: skip
    return gx, sums.sum(0)


@_backward.register_fake
def _(
    x: Tensor, shared: Tensor, a_weight: Tensor, a_bias: Tensor, h_weight: Tensor, h_bias: Tensor,
    o_weight: Tensor, gradient: Tensor, scale: float, leak: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    sizes = _sizes(x, shared, a_bias, h_weight, o_weight)
    return x.new_empty(x.shape), x.new_empty(len(x), sizes.n_sums, sizes.width)


def _dense(*tensors: Tensor) -> list[Tensor]:
    return [tensor.contiguous() for tensor in tensors]


def _bias_stride(bias: Tensor) -> int:
    return bias.shape[1] if bias.ndim == 2 else 0


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, _, scale, leak = inputs  # gradients do not depend on the output's bias
    ctx.save_for_backward(*tensors)
    ctx.constants = scale, leak


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x, shared, a_weight, a_bias, h_weight, h_bias, o_weight = ctx.saved_tensors
    sizes = _sizes(x, shared, a_bias, h_weight, o_weight)
    gx, of_each = _backward(
        x, shared, a_weight, a_bias, h_weight, h_bias, o_weight, gradient, *ctx.constants
    )
    # As device.perceptron.backward adds them up.
    n_in, n_shared, n_out, n_hidden, h_stride, gated, direct = sizes
    n_direct = n_in * direct
    of_gates, of_bias, of_direct, of_hidden = of_each.sum(0).split(
        [n_in * gated, 1, n_direct, n_hidden]
    )
    hidden_units, of_x, of_shared, _ = of_hidden.split(
        [n_out, n_in, n_shared, sizes.width - n_out - n_in - n_shared], 1
    )
    ga: tuple[Tensor | None, Tensor | None] = (None, None)
    if gated:
        ga = of_gates[:, 1 : 1 + n_in].T, of_gates[:, 0]
    gh: tuple[Tensor | None, Tensor | None] = (None, None)
    if n_hidden:
        unused = of_x.new_zeros(n_hidden, h_stride - n_in - n_shared)
        at = n_out + n_in + n_shared
        biases = of_each[:, -n_hidden:, at] if h_bias.ndim == 2 else of_hidden[:, at]
        gh = torch.cat([of_x, unused, of_shared], 1), biases
    go = torch.cat([of_direct[:, :n_out], hidden_units]).T
    return gx, None, *ga, *gh, go, of_bias[0, :n_out], None, None


_forward.register_autograd(_gradients, setup_context=_setup)
