# SPDX-License-Identifier: MIT
"""Pictures made of parts of several views: epipolar planes and stereo pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sanrcodec.arguments import whole
from sanrcodec.errors import LightFieldError
from sanrcodec.rendering.paths import stereo_pair
from sanrcodec.rendering.source import Source

__all__ = ["anaglyph", "epi", "side_by_side"]


def epi(
    source: Source,
    *,
    row: int | None = None,
    column: int | None = None,
    at: float | None = None,
    n: int | None = None,
) -> npt.NDArray[Any]:
    """Epipolar-plane image: one line of pixels as all views of a row or a column see it.

    Bolles, Baker and Marimont, International Journal of Computer Vision, 1987.

    Args:
        source: An opened light field.
        row: Row of pixels; the views are those of a row of the grid.
        column: Column of pixels instead; the views are those of a column of the grid.
        at: Which row, or column, of the grid; the middle one by default.
        n: Views along the line, evenly spaced; those of the grid by default.

    Returns:
        Samples ``[n, W, C]``, or ``[n, H, C]``; the first view is on top.

    Raises:
        LightFieldError: not just one of row and column is given, it lies outside the view, or an
            argument is no number of its kind.
    """
    if (row is None) == (column is None):
        raise LightFieldError("an epipolar plane needs either a row or a column of pixels")
    n_v, n_u, height, width, _ = source.shape
    if row is not None:
        number, size, along, across = whole(row, "row"), height, n_u, n_v
        region = (number, number + 1, 0, width)
    else:
        number, size, along, across = whole(column, "column"), width, n_v, n_u
        region = (0, height, number, number + 1)
    if not 0 <= number < size:
        what = "row" if row is not None else "column"
        raise LightFieldError(f"{what} {number} is outside a view: it has {size} of them")
    fixed = (across - 1) / 2 if at is None else at
    n_lines = along if n is None else whole(n, "n")
    if n_lines < 1:
        raise LightFieldError(f"n is {n_lines}, expected at least 1 view")
    lines = []
    for moving in np.linspace(0, along - 1, n_lines).tolist():
        v, u = (fixed, moving) if row is not None else (moving, fixed)
        part = source.view(v, u, region=region)
        lines.append(part.reshape(-1, part.shape[2]))
    return np.stack(lines)


def side_by_side(source: Source, baseline: float | None = None) -> npt.NDArray[Any]:
    """Views of both eyes ``[H, 2 * W, C]``, the left one on the left."""
    return np.concatenate([source.view(*place) for place in _eyes(source, baseline)], 1)


def anaglyph(source: Source, baseline: float | None = None) -> npt.NDArray[Any]:
    """Both eyes in one picture ``[H, W, 3]``: the left in red, the right in green and blue."""
    left, right = (source.view(*place) for place in _eyes(source, baseline))
    if left.shape[2] == 1:
        left, right = left.repeat(3, 2), right.repeat(3, 2)
    return np.concatenate([left[..., :1], right[..., 1:]], 2)


def _eyes(source: Source, baseline: float | None) -> list[tuple[float, float]]:
    pair = stereo_pair(source.shape[:2], baseline)
    # In an array whose columns run from right to left the eyes change places.
    return pair if source.offset(*pair[1])[1] >= source.offset(*pair[0])[1] else pair[::-1]
