# SPDX-License-Identifier: MIT
"""Differentiable array functions that torch lacks or differentiates slowly.

Must not know of scenes, latents or files.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

__all__ = ["ClampInward", "Doubling"]


class ClampInward(Function):
    """Clamp whose gradient survives outside the range where it points back into it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        """Clamp."""
        ctx.save_for_backward(x)
        ctx.range = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Drop what points outward from outside."""
        (x,), (gradient,), (low, high) = ctx.saved_tensors, gradients, ctx.range
        outward = ((x > high) & (gradient < 0)) | ((x < low) & (gradient > 0))
        return gradient.masked_fill(outward, 0.0), None, None


Taps = tuple[tuple[float, ...], tuple[float, ...]]


class Doubling(Function):
    """Twice the samples along an axis: a pair of constant filters, interleaved.

    ``out[2 i + p] = sum_k taps[p][k] * x[clamp(i + k - before)]``. Written out as shifted
    additions, because convolutions of single planes, and the autograd of slices, are many times
    slower.

    Args of ``apply``:
        x: Any shape.
        taps: Two tuples of one length.
        axis: Not negative.
        before: Taps left of sample ``i``.
        fused: Compile either direction to one or two kernels.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Taps, axis: int, before: int, fused: bool) -> Tensor:
        """Double."""
        ctx.arguments = taps, axis, before, fused
        return _along(_double, x, *ctx.arguments)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Apply the transposed filters."""
        return _along(_double_transposed, gradients[0], *ctx.arguments), None, None, None, None


def _along(
    function: Callable[..., Tensor], x: Tensor, taps: Taps, axis: int, before: int, fused: bool
) -> Tensor:
    """Apply a function of ``[A, n, B]`` along an axis."""
    outer, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    # A single plane is small, and would be compiled once more.
    run = _fused(function, taps, before) if fused and outer > 1 else function
    result: Tensor = run(x.reshape(outer, x.shape[axis], inner), taps, before)
    return result.reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :])


@cache
def _fused(function: Callable[..., Tensor], taps: Taps, before: int) -> Callable[..., Tensor]:
    """A compiled copy for every pair of filters; sizes stay variable."""
    # Every pair, and an inner size of 1, count as a recompilation.
    torch._dynamo.config.recompile_limit = max(32, torch._dynamo.config.recompile_limit)

    def copy(x: Tensor, *_: Any) -> Tensor:
        return function(x, taps, before)

    return torch.compile(copy, fullgraph=True, dynamic=True)


def _correlate(padded: Tensor, taps: tuple[float, ...], n: int) -> Tensor:
    used = [(k, tap) for k, tap in enumerate(taps) if tap]
    out = padded.narrow(1, used[0][0], n) * used[0][1]
    for k, tap in used[1:]:
        out.add_(padded.narrow(1, k, n), alpha=tap)
    return out


def _double(x: Tensor, taps: Taps, before: int) -> Tensor:
    """``[A, n, B]`` -> ``[A, 2 n, B]``."""
    outer, n, inner = x.shape
    after = len(taps[0]) - 1 - before
    padded = torch.cat([x[:, :1]] * before + [x] + [x[:, -1:]] * after, 1)
    return torch.stack([_correlate(padded, t, n) for t in taps], 2).reshape(outer, 2 * n, inner)


def _double_transposed(gradient: Tensor, taps: Taps, before: int) -> Tensor:
    """``[A, 2 n, B]`` -> ``[A, n, B]``."""
    outer, doubled, inner = gradient.shape
    n, reach = doubled // 2, len(taps[0]) - 1
    phases = gradient.reshape(outer, n, 2, inner).unbind(2)
    zeros = gradient.new_zeros(outer, reach, inner)
    even, odd = (
        _correlate(torch.cat([zeros, phase, zeros], 1), t[::-1], n + reach)
        for phase, t in zip(phases, taps, strict=True)
    )
    full = even + odd
    # What reached the replicated border belongs to the edge samples.
    first = full[:, : before + 1].sum(1, keepdim=True)
    last = full[:, before + n - 1 :].sum(1, keepdim=True)
    if n == 1:
        return first + last - full[:, before : before + 1]
    return torch.cat([first, full[:, before + 1 : before + n - 1], last], 1)
