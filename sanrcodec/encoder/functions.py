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

_BLOCK = 32  # samples of an axis that one matrix doubles


class Doubling(Function):
    """Twice the samples along an axis: a pair of constant filters, interleaved.

    ``out[2 i + p] = sum_k taps[p][k] * x[clamp(i + k - before)]``. The convolutions of torch, and
    the autograd of slices, are many times slower on few channels. A CPU adds shifted copies; a GPU,
    for which these are too many small kernels, multiplies overlapping blocks with a band matrix.

    Args of ``apply``:
        x: Any shape.
        taps: Two tuples of one length.
        axis: Not negative.
        before: Taps left of sample ``i``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Taps, axis: int, before: int) -> Tensor:
        """Double."""
        ctx.arguments = taps, axis, before
        return _along(_double, x, *ctx.arguments)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Apply the transposed filters."""
        return _along(_double_transposed, gradients[0], *ctx.arguments), None, None, None


def _along(
    function: Callable[[Tensor, Taps, int, bool], Tensor],
    x: Tensor,
    taps: Taps,
    axis: int,
    before: int,
) -> Tensor:
    """Apply a function of ``[A, n, B]`` along an axis."""
    outer, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    result = function(x.reshape(outer, x.shape[axis], inner), taps, before, x.is_cuda)
    return result.reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :])


def _double(x: Tensor, taps: Taps, before: int, by_blocks: bool) -> Tensor:
    """``[A, n, B]`` -> ``[A, 2 n, B]``."""
    outer, n, inner = x.shape
    after = len(taps[0]) - 1 - before
    if by_blocks:
        after += 1 + -n % _BLOCK
    padded = torch.cat([x[:, :1].expand(-1, before, -1), x, x[:, -1:].expand(-1, after, -1)], 1)
    if by_blocks:
        return _multiply_blocks(padded, _BLOCK, _band(taps, x.device, x.dtype))[:, : 2 * n]
    return torch.stack([_correlate(padded, t, n) for t in taps], 2).reshape(outer, 2 * n, inner)


def _double_transposed(gradient: Tensor, taps: Taps, before: int, by_blocks: bool) -> Tensor:
    """``[A, 2 n, B]`` -> ``[A, n, B]``."""
    outer, doubled, inner = gradient.shape
    n, reach = doubled // 2, len(taps[0]) - 1
    if by_blocks:
        rest = -(n + reach) % _BLOCK
        zeros = gradient.new_zeros(outer, 2 * (reach + 1 + rest), inner)
        padded = torch.cat([zeros[:, : 2 * (reach + 1)], gradient, zeros], 1)
        band = _band_transposed(taps, gradient.device, gradient.dtype)
        full = _multiply_blocks(padded, 2 * _BLOCK, band)[:, : n + reach]
    else:
        zeros = gradient.new_zeros(outer, reach, inner)
        even, odd = (
            _correlate(torch.cat([zeros, phase, zeros], 1), t[::-1], n + reach)
            for phase, t in zip(gradient.reshape(outer, n, 2, inner).unbind(2), taps, strict=True)
        )
        full = even + odd
    # What reached the replicated border belongs to the edge samples.
    full[:, before] += full[:, :before].sum(1)
    full[:, before + n - 1] += full[:, before + n :].sum(1)
    return full[:, before : before + n]


def _correlate(padded: Tensor, taps: tuple[float, ...], n: int) -> Tensor:
    used = [(k, tap) for k, tap in enumerate(taps) if tap]
    out = padded.narrow(1, used[0][0], n) * used[0][1]
    for k, tap in used[1:]:
        out.add_(padded.narrow(1, k, n), alpha=tap)
    return out


def _multiply_blocks(padded: Tensor, step: int, matrix: Tensor) -> Tensor:
    """Multiply overlapping blocks along axis 1, ``step`` apart, with ``matrix``; concatenate."""
    blocks = padded.unfold(1, matrix.shape[1], step)  # [A, blocks, B, size]
    if blocks.shape[2] == 1:
        result = blocks[:, :, 0] @ matrix.T
    else:
        result = matrix @ blocks.transpose(2, 3)
    return result.reshape(len(padded), -1, padded.shape[2])


@cache
def _band(taps: Taps, device: torch.device, dtype: torch.dtype) -> Tensor:
    """``[2 * _BLOCK, _BLOCK + n]``: what doubles a block, ``n`` taps each."""
    n = len(taps[0])
    matrix = torch.zeros(_BLOCK, 2, _BLOCK + n)
    for i in range(_BLOCK):
        matrix[i, :, i : i + n] = torch.tensor(taps)
    return matrix.flatten(0, 1).to(device, dtype)


@cache
def _band_transposed(taps: Taps, device: torch.device, dtype: torch.dtype) -> Tensor:
    """``[_BLOCK, 2 * (_BLOCK + n)]``: the gradient of a block from that of its pairs.

    The pairs begin ``n`` before the block.
    """
    n = len(taps[0])
    matrix = torch.zeros(_BLOCK, _BLOCK + n, 2)
    for i in range(_BLOCK):
        matrix[i, i + 1 : i + 1 + n] = torch.tensor(taps).flip(1).T
    return matrix.flatten(1).to(device, dtype)
