# SPDX-License-Identifier: MIT
"""Mosaics ``[V*H, U*W]``, view-major, read and written; no gaps between views."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io import png
from sanrcodec.io.atomic import write_atomically
from sanrcodec.io.image import Image, read_image
from sanrcodec.io.mosaic_grid import RepeatedContentError, infer_grid, is_lenslet_image
from sanrcodec.io.reading import Layout, Reading, Request
from sanrcodec.io.selection import Selection
from sanrcodec.lightfield import format_grid, parse_grid

__all__ = ["LAYOUT", "doubt", "read_whole", "split", "stated_grid", "write_mosaic"]

_MOST_LINES = 8  # of pixels, between views; more is rather a background


def _read(request: Request) -> Reading:
    """Read a mosaic.

    The grid is that of the PNG text chunk ``sanr:grid``, else the stated one, else inferred.

    Raises:
        LightFieldError: the image is damaged, or the grid does not fit or is not clear.
    """
    image = read_whole(request)
    grid = stated_grid(request, image)
    if grid is None:
        try:
            grid = infer_grid(image.samples)
        except LightFieldError as error:
            raise LightFieldError(f"{request.path}: {error}") from None
        found = "one view" if grid == (1, 1) else f"{format_grid(grid)} views"
        request.note(f"{request.path}: the content looks like {found}; if not so, add --grid VxU")
    n_v, n_u = grid
    _check_chunk(request.path, image, grid)
    height, width = split(request.path, image.samples, grid)
    if png.GRID_KEY not in image.text and request.grid is not None:
        if request.layout is None and is_lenslet_image(image.samples, grid):
            raise LightFieldError(
                f"{request.path}: as {format_grid(grid)} views the content looks like a lenslet "
                "image; add --layout lenslet, or --layout mosaic if it is a mosaic"
            )
        doubt(request, image, (height, width))
    tiles = image.samples.reshape(n_v, height, n_u, width, -1)
    _doubt_lines(request, tiles)
    return Reading(tiles.transpose(0, 2, 1, 3, 4), image.bit_depth, "mosaic, from the top left")


LAYOUT = Layout("mosaic", _read, Path.is_file, frozenset({"grid"}))


def doubt(request: Request, image: Image, size: tuple[int, int], how: str = "with --grid") -> None:
    """Say so if the content shows views of another size than the stated one.

    Args:
        request: Gets the note.
        image: Of all views.
        size: ``(H, W)`` of a view, as stated.
        how: It is read, for the note.
    """
    rows, columns, _ = image.samples.shape
    if size == (rows, columns):
        return
    try:
        n_v, n_u = infer_grid(image.samples)
    except RepeatedContentError as error:
        if all(
            not period or abs(period - stated) <= stated // 16
            for period, stated in zip(error.periods, size, strict=True)
        ):
            return
        seen = error.found
    except LightFieldError:
        return
    else:
        if (rows // n_v, columns // n_u) == size:
            return
        found = "one view" if (n_v, n_u) == (1, 1) else f"{format_grid((n_v, n_u))} views"
        seen = f"the content looks like {found}"
    request.note(f"{request.path}: {seen}, but it is read {how} as stated")


def read_whole(request: Request) -> Image:
    """Read one image of all views, and tell what it holds besides samples."""
    image = read_image(request.path)
    for remark in image.remarks:
        request.note(f"{request.path}: {remark}")
    return image


def stated_grid(request: Request, image: Image) -> tuple[int, int] | None:
    """Return the grid that the image's text chunk or the user states; None if neither does.

    Raises:
        LightFieldError: the chunk has another form, or both contradict each other.
    """
    text = image.text.get(png.GRID_KEY)
    if text is None:
        return request.grid
    try:
        grid = parse_grid(text)
    except LightFieldError as error:
        raise LightFieldError(f"{request.path}: text chunk {png.GRID_KEY}: {error}") from None
    request.refuse_other_grid(grid, f"its text chunk {png.GRID_KEY} says")
    return grid


def _doubt_lines(request: Request, tiles: np.ndarray) -> None:
    """Say so if lines of one color seem to separate the views ``[V, H, U, W, C]``."""
    n_v, height, n_u, width, _ = tiles.shape
    if n_v * n_u == 1 or request.selection.crop != Selection().crop:
        return
    top, bottom = _count_lines(tiles.min((0, 2, 3)), tiles.max((0, 2, 3)))
    left, right = _count_lines(tiles.min((0, 1, 2)), tiles.max((0, 1, 2)))
    if top or bottom or left or right:
        request.note(
            f"{request.path}: at their edges all views have the same lines of one color; if these "
            "separate the views, leave them out with "
            f"--crop {top}:{height - bottom},{left}:{width - right}"
        )


def _count_lines(low: np.ndarray, high: np.ndarray) -> tuple[int, int]:
    """Count lines of one color at both ends of an axis; 0 if they are more than a separation."""
    is_varied = (low != high).any(axis=1)
    most = min(_MOST_LINES, len(is_varied) // 8)
    if not is_varied.any():
        return 0, 0
    first, last = int(is_varied.argmax()), int(is_varied[::-1].argmax())
    return first if first <= most else 0, last if last <= most else 0


def _check_chunk(path: Path, image: Image, grid: tuple[int, int]) -> None:
    """Refuse a text chunk that is of another image, since no option can correct it."""
    height, width = image.samples.shape[:2]
    if png.GRID_KEY in image.text and (height % grid[0] or width % grid[1]):
        raise LightFieldError(
            f"{path}: its text chunk {png.GRID_KEY} says {format_grid(grid)} views, into which "
            f"{height} rows and {width} columns of pixels do not divide; if the image was changed, "
            "save it without the chunk, and say --grid VxU"
        )


def split(path: Path, samples: np.ndarray, grid: tuple[int, int]) -> tuple[int, int]:
    """Return the size ``(H, W)`` of a view, or refuse a grid that does not divide the image."""
    (height, width), (n_v, n_u) = samples.shape[:2], grid
    if height % n_v or width % n_u:
        raise LightFieldError(
            f"{path}: {height} rows and {width} columns of pixels do not divide into "
            f"{format_grid(grid)} views; correct --grid VxU, or the image if it lost a part "
            f"({_nearest(height, n_v)} rows and {_nearest(width, n_u)} columns divide)"
        )
    return height // n_v, width // n_u


def _nearest(size: int, count: int) -> int:
    return max(1, round(size / count)) * count


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
    if first.ndim != 4:
        raise LightFieldError(f"a row of views has shape {first.shape}, expected [U, H, W, C]")
    expected = (n_u, *first.shape[1:])

    def bands() -> Iterable[np.ndarray]:
        n_rows = 0
        for n_rows, row in enumerate(itertools.chain([first], rows), 1):
            if row.shape != expected or n_rows > n_v:
                break
            yield row.swapaxes(0, 1).reshape(row.shape[1], n_u * row.shape[2], row.shape[3])
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
