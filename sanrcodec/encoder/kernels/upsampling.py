# SPDX-License-Identifier: MIT
"""Twice the samples along an axis, as one kernel, and its gradient as another.

Must not know what the samples are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.autograd.function import Function

from sanrcodec.encoder.kernels.device import upsampling as device
from sanrcodec.encoder.kernels.launch import spread

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
    y: Tensor = _Upsampling.apply(x.contiguous(), taps, axis, before, size, first)  # type: ignore[no-untyped-call]
    return y


def _resized(x: Tensor, axis: int, size: int) -> Tensor:
    shape = list(x.shape)
    shape[axis] = size
    return x.new_empty(shape)


def _sizes(x: Tensor, axis: int) -> tuple[int, int, int]:
    """Planes, samples of each, and samples between two that follow along an axis."""
    *others, height, width = x.shape
    return math.prod(others), height * width, width if axis == -2 else 1


def _edges(taps: list[float], before: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What each tap gains of those beyond an edge, at the first sample and at the last.

    Taps that would look beyond the first sample look at it instead: its gradient has, through each
    tap, all those before it, too.
    """
    places = [(k, p) for k in range(len(taps) // 2) for p in (0, 1)]
    at_first = tuple(sum(taps[p : 2 * k : 2]) if k <= before else 0.0 for k, p in places)
    at_last = tuple(sum(taps[2 * k + 2 + p :: 2]) if k >= before else 0.0 for k, p in places)
    return at_first, at_last


class _Upsampling(Function):
    """:func:`upsample`, by taps of even and of odd samples in turn."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, taps: list[float], axis: int, before: int, size: int, first: int
    ) -> Tensor:
        """Upsample."""
        n = x.shape[axis]
        ctx.arguments = taps, axis, before, n, first
        y = _resized(x, axis, size)
        n_planes, n_samples, inner = _sizes(x, axis)
        start = first // 2
        n_sources = (first + size + 1) // 2 - start
        n_items = n_samples // n * n_sources
        spread(
            device.forward, x, n_planes, n_items,
            x, y, n_items, n, n_sources, start, inner, size, first,
            taps=tuple(taps), before=before, is_last=inner == 1,
        )  # fmt: skip
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Apply the transposed filters."""
        taps, axis, before, n, first = ctx.arguments
        gradient = gradients[0].contiguous()
        x, size = _resized(gradient, axis, n), gradient.shape[axis]
        n_planes, n_samples, inner = _sizes(x, axis)
        at_first, at_last = _edges(taps, before)
        spread(
            device.backward, x, n_planes, n_samples, gradient, x, n_samples, n, inner, size, first,
            taps=tuple(taps), at_first=at_first, at_last=at_last, before=before,
        )  # fmt: skip
        return x, None, None, None, None, None
