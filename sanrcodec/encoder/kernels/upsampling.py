# SPDX-License-Identifier: MIT
"""Twice the samples along an axis, as one kernel, and its gradient as another.

Must not know what the samples are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sanrcodec.encoder.kernels.device import upsampling as device
from sanrcodec.encoder.kernels.launch import BLOCK, launch

__all__ = ["upsample"]


def upsample(
    x: Tensor, filters: Sequence[Sequence[float]], axis: int, before: int, size: int, first: int
) -> Tensor:
    """See :func:`sanrcodec.encoder.functions.upsample_axis`.

    Args:
        x: ``[..., n, m]`` float32.
        filters: Taps for even and for odd samples.
        axis: -2 or -1.
        before: Taps left of sample ``i``.
        size: Samples to keep.
        first: Of these.
    """
    taps = [tap for pair in zip(*filters, strict=True) for tap in pair]
    y: Tensor = _forward(x.contiguous(), taps, axis + x.ndim, before, size, first)
    return y


# In the functions below taps of even and of odd samples take turns.


@torch.library.custom_op("sanrcodec::upsample", mutates_args=())
def _forward(x: Tensor, taps: list[float], axis: int, before: int, size: int, first: int) -> Tensor:
    y = _resized(x, axis, size)
    n, inner = x.shape[axis], math.prod(x.shape[axis + 1 :])
    n_blocks = -(-y.numel() // BLOCK)
    launch(
        device.forward, x, n_blocks, x, y, y.numel(), n_blocks, n, inner, size, first,
        taps=tuple(taps), before=before,
    )  # fmt: skip
    return y


@_forward.register_fake
def _(x: Tensor, taps: list[float], axis: int, before: int, size: int, first: int) -> Tensor:
    return _resized(x, axis, size)


@torch.library.custom_op("sanrcodec::upsample_backward", mutates_args=())
def _backward(
    gradient: Tensor, taps: list[float], axis: int, before: int, n: int, first: int
) -> Tensor:
    x = _resized(gradient, axis, n)
    size, inner = gradient.shape[axis], math.prod(gradient.shape[axis + 1 :])
    at_first, at_last = _edges(taps, before)
    n_blocks = -(-x.numel() // BLOCK)
    launch(
        device.backward, x, n_blocks, gradient.contiguous(), x, x.numel(), n_blocks, n, inner,
        size, first, taps=tuple(taps), at_first=at_first, at_last=at_last, before=before,
    )  # fmt: skip
    return x


@_backward.register_fake
def _(gradient: Tensor, taps: list[float], axis: int, before: int, n: int, first: int) -> Tensor:
    return _resized(gradient, axis, n)


def _resized(x: Tensor, axis: int, size: int) -> Tensor:
    return x.new_empty(*x.shape[:axis], size, *x.shape[axis + 1 :])


def _edges(taps: list[float], before: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What each tap gains of those beyond an edge, at the first sample and at the last.

    Taps that would look beyond the first sample look at it instead: its gradient has, through each
    tap, all those before it, too.
    """
    places = [(k, p) for k in range(len(taps) // 2) for p in (0, 1)]
    at_first = tuple(sum(taps[p : 2 * k : 2]) if k <= before else 0.0 for k, p in places)
    at_last = tuple(sum(taps[2 * k + 2 + p :: 2]) if k >= before else 0.0 for k, p in places)
    return at_first, at_last


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, taps, axis, before, _, first = inputs
    ctx.arguments = taps, axis, before, x.shape[axis], first


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return _backward(gradient, *ctx.arguments), None, None, None, None, None


_forward.register_autograd(_gradients, setup_context=_setup)
