# SPDX-License-Identifier: MIT
"""Planes along one of their axes: borders, ranges, and the least of what is around."""

from __future__ import annotations

from sanrcodec.arithmetic.ops import Array, Ops

__all__ = ["along", "minimum_filter", "padded"]


def along(axis: int, start: int | None, stop: int | None, step: int = 1) -> tuple[slice, ...]:
    """Index of a range along an axis, 0 or 1."""
    return (slice(None),) * axis + (slice(start, stop, step),)


def padded(x: Array, axis: int, before: int, after: int, ops: Ops) -> Array:
    """``x`` with copies of its first and last samples along an axis, 0 or 1."""
    first, last = (x[:1], x[-1:]) if axis == 0 else (x[:, :1], x[:, -1:])
    return ops.concatenate([first] * before + [x] + [last] * after, axis)


def minimum_filter(x: Array, reach: tuple[int, int], ops: Ops) -> Array:
    """The least of the samples of ``[H, W]`` that are at most ``reach`` rows and columns away."""
    for axis in (0, 1):
        n, window, size = x.shape[axis], 2 * reach[axis] + 1, 1
        least = padded(x, axis, reach[axis], reach[axis], ops)
        while 2 * size <= window:
            least = ops.minimum(least[along(axis, None, -size)], least[along(axis, size, None)])
            size *= 2
        # Two windows of a power of two cover one that is shorter than both.
        last = least[along(axis, window - size, window - size + n)]
        x = ops.minimum(least[along(axis, 0, n)], last)
    return x
