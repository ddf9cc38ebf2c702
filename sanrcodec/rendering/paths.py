# SPDX-License-Identifier: MIT
"""Ways through the grid of views, for videos, quilts and stereo pairs; decodes nothing."""

from __future__ import annotations

import math

import numpy as np

from sanrcodec.arguments import real
from sanrcodec.errors import LightFieldError

__all__ = ["line", "orbit", "parse_path", "stereo_pair", "there_and_back"]

Path = list[tuple[float, float]]


def orbit(grid: tuple[int, int], n: int, radius: float = 0.9) -> Path:
    """Places ``(v, u)`` of a full ellipse around the middle of the grid, the first not repeated.

    Args:
        grid: Number of views ``(V, U)``.
        n: Places.
        radius: As a share of the way from the middle to the outermost views.
    """
    c_v, c_u = ((size - 1) / 2 for size in grid)
    turns = (2 * math.pi * k / n for k in range(n))
    return [(c_v - radius * c_v * math.cos(t), c_u + radius * c_u * math.sin(t)) for t in turns]


def line(grid: tuple[int, int], n: int, v: float | None = None) -> Path:
    """Places along a row of views, from left to right; along the column if there is but one.

    Args:
        grid: Number of views ``(V, U)``.
        n: Places.
        v: The row; the middle one by default.
    """
    n_v, n_u = grid
    if n_u == 1 and n_v > 1 and v is None:
        return [(p, 0.0) for p in np.linspace(0, n_v - 1, n).tolist()]
    row = (n_v - 1) / 2 if v is None else v
    return [(row, u) for u in np.linspace(0, n_u - 1, n).tolist()]


def there_and_back(grid: tuple[int, int], n: int) -> Path:
    """Places along the line of :func:`line` and back, the first not repeated.

    Args:
        grid: Number of views ``(V, U)``.
        n: Places.
    """
    (v0, u0), (v1, u1) = line(grid, 2)
    parts = (1 - abs(1 - 2 * k / n) for k in range(n))
    return [(v0 + part * (v1 - v0), u0 + part * (u1 - u0)) for part in parts]


def stereo_pair(grid: tuple[int, int], baseline: float | None = None) -> Path:
    """Places of the left and the right eye.

    Args:
        grid: Number of views ``(V, U)``.
        baseline: Distance in views; half of the grid by default.

    Raises:
        LightFieldError: the baseline is wider than the grid.
    """
    n_v, n_u = grid
    width = (n_u - 1) / 2 if baseline is None else real(baseline, "baseline")
    if not 0 <= width <= n_u - 1:
        raise LightFieldError(
            f"a baseline of {width:g} views is not possible; {n_u} views in a row "
            f"allow 0..{n_u - 1}"
        )
    row, middle = (n_v - 1) / 2, (n_u - 1) / 2
    return [(row, middle - width / 2), (row, middle + width / 2)]


def parse_path(text: str, grid: tuple[int, int]) -> Path:
    """Read places from lines of ``v,u``; empty lines and those that begin with # are left out.

    Raises:
        LightFieldError: a line has another form, or a place lies outside the grid.
    """
    places = []
    for number, content in enumerate(text.splitlines(), 1):
        stripped = content.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            v, u = (float(part) for part in stripped.split(","))
        except ValueError:
            raise LightFieldError(
                f"line {number} is {stripped[:40]!r}, expected v,u such as 4,3.5"
            ) from None
        if not (0 <= v <= grid[0] - 1 and 0 <= u <= grid[1] - 1):
            raise LightFieldError(
                f"line {number}: view {v:g},{u:g} is outside {grid[0]} x {grid[1]} views"
            )
        places.append((v, u))
    if not places:
        raise LightFieldError("no line has a place v,u")
    return places
