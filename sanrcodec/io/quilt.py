# SPDX-License-Identifier: MIT
"""Looking Glass quilts: one row of views, tiled from the bottom left; read and written.

The name tells the tiles, ``*_qs8x6a0.75``: columns x rows, and the aspect of a view. Knows
nothing of the display.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io import png
from sanrcodec.io.atomic import write_atomically
from sanrcodec.io.mosaic import doubt, read_whole
from sanrcodec.io.mosaic_grid import infer_grid
from sanrcodec.io.reading import Layout, Reading, Request
from sanrcodec.lightfield import format_grid

__all__ = ["LAYOUT", "choose_tiles", "quilt_path", "write_quilt"]

_NAME = re.compile(
    r"(?<![a-z0-9])qs(\d{1,3})x(\d{1,3})(?:a(\d*[.,]?\d+))?(?![a-z0-9])", re.IGNORECASE
)
_MOST_STRETCH = math.log(1.25)  # of the views of a quilt, to fill a square picture, say
_MOST_LEFT_OVER = 0.02  # of a side, that whole tiles may leave; more is another number of tiles


def _read(request: Request) -> Reading:
    """Read a quilt as 1 x n views.

    The tiles are those of the name, else the stated rows x columns, else inferred.

    Raises:
        LightFieldError: the image is damaged, or the tiles do not fit, are not clear, or are not
            the stated ones.
    """
    image, path = read_whole(request), request.path
    tiles = _tiles_by_name(path)
    if tiles is not None:
        if request.grid not in (None, tiles, (1, math.prod(tiles))):
            request.refuse_other_grid((1, math.prod(tiles)), "the name of this quilt says")
    elif request.grid is not None:
        tiles = request.grid
    else:
        try:
            tiles = infer_grid(image.samples)
        except LightFieldError:
            raise LightFieldError(
                f"{path}: neither name nor content tell the tiles of the quilt; add --grid with "
                "rows x columns of tiles, for example --grid 6x8"
            ) from None
        request.note(f"{path}: the content looks like {format_grid(tiles)} tiles")
    n_rows, n_columns = tiles
    rows, columns = image.samples.shape[:2]
    height, width = rows // n_rows, columns // n_columns
    left_over = rows - n_rows * height, columns - n_columns * width
    if min(height, width) < 1 or any(
        left > _MOST_LEFT_OVER * size for left, size in zip(left_over, (rows, columns), strict=True)
    ):
        raise LightFieldError(
            f"{path}: {rows} rows and {columns} columns of pixels are not "
            f"{n_rows} rows and {n_columns} columns of tiles"
        )
    if any(left_over):
        request.note(
            f"{path}: {left_over[0]} rows at the top and {left_over[1]} columns at the right "
            "belong to no tile and are left out"
        )
    doubt(request, image, (height, width), "with the tiles")
    _doubt_aspect(request, width / height)
    used = image.samples[left_over[0] :, : n_columns * width]
    views = used.reshape(n_rows, height, n_columns, width, -1)[::-1].swapaxes(1, 2)
    request.note(
        f"{path}: quilt of {n_columns} x {n_rows} tiles, 1x{n_rows * n_columns} views from the "
        "bottom left; if it is none, add --layout mosaic"
    )
    return Reading(
        views.reshape(1, -1, height, width, views.shape[-1]),
        image.bit_depth,
        f"quilt of {n_columns} x {n_rows} tiles, from the bottom left",
    )


def _doubt_aspect(request: Request, aspect: float) -> None:
    """Say so if the name tells another aspect, in a way that is more than a stretched tile."""
    match = _NAME.search(request.path.stem)
    stated = float(match[3].replace(",", ".")) if match and match[3] else 0.0
    if stated and abs(math.log(aspect / stated)) > _MOST_STRETCH:
        request.note(
            f"{request.path}: its tiles have an aspect of {aspect:.2f}, but the name says "
            f"{stated:g}; look whether the number of tiles is right"
        )


LAYOUT = Layout(
    "quilt",
    _read,
    lambda path: path.is_file() and _tiles_by_name(path) is not None,
    frozenset({"grid"}),
)


def choose_tiles(n_views: int, height: int, width: int) -> tuple[int, int]:
    """Choose ``(rows, columns)`` of tiles so that a quilt of so many views is about square."""
    choices = [(n, n_views // n) for n in range(1, n_views + 1) if n_views % n == 0]
    return min(choices, key=lambda c: abs(math.log((c[0] * height) / (c[1] * width))))


def quilt_path(path: str | os.PathLike[str], tiles: tuple[int, int], aspect: float) -> Path:
    """Return a path whose name tells tiles and aspect, as readers of quilts expect it.

    Args:
        path: With or without a description of the tiles.
        tiles: ``(rows, columns)``.
        aspect: Width of a view over its height.

    Raises:
        LightFieldError: the name already tells other tiles.
    """
    path = Path(path)
    stated = _tiles_by_name(path)
    if stated is None:
        shape = f"_qs{tiles[1]}x{tiles[0]}a{aspect:.4f}".rstrip("0").rstrip(".")
        return path.with_name(f"{path.stem}{shape}{path.suffix}")
    if stated != tiles:
        raise LightFieldError(
            f"{path}: the name says {stated[1]} x {stated[0]} tiles, "
            f"but the views need {tiles[1]} x {tiles[0]}"
        )
    return path


def write_quilt(
    path: str | os.PathLike[str],
    view: Callable[[int], np.ndarray],
    tiles: tuple[int, int],
    bit_depth: int = 8,
) -> None:
    """Write a quilt as PNG; one row of tiles is held at a time.

    Args:
        path: File to create or to replace; see `quilt_path` for its name.
        view: Gives view ``n`` from the left, ``[H, W, C]``; called from the top row of tiles on.
        tiles: ``(rows, columns)``.
        bit_depth: Significant bits of a sample, 8..16.

    Raises:
        SanrError: the file cannot be written.
    """
    n_rows, n_columns = tiles
    first = view((n_rows - 1) * n_columns)

    def bands() -> Iterator[np.ndarray]:
        for row in reversed(range(n_rows)):
            numbers = range(row * n_columns, (row + 1) * n_columns)
            yield np.concatenate(
                [first if n == (n_rows - 1) * n_columns else view(n) for n in numbers], axis=1
            )

    height = n_rows * first.shape[0]
    write_atomically(path, lambda file: png.write_png(file, bands(), height, bit_depth))


def _tiles_by_name(path: Path) -> tuple[int, int] | None:
    """Return ``(rows, columns)`` of tiles from a name such as ``rose_qs8x6a0.75.png``."""
    match = _NAME.search(path.stem)
    if not match or 0 in (int(match[1]), int(match[2])):
        return None
    return int(match[2]), int(match[1])
