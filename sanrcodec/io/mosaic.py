# SPDX-License-Identifier: MIT
"""Mosaics ``[V*H, U*W]``, view-major, and the search for their grid; no gaps between views."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io import png
from sanrcodec.io.atomic import write_atomically
from sanrcodec.io.image import Image, read_image
from sanrcodec.lightfield import MAX_GRID, format_grid, parse_grid

__all__ = ["infer_grid", "read", "split", "told_grid", "write_mosaic"]

_MIN_VIEW_SIZE = 8  # pixels; smaller views cannot be told from texture
_N_LINES = 256  # lines across the searched axis that are looked at, up to twice as many
# Border contrast of real views is 1.2..60, elsewhere 0.5..1.2 (up to 5 where borders are few).
# Difference of real neighbours is 0.03..0.45, of other content 0.8..2 (less if nearly a period).
_MIN_CONTRAST = 1.2
_MAX_DIFFERENCE, _DIFFERENCE_PER_CONTRAST = 0.6, 0.3
_DOUBT_CONTRAST, _DOUBT_DIFFERENCE = 2.5, 0.5  # one of both alone: something is there, but what?


def read(
    path: Path, grid: tuple[int, int] | None, notes: Callable[[str], None]
) -> tuple[np.ndarray, int]:
    """Read samples ``[V, U, H, W, C]`` and the bit depth of a mosaic.

    The grid is the given one, else that of the PNG text chunk ``sanr:grid``, else inferred.

    Raises:
        LightFieldError: the image is damaged, or the grid does not fit or is not clear.
    """
    image = read_image(path)
    grid = told_grid(path, image, grid)
    if grid is None:
        try:
            grid = infer_grid(image.samples)
        except LightFieldError as error:
            raise LightFieldError(f"{path}: {error}") from None
        found = "one view" if grid == (1, 1) else f"{format_grid(grid)} views"
        notes(f"{path}: the content looks like {found}; if not so, add --grid VxU")
    n_v, n_u = grid
    height, width = split(path, image.samples, grid)
    tiles = image.samples.reshape(n_v, height, n_u, width, -1)
    return np.ascontiguousarray(tiles.transpose(0, 2, 1, 3, 4)), image.bit_depth


def told_grid(path: Path, image: Image, grid: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return the given grid, else that of the image's text chunk, else None."""
    text = image.text.get(png.GRID_KEY)
    if grid is not None or text is None:
        return grid
    try:
        return parse_grid(text)
    except LightFieldError as error:
        raise LightFieldError(f"{path}: text chunk {png.GRID_KEY}: {error}") from None


def split(path: Path, samples: np.ndarray, grid: tuple[int, int]) -> tuple[int, int]:
    """Return the size ``(H, W)`` of a view, or refuse a grid that does not divide the image."""
    (height, width), (n_v, n_u) = samples.shape[:2], grid
    if height % n_v or width % n_u:
        raise LightFieldError(
            f"{path}: {height} rows and {width} columns of pixels do not divide into "
            f"{format_grid(grid)} views; correct --grid VxU"
        )
    return height // n_v, width // n_u


def infer_grid(samples: np.ndarray) -> tuple[int, int]:
    """Find the grid of a mosaic from its content.

    Views are shifted copies of their neighbours and end abruptly. A number of views along an
    axis is accepted where the borders are sharp *and* the content repeats; of the accepted
    numbers, which must all divide the largest, the largest wins: whole groups of views repeat
    too. An axis without any trace of either is a single view.

    Args:
        samples: uint8 or uint16 array ``[rows, columns, C]``.

    Returns:
        ``(V, U)``.

    Raises:
        LightFieldError: more than one grid is plausible; the message names the option to add.
    """
    counts = _count_views(samples), _count_views(samples.swapaxes(0, 1))
    if counts[0] is None or counts[1] is None:
        axes = [name for name, n in zip(("rows", "columns"), counts, strict=True) if n is None]
        raise LightFieldError(
            f"the number of {' and '.join(axes)} of views is not clear from the content; "
            "add --grid VxU, for example --grid 9x9 (one ordinary image is 1x1; "
            "for a lenslet image add --layout lenslet too)"
        )
    return counts[0], counts[1]


def write_mosaic(
    path: str | os.PathLike[str],
    samples: Iterable[np.ndarray],
    grid: tuple[int, int],
    bit_depth: int = 8,
) -> None:
    """Write a mosaic PNG that tells its grid in the text chunk ``sanr:grid``.

    Args:
        path: File to create or to replace.
        samples: uint8 or uint16 array ``[V, U, H, W, C]``, or anything that yields the V rows
            ``[U, H, W, C]`` one after the other; only one row is held at a time.
        grid: ``(V, U)``, must agree with the samples.
        bit_depth: Significant bits of a sample, 8..16.

    Raises:
        LightFieldError: the samples contradict the grid or change their size.
        SanrError: the file cannot be written.
    """
    n_v, n_u = grid
    rows = iter(samples)
    first = next(rows, None)
    if first is None:
        raise LightFieldError("there are no views to write")
    expected = (n_u, *first.shape[1:])

    def bands() -> Iterable[np.ndarray]:
        n_rows = 0
        for n_rows, row in enumerate(itertools.chain([first], rows), 1):
            if row.shape != expected or n_rows > n_v:
                break
            yield row.swapaxes(0, 1).reshape(row.shape[1], -1, row.shape[3])
        else:
            if n_rows == n_v:
                return
        raise LightFieldError(
            f"row {n_rows - 1} of views, shape {row.shape}, does not fit "
            f"{format_grid(grid)} views of shape {expected[1:]}"
        )

    text = {png.GRID_KEY: format_grid(grid)}
    height = n_v * first.shape[1]
    write_atomically(path, lambda file: png.write_png(file, bands(), height, bit_depth, text))


def _count_views(samples: np.ndarray) -> int | None:
    """Count the views along axis 0 of ``[length, n, C]``; None if there is doubt."""
    length, n_lines, _ = samples.shape
    lines = samples[:, :: max(1, n_lines // _N_LINES)].mean(axis=2, dtype=np.float32)
    edges = np.abs(np.diff(lines, axis=0)).mean(axis=1)
    floor = np.float32(1e-3) * (lines.max() + 1)  # a quarter of an 8-bit step is no border
    accepted, doubtful = [1], False
    differences = {1: 1.0}
    for count in range(2, min(MAX_GRID, length // _MIN_VIEW_SIZE) + 1):
        if length % count:
            continue
        contrast = _border_contrast(edges, length // count, floor)
        difference = differences[count] = _view_difference(lines, length // count)
        allowed = min(_MAX_DIFFERENCE, _DIFFERENCE_PER_CONTRAST * contrast)
        if contrast >= _MIN_CONTRAST and difference <= allowed:
            accepted.append(count)
        elif contrast >= _DOUBT_CONTRAST or difference <= _DOUBT_DIFFERENCE:
            doubtful = True
    best = accepted[-1]
    if best == 1:
        return None if doubtful else 1
    if any(best % count for count in accepted):
        return None
    # A clearly better repetition without sharp borders: perhaps whole groups were taken for views.
    rivals = (value for count, value in differences.items() if best % count)
    return None if min(rivals, default=1.0) < 0.75 * differences[best] else best


def _border_contrast(edges: np.ndarray, size: int, floor: np.float32) -> float:
    """How much sharper than their surroundings the borders between views of this size are.

    The lower quartile over the borders: with twice too many views, half the borders are none.
    """
    ratios = []
    for border in range(size - 1, len(edges), size):
        around = np.r_[edges[max(0, border - 6) : border - 1], edges[border + 2 : border + 7]]
        ratios.append((edges[border] + floor) / (np.median(around) + floor))
    return float(np.quantile(ratios, 0.25))


def _view_difference(lines: np.ndarray, size: int) -> float:
    """How much neighbouring views of this size differ, relative to unrelated content.

    The best of a few shifts around the size allows for disparity along the axis.
    """

    def difference(lag: int) -> float:
        return float(np.abs(lines[lag:] - lines[:-lag]).mean())

    reach = max(1, size // 16)
    lags = range(size - reach, min(size + reach, len(lines) - 1) + 1, max(1, size // 64))
    unrelated = [
        difference(lag)
        for lag in (size * tenths // 10 for tenths in (6, 7, 8, 12, 13, 14))
        if 0 < lag < len(lines)
    ]
    return min(difference(lag) for lag in lags) / (float(np.median(unrelated)) + 1e-6)
