# SPDX-License-Identifier: MIT
"""Folders with one image per view; names are understood elsewhere, samples of images too."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io import foreign
from sanrcodec.io.conventions import counts_time, is_no_view
from sanrcodec.io.counted import ADD_OR_SELECT, read_count, refuse_missing
from sanrcodec.io.folder import list_images, name_array, name_larger_folder
from sanrcodec.io.image import Image, probe_image, read_image
from sanrcodec.io.names import (
    NamedGrid,
    NameSet,
    find_grid,
    group_names,
    list_names,
    natural_key,
)  # fmt: skip
from sanrcodec.io.reading import Layout, Reading, Request
from sanrcodec.io.scan_order import suggest_grid
from sanrcodec.lightfield import MAX_GRID, MAX_VIEWS, StoredSamples, format_grid

__all__ = ["LAYOUT", "ImageFiles"]


class _Table(NamedTuple):
    """Views in their places.

    Attributes:
        rows: Names or files ``[V][U]``; empty or None where there is none and nobody asks for it.
        scheme: How names were understood, in words.
        counted, is_sure: Of `Reading`.
    """

    rows: list[list[Any]]
    scheme: str
    counted: str = ""
    is_sure: bool = False


class ImageFiles(StoredSamples):
    """Views in files of their own, read when they are needed; all are like the first.

    Args:
        rows: Files ``[V][U]``; None where there is none and nobody asks for it.
        kept: Rows and columns that are going to be read.

    Raises:
        LightFieldError: the first of those is damaged, or one shows already by its header that it
            is damaged or unlike the first.
    """

    def __init__(self, rows: list[list[Path | None]], kept: tuple[range, range]) -> None:
        self._rows = rows
        self._first_file = self._file(kept[0][0], kept[1][0])
        self.first = _read_view(self._first_file)
        self.shape = (len(rows), len(rows[0]), *self.first.samples.shape)
        self.dtype = self.first.samples.dtype
        kind = probe_image(self._first_file)
        for v, u in itertools.product(*kept):
            if probe_image(self._file(v, u)) != kind:
                self[v, u]  # before all others are decoded

    def _file(self, v: int, u: int) -> Path:
        file = self._rows[v][u]
        if file is None:
            raise LightFieldError(f"there is no image of the view at row {v} column {u}")
        return file

    def __getitem__(self, index: tuple[int, int]) -> np.ndarray:
        """Read one view.

        Raises:
            LightFieldError: the file is damaged, or unlike the first.
        """
        file, like = self._file(*index), self.first
        if file == self._first_file:
            return like.samples.copy()
        image = _read_view(file)
        if (image.samples.shape, image.bit_depth) != (like.samples.shape, like.bit_depth):
            other, own = self._first_file.name, ""
            if file.parent != self._first_file.parent:
                other = f"{self._first_file.parent.name}/{other}"
                own = f", or give {file.parent} if it is a light field of its own"
            raise LightFieldError(
                f"{file}: this view is {_describe(image)}, "
                f"but {other} is {_describe(like)}; correct it, move it away if "
                f"it is no view, or leave its row or column out with --views{own}"
            )
        return image.samples


def _read(request: Request) -> Reading:
    """Find the views of a folder by their names.

    Names with two numbers place the views in the grid. Other names are taken in natural order,
    which needs a grid, except that of a square grid named ``input_CamNNN``.

    Raises:
        LightFieldError: views are missing, doubled, damaged, of different sizes, or their grid is
            not clear or not the stated one.
    """
    files, others = list_images(request.path)
    found = _arrange(request, files, others)
    rows, source = found.rows, f"folder of views, {found.scheme}"
    samples = ImageFiles(rows, request.selection.places((len(rows), len(rows[0]))))
    for remark in samples.first.remarks:
        request.note(f"{request.path}: {remark}")
    depth, (order, is_sure) = samples.first.bit_depth, (found.counted, found.is_sure)
    return Reading(samples, depth, source, dear=True, counted=order, is_sure=is_sure)


LAYOUT = Layout("views", _read, Path.is_dir, frozenset({"grid", "order"}), folder=True)


def _arrange(request: Request, files: dict[str, list[Path]], others: list[str]) -> _Table:
    """Choose the views among all images; return their files."""
    views = [name for name in files if not is_no_view(name)] or list(files)
    sets = group_names(views)
    first, grid = _choose_set(request, sets)
    if grid is not None:
        found = _by_index(request, grid)
    else:
        found = _by_number(request, [first, *(one for one in sets if one is not first)], files)
    kept = {name for row in found.rows for name in row}
    paths = [
        [_one_file(request.path, files[name]) if name else None for name in row]
        for row in found.rows
    ]
    left = [files[name][0].relative_to(request.path) for name in files if name not in kept]
    _tell_left_out(request, [*(file.as_posix() for file in left), *others])
    return found._replace(rows=paths)


def _choose_set(request: Request, sets: list[NameSet]) -> tuple[NameSet, NamedGrid | None]:
    """Choose the names that are the views: the largest set that makes a grid, if it is large."""
    grids = [(one, grid) for one in sets if (grid := find_grid(one, request.order)) is not None]
    if not grids or 2 * len(grids[0][0].names) < len(sets[0].names):
        return sets[0], None
    (first, grid), *rest = grids
    if rest and len(rest[0][0].names) == len(first.names):
        _refuse_rivals(request.path, first, rest[0][0])
    is_sequence = (
        grid.missing
        and request.grid is not None
        and request.grid != grid.grid
        and math.prod(request.grid) == len(first.names)
    )
    return first, None if is_sequence else grid


def _by_index(request: Request, found: NamedGrid) -> _Table:
    kept = request.selection.places(found.grid)
    missing = [text for place, text in found.missing.items() if _is_in(place, kept)]
    what = f"{found.scheme}, {format_grid(found.grid)} views"
    refuse_missing(request, missing, what, ADD_OR_SELECT)
    request.refuse_other_grid(found.grid, f"{found.scheme} make")
    if not found.told:
        other = "column" if found.first == "rows" else "row"
        request.note(
            f"{request.path}: {found.scheme}: {found.first} first; "
            f"if the {other} comes first, add --order {other}s"
        )
    return _Table(found.rows, found.scheme, is_sure=found.told)


def _is_in(place: tuple[int, int], kept: tuple[range, range]) -> bool:
    return place[0] in kept[0] and place[1] in kept[1]


def _by_number(request: Request, sets: list[NameSet], files: dict[str, list[Path]]) -> _Table:
    """Take views of the first set in natural order of their names."""
    found, views = sets[0], [name for one in sets for name in one.names]
    _refuse_twins(request.path, found)
    names, told, remark, hint, by_rows = read_count(request, found)
    grid = told or request.grid
    rivals = [one for one in sets if len(one.names) == len(found.names)]
    if len(names) == 1 < len(rivals):  # names without numbers, or that differ in letters
        names = sorted(views, key=natural_key)
        hint = "; they would be taken in order of names (if one image holds all views, give it)"
    elif len(rivals) > 1 and (grid is None or math.prod(grid) == len(names)):
        _refuse_rivals(request.path, *rivals[:2])
    if grid is None:
        # As image beside image (1) to image (14), none of these is to be missed.
        names = [*_unnumbered(names, views), *names]
        likely = _likely_grid([_one_file(request.path, files[name]) for name in names])
        ask = _ask_for_grid(request.path, found, names, hint, likely)
        raise LightFieldError(f"{request.path}: {ask}")
    if len(names) != math.prod(grid):
        lacking = hint.partition(", or ")[2] or "add what is missing"
        names = _fit_to_grid(request.path, grid, names, views, files, lacking)
    order = request.order or "rows"
    n_v, n_u = grid
    table = np.array(names, object)
    table = table.reshape(n_v, n_u) if order == "rows" else table.reshape(n_u, n_v).T
    present = [name for name in names if name]
    scheme = f"{present[0]} to {present[-1]}{remark}"
    is_sure = request.order is not None or by_rows
    if remark and is_sure:
        request.note(f"{request.path}: {scheme}")
    return _Table(table.tolist(), scheme, order, is_sure)


def _unnumbered(names: list[str], views: list[str]) -> list[str]:
    """Further images of whose name those of all others begin."""
    return [
        view
        for view in set(views).difference(names)
        if all(name.lower().startswith(view.lower()) for name in names)
    ]


def _likely_grid(files: list[Path]) -> str:
    """Name a grid that the content of counted images suggests, if it does."""
    try:
        return suggest_grid(ImageFiles([list(files)], (range(1), range(1))))
    except LightFieldError:
        return ""


def _ask_for_grid(path: Path, found: NameSet, names: list[str], hint: str, likely: str) -> str:
    if len(names) == 1:
        ask = (
            f"one image, {names[0]}, is no grid of views; give the file itself if it holds all "
            "views, or add --grid 1x1 if it is one view"
        )
        return ask + (name_array(path) or name_larger_folder(path, 1))
    varying = sum(len(set(column)) > 1 for column in zip(*found.values, strict=True))
    likely = likely or _suggest(len(names))
    if not hint:  # one of them counts
        pass
    elif varying > 2:
        hint = f"; {varying} numbers in their names vary: better give those of one time, size, ..."
    elif varying == 2 and any(counts_time(text) for text in found.texts):
        likely, hint = "", ", or give the images of one time"  # all together are no grid
    elif varying == 2:
        hint = (
            ", or look for missing views: as row and column, the numbers in their names leave holes"
        )
    hint = likely + hint + name_larger_folder(path, len(names))
    return (
        f"{len(names)} images, {names[0]} to {names[-1]}, do not tell their grid; add --grid VxU, "
        f"rows of views first{hint}"
    )


def _refuse_twins(path: Path, found: NameSet) -> None:
    """Refuse two names with the same numbers, such as view_0_1 and VIEW_00_01."""
    first: dict[tuple[Fraction, ...], str] = {}
    for name, values in zip(found.names, found.values, strict=True):
        if values and first.setdefault(values, name) != name:
            raise LightFieldError(
                f"{path}: {first[values]} and {name} are the same view; move one of them away"
            )


def _refuse_rivals(path: Path, first: NameSet, second: NameSet) -> None:
    raise LightFieldError(
        f"{path}: {first.names[0]}, ... and {second.names[0]}, ... are {len(first.names)} images "
        "each; give a folder of one of them, move those away that are no views, or, if all are, "
        "add --grid VxU"
    )


def _suggest(n_views: int) -> str:
    if n_views > MAX_VIEWS:
        return f", of at most {MAX_VIEWS} views"
    side = math.isqrt(n_views)
    square = f" such as {side}x{side}" if side * side == n_views > 1 else ""
    row = f"1x{n_views} if they are one row" if 1 < n_views <= MAX_GRID else ""
    return f"{square}, or {row}" if square and row else square or (row and f", {row}")


def _fit_to_grid(
    path: Path,
    grid: tuple[int, int],
    names: list[str],
    views: list[str],
    files: dict[str, list[Path]],
    lacking: str,
) -> list[str]:
    """Find as many images as a stated grid has views, by other names, or by size and mode."""
    wanted = math.prod(grid)
    for candidates in ([*_unnumbered(names, views), *names], views, list(files)):
        if len(candidates) == wanted and _are_of_one_kind(candidates):
            return sorted(candidates, key=natural_key)
    for candidates in (names, views):
        kinds = {name: probe_image(files[name][0]) for name in candidates}
        kind, n_like = Counter(kinds.values()).most_common(1)[0]
        alike = [name for name in candidates if kinds[name] == kind]
        if n_like == wanted and kind is not None and _are_of_one_kind(alike):
            return sorted(alike, key=natural_key)
    advice = lacking if len(names) < wanted else "move those away that are no views"
    raise LightFieldError(
        f"{path}: found {len(names)} images such as {names[0]}, "
        f"but --grid {format_grid(grid)} needs {wanted}; {advice}"
    )


def _are_of_one_kind(names: list[str]) -> bool:
    """Whether names of several sets may all be views: in sets of about one size, or much alike.

    One image of another name fills a gap by chance; ``cam_a`` beside ``cam_0`` to ``cam_9`` does
    not.
    """
    largest, *others = group_names(names)
    return all(
        len(largest.names) == 1
        or (len(one.names) > 1 and 2 * len(one.names) >= len(largest.names))
        or all(any(_are_alike(name, other) for other in largest.names) for name in one.names)
        for one in others
    )


def _are_alike(one: str, other: str) -> bool:
    """Whether two names differ in at most half of their characters, or only one has a number."""
    if other.lower().startswith(one.lower()):
        return True
    n_same = sum(a == b for a, b in zip(one, other, strict=False))
    return len(one) == len(other) and 2 * n_same >= len(one)


def _one_file(path: Path, candidates: list[Path]) -> Path:
    """Return the file of a view; of several with one name the only one that can be a view."""
    if len(candidates) == 1:
        return candidates[0]
    usable = [file for file in candidates if probe_image(file) is not None]
    if len(usable) != 1:
        raise LightFieldError(
            f"{path}: {candidates[0].name} and {candidates[1].name} are the same view; "
            "move one of them away"
        )
    return usable[0]


def _tell_left_out(request: Request, names: list[str]) -> None:
    if names:
        left = f"{len(names)} other files are" if len(names) > 1 else "another file is"
        request.note(f"{request.path}: {left} left out: {list_names(names)}")


def _read_view(file: Path) -> Image:
    """Read the image of a view; what is none is named, if it can be told."""
    try:
        return read_image(file)
    except LightFieldError:
        if advice := foreign.describe(file):
            raise LightFieldError(f"{file.parent}: {advice}") from None
        raise


def _describe(image: Image) -> str:
    height, width, channels = image.samples.shape
    return f"{width} x {height} {'RGB' if channels == 3 else 'gray'} of {image.bit_depth} bit"
