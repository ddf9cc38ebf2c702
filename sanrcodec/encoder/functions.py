# SPDX-License-Identifier: MIT
"""Differentiable array functions that torch lacks or differentiates slowly.

Must not know of scenes, latents or files.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from sanrcodec.encoder.kernels import runs_on

__all__ = ["clamp", "clamp_inward", "dense", "smooth_axis", "upsample_axis"]

_BLOCK = 1 << 21  # numbers that a CPU works on at once: what fits its cache


def clamp(x: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """The clamp of torch, whose gradient would be five kernels."""
    clamped: Tensor = _Clamp.apply(x, low, high)  # type: ignore[no-untyped-call]
    return clamped


class _Clamp(Function):
    """:func:`clamp`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: Any, high: Any) -> Tensor:
        """Clamp."""
        clamped = torch.clamp(x, low, high)
        ctx.save_for_backward(x == clamped)
        return clamped

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Drop what comes from outside."""
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None


def clamp_inward(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp whose gradient survives outside the range where it points back into it."""
    clamped: Tensor = _ClampInward.apply(x, low, high)  # type: ignore[no-untyped-call]
    return clamped


class _ClampInward(Function):
    """:func:`clamp_inward`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        """Clamp."""
        clamped = x.clamp(low, high)
        ctx.save_for_backward(x - clamped)
        return clamped

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Drop what points outward from outside."""
        (excess,), (gradient,) = ctx.saved_tensors, gradients
        return gradient.masked_fill(excess * gradient < 0, 0.0), None, None


def dense(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """A dense layer at every place: ``weight @ x[i] + bias``.

    Torch's matmul multiplies a transposed copy of ``x``, for one product of all ``i``. On a CPU
    such copies are among the largest costs of a step. A GPU takes twice as long without them: the
    gradient of the weights, a sum over all places, is then one small product per ``i``, which
    leaves most of it idle.

    Args:
        weight: ``[n_out, n_in]``.
        bias: ``[n_out, 1]``, or anything else that broadcasts to the result.
        x: ``[n, n_in, P]``.

    Returns:
        ``[n, n_out, P]``.
    """
    if x.is_cuda:
        return weight @ x + bias
    return torch.baddbmm(bias, weight.expand(len(x), -1, -1), x)


Taps = tuple[tuple[float, ...], tuple[float, ...]]


def upsample_axis(
    x: Tensor, taps: Taps, axis: int, before: int, size: int, first: int = 0
) -> Tensor:
    """Twice the samples along an axis: a pair of constant filters, interleaved.

    ``out[2 i + p] = sum_k taps[p][k] * x[clamp(i + k - before)]``. The convolutions of torch, and
    the autograd of slices, are many times slower on few channels. A CPU adds shifted copies. A GPU
    has a kernel for it. Without Triton it multiplies with the matrix of the whole axis: mostly
    zeros, but measured on views of 383 to 840 pixels one product takes less than blocks of them.

    Args:
        x: ``[..., n, m]``.
        taps: Two tuples of one length.
        axis: -2 or -1.
        before: Taps left of sample ``i``.
        size: Samples to keep.
        first: Of these; ``first + size`` is at most twice the samples of ``x``.
    """
    if runs_on(x):
        from sanrcodec.encoder.kernels.upsampling import upsample

        return upsample(x, taps, axis, before, size, first)
    if x.is_cuda:
        matrix = _matrix(taps, before, x.shape[axis], x.device, x.dtype)[first : first + size]
        return matrix @ x if axis == -2 else x @ matrix.T
    doubled: Tensor = _Upsampling.apply(x, taps, axis, before)  # type: ignore[no-untyped-call]
    # The gradient of a slice is a copy, even where it is the whole.
    return doubled if doubled.shape[axis] == size else doubled.narrow(axis, first, size)


class _Upsampling(Function):
    """:func:`upsample_axis` by shifted copies, whose gradient is added by shifted copies, too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Taps, axis: int, before: int) -> Tensor:
        """Upsample."""
        ctx.arguments = taps, axis, before
        return _along(_upsample, x, 2 * x.shape[axis], *ctx.arguments)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Apply the transposed filters."""
        (gradient,), (taps, axis, before) = gradients, ctx.arguments
        size = gradient.shape[axis] // 2
        return _along(_upsample_transposed, gradient, size, taps, axis, before), None, None, None


def _along(
    function: Callable[[Tensor, Tensor, Taps, int], None],
    x: Tensor,
    size: int,
    taps: Taps,
    axis: int,
    before: int,
) -> Tensor:
    """Apply a function of ``[A, n, B]`` along an axis, which has so many samples afterwards.

    The function writes ``[A, size, B]``. It goes over its arrays many times, hence block by block,
    which a CPU then has in its cache.
    """
    axis += x.ndim
    outer, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    result = x.new_empty(*x.shape[:axis], size, *x.shape[axis + 1 :])
    n_at_once = max(1, _BLOCK // (max(size, x.shape[axis]) * inner))
    parts = (y.reshape(outer, -1, inner).split(n_at_once) for y in (x, result))
    for source, target in zip(*parts, strict=True):
        function(source, target, taps, before)
    return result


def _upsample(x: Tensor, doubled: Tensor, taps: Taps, before: int) -> None:
    """``[A, n, B]`` -> ``[A, 2 n, B]``."""
    outer, n, inner = x.shape
    after = len(taps[0]) - 1 - before
    padded = torch.cat([x[:, :1].expand(-1, before, -1), x, x[:, -1:].expand(-1, after, -1)], 1)
    phases = []
    for filter_taps in taps:
        (first, tap), *others = _non_zero(filter_taps)
        total = padded.narrow(1, first, n)
        if others or tap != 1:
            total = total * tap
        for k, tap in others:
            total.add_(padded.narrow(1, k, n), alpha=tap)
        phases.append(total)
    pairs = doubled.view(outer, n, 2, inner)
    if inner == 1:
        # Pairs of single samples are interleaved many times faster as complex numbers.
        torch.complex(*phases, out=torch.view_as_complex(pairs.transpose(2, 3)))
    else:
        torch.stack(phases, 2, out=pairs)


def _upsample_transposed(gradient: Tensor, result: Tensor, taps: Taps, before: int) -> None:
    """``[A, 2 n, B]`` -> ``[A, n, B]``."""
    outer, n, inner = result.shape
    reach = len(taps[0]) - 1
    full = gradient.new_zeros(outer, n + reach, inner)
    phases = gradient.reshape(outer, n, 2, inner).unbind(2)
    for phase, filter_taps in zip(phases, taps, strict=True):
        phase = phase.contiguous()  # each tap reads it
        for k, tap in _non_zero(filter_taps):
            full.narrow(1, k, n).add_(phase, alpha=tap)
    result.copy_(full.narrow(1, before, n))
    # What reached the replicated border belongs to the edge samples.
    result[:, 0] += full[:, :before].sum(1)
    result[:, -1] += full[:, before + n :].sum(1)


def smooth_axis(x: Tensor, taps: tuple[float, ...], axis: int) -> Tensor:
    """Filter along an axis, with the edge samples repeated.

    As shifted copies, for the reason of :func:`upsample_axis`.

    Args:
        x: ``[..., n, m]``.
        taps: Of the middle sample, then of the pairs around it.
        axis: -2 or -1.
    """
    smooth: Tensor = _Smoothing.apply(x, taps, axis)  # type: ignore[no-untyped-call]
    return smooth


class _Smoothing(Function):
    """:func:`smooth_axis`, whose gradient is added by shifted copies, too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: tuple[float, ...], axis: int) -> Tensor:
        """Filter."""
        ctx.arguments = taps, axis
        n, reach = x.shape[axis], len(taps) - 1
        edges = x.narrow(axis, 0, 1), x.narrow(axis, n - 1, 1)
        wide = torch.cat([*[edges[0]] * reach, x, *[edges[1]] * reach], axis)
        total = x * taps[0]
        for k, tap in enumerate(taps[1:], 1):
            total.add_(wide.narrow(axis, reach - k, n), alpha=tap)
            total.add_(wide.narrow(axis, reach + k, n), alpha=tap)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Apply the transposed filter."""
        (gradient,), (taps, axis) = gradients, ctx.arguments
        n, reach = gradient.shape[axis], len(taps) - 1
        shape = list(gradient.shape)
        shape[axis] += 2 * reach
        full = gradient.new_zeros(shape)
        full.narrow(axis, reach, n).add_(gradient, alpha=taps[0])
        for k, tap in enumerate(taps[1:], 1):
            full.narrow(axis, reach - k, n).add_(gradient, alpha=tap)
            full.narrow(axis, reach + k, n).add_(gradient, alpha=tap)
        # What reached the replicated border belongs to the edge samples.
        result = full.narrow(axis, reach, n)
        result.narrow(axis, 0, 1).add_(full.narrow(axis, 0, reach).sum(axis, keepdim=True))
        beyond = full.narrow(axis, reach + n, reach).sum(axis, keepdim=True)
        result.narrow(axis, n - 1, 1).add_(beyond)
        return result, None, None


def _non_zero(taps: tuple[float, ...]) -> list[tuple[int, float]]:
    return [(k, tap) for k, tap in enumerate(taps) if tap]


@lru_cache(maxsize=64)
def _matrix(taps: Taps, before: int, n: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """``[2 n, n]``: what doubles an axis of ``n`` samples."""
    return _along(_upsample, torch.eye(n, dtype=dtype), 2 * n, taps, -2, before).to(device)
