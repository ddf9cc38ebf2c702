# SPDX-License-Identifier: MIT
"""Images sampled between their pixels; knows nothing of light fields.

Cubic convolution with a = -1/2 (Keys, IEEE Transactions on Acoustics, Speech, and Signal
Processing, 1981); beyond the border the last pixels are repeated.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["sampled", "shifted"]

Image = npt.NDArray[np.float32]


def shifted(image: npt.NDArray[Any], dy: float, dx: float) -> Image:
    """The image moved: what was at ``(y + dy, x + dx)`` comes to ``(y, x)``.

    Args:
        image: ``[H, W, C]``.
        dy: Rows, any fraction.
        dx: Columns, likewise.

    Returns:
        float32 ``[H, W, C]``.
    """
    moved = image.astype(np.float32)
    for axis, distance in ((0, dy), (1, dx)):
        whole = int(np.floor(distance))
        n = image.shape[axis]
        total = np.zeros_like(moved)
        for tap, weight in enumerate(_weights(distance - whole)):
            if weight:
                index = np.clip(np.arange(n) + whole + tap - 1, 0, n - 1)
                total += np.float32(weight) * moved.take(index, axis)
        moved = total
    return moved


def sampled(image: npt.NDArray[Any], y: npt.NDArray[Any], x: npt.NDArray[Any]) -> Image:
    """The image at any positions.

    Args:
        image: ``[H, W, C]``.
        y: Rows ``[...]``, any fraction.
        x: Columns, of the same shape.

    Returns:
        float32 ``[..., C]``.
    """
    height, width = image.shape[:2]
    y0, x0 = np.floor(y).astype(int), np.floor(x).astype(int)
    w_y, w_x = _weights(y - y0), _weights(x - x0)
    total = np.zeros((*y.shape, image.shape[2]), np.float32)
    for i in range(4):
        row = np.clip(y0 + i - 1, 0, height - 1)
        for j in range(4):
            column = np.clip(x0 + j - 1, 0, width - 1)
            total += (w_y[i] * w_x[j])[..., None].astype(np.float32) * image[row, column]
    return total


def _weights(t: Any) -> tuple[Any, Any, Any, Any]:
    """Weights of the samples at -1, 0, 1 and 2 for a position at 0 <= t < 1."""
    t2, t3 = t * t, t * t * t
    return (
        -0.5 * t + t2 - 0.5 * t3, 1 - 2.5 * t2 + 1.5 * t3,
        0.5 * t + 2 * t2 - 1.5 * t3, -0.5 * t2 + 0.5 * t3,
    )  # fmt: skip
