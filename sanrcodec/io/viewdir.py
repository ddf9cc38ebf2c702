# SPDX-License-Identifier: MIT
"""Folders with one image per view, under the usual naming schemes; reads no subfolders."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io.image import SUFFIXES, Image, read_image
from sanrcodec.io.stored import spool
from sanrcodec.lightfield import MAX_GRID, StoredSamples, format_grid

__all__ = ["read"]

_BY_INDEX = {  # scheme -> file name with v and u
    "view_VV_UU": re.compile(r"view_(\d+)_(\d+)\.\w+"),
    "JPEG Pleno VVV_UUU": re.compile(r"(\d{3})_(\d{3})\.\w+"),
    "Stanford out_VV_UU": re.compile(r"out_(\d+)_(\d+)(?:_.*)?\.\w+"),
}
_BY_NUMBER = re.compile(r"input_Cam(\d+)\.\w+")  # HCI: row-major


def read(
    path: Path, grid: tuple[int, int] | None, notes: Callable[[str], None]
) -> tuple[np.ndarray | StoredSamples, int]:
    """Read samples ``[V, U, H, W, C]`` and the bit depth of a folder of views.

    Known schemes: ``input_CamNNN`` (HCI, row-major), ``VVV_UUU`` (JPEG Pleno), ``out_VV_UU_*``
    (Stanford) and ``view_VV_UU``. Any other names need ``grid`` and are taken in natural order,
    row by row.

    Raises:
        LightFieldError: views are missing, doubled, damaged or of different sizes.
    """
    try:
        files = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES]
    except OSError as error:
        raise LightFieldError(f"{path}: cannot read: {error.strerror or error}") from error
    if not files:
        raise LightFieldError(f"{path}: there are no images in this folder")
    grid, views = _arrange(path, files, grid, notes)
    if len(views) < len(files):
        notes(f"{path}: {len(files) - len(views)} images with other names are left out")
    first = read_image(views[0])
    return spool(_read_views(views, first), grid, first.samples, str(path)), first.bit_depth


def _read_views(views: list[Path], first: Image) -> Iterator[np.ndarray]:
    """Yield the samples of each view; they must be like the first."""
    for index, file in enumerate(views):
        image = read_image(file) if index else first
        if (image.samples.shape, image.bit_depth) != (first.samples.shape, first.bit_depth):
            raise LightFieldError(
                f"{file}: this view is {_describe(image.samples, image.bit_depth)}, "
                f"but {views[0].name} is {_describe(first.samples, first.bit_depth)}"
            )
        yield image.samples


def _arrange(
    path: Path, files: list[Path], grid: tuple[int, int] | None, notes: Callable[[str], None]
) -> tuple[tuple[int, int], list[Path]]:
    """Return the grid and its files, row by row."""
    for scheme, pattern in _BY_INDEX.items():
        found = _match(path, files, pattern)
        if found:
            return _arrange_by_index(path, scheme, found, grid, notes)
    numbered = {number: file for (number,), file in _match(path, files, _BY_NUMBER).items()}
    if numbered:
        n_views = max(numbered) + 1
        missing = [f"input_Cam{n:03d}" for n in range(min(n_views, 9999)) if n not in numbered]
        _refuse_missing(path, missing)
        files = [numbered[number] for number in range(n_views)]
        side = math.isqrt(n_views)
        if grid is None and side * side == n_views:
            grid = side, side
    else:
        files = sorted(files, key=_natural)
    if grid is None:
        raise LightFieldError(
            f"{path}: {len(files)} images do not tell their grid; add --grid VxU "
            "(rows of views first), or look for missing views"
        )
    if len(files) != math.prod(grid):
        raise LightFieldError(
            f"{path}: found {len(files)} images, but --grid {format_grid(grid)} needs "
            f"{math.prod(grid)}"
        )
    if not numbered:
        notes(f"{path}: views are in order of their names, {files[0].name} first, row by row")
    return grid, files


def _arrange_by_index(
    path: Path,
    scheme: str,
    found: dict[tuple[int, ...], Path],
    grid: tuple[int, int] | None,
    notes: Callable[[str], None],
) -> tuple[tuple[int, int], list[Path]]:
    rows, columns = zip(*found, strict=True)
    origin = min(rows), min(columns)
    size = max(rows) + 1 - origin[0], max(columns) + 1 - origin[1]
    if max(size) > MAX_GRID:
        raise LightFieldError(
            f"{path}: names {scheme} span {format_grid(size)} views, limit is {MAX_GRID} a side"
        )
    wanted = [(origin[0] + v, origin[1] + u) for v, u in np.ndindex(*size)]
    _refuse_missing(path, [f"view {v},{u}" for v, u in wanted if (v, u) not in found])
    if grid is not None and grid != size:
        raise LightFieldError(
            f"{path}: names {scheme} make {format_grid(size)} views, "
            f"which contradicts --grid {format_grid(grid)}"
        )
    if origin != (0, 0):
        notes(f"{path}: names start at {origin[0]},{origin[1]}, which becomes view 0,0")
    return size, [found[index] for index in wanted]


def _match(path: Path, files: list[Path], pattern: re.Pattern[str]) -> dict[tuple[int, ...], Path]:
    found: dict[tuple[int, ...], Path] = {}
    for file in sorted(files):
        match = pattern.fullmatch(file.name)
        if match:
            index = tuple(int(group) for group in match.groups())
            if index in found:
                raise LightFieldError(
                    f"{path}: {found[index].name} and {file.name} are the same view"
                )
            found[index] = file
    return found


def _refuse_missing(path: Path, missing: list[str]) -> None:
    if missing:
        names = ", ".join(missing[:6]) + (", ..." if len(missing) > 6 else "")
        raise LightFieldError(f"{path}: {len(missing)} views are missing: {names}")


def _natural(file: Path) -> list[tuple[int, str]]:
    """Sort key by which ``view10`` follows ``view9``."""
    return [
        (int(part), "") if part.isdigit() else (-1, part)
        for part in re.split(r"([0-9]+)", file.name.lower())
    ]


def _describe(samples: np.ndarray, bit_depth: int) -> str:
    height, width, channels = samples.shape
    return f"{width} x {height} {'RGB' if channels == 3 else 'grey'} of {bit_depth} bit"
