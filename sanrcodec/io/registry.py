# SPDX-License-Identifier: MIT
"""Choice of the layout for an input, and what holds for all of them; decodes nothing itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sanrcodec.errors import LightFieldError
from sanrcodec.io import arrays, foreign, lenslet, mosaic, quilt, stack, stored, views
from sanrcodec.io.reading import ORDERS, Layout, Reading, Request
from sanrcodec.io.rearranged import rearranged
from sanrcodec.io.scan_order import (
    ORDERS_IN_WORDS,
    find_line_length,
    find_order,
    find_row,
    find_still_axis,
)
from sanrcodec.io.selection import Selection
from sanrcodec.lightfield import LightField, as_grid, check_grid, format_grid

__all__ = ["LAYOUTS", "Input", "read_input", "read_light_field"]

# The first that accepts an input reads it; a mosaic is what nothing else is.
_LAYOUTS = (
    views.LAYOUT,
    foreign.LAYOUT,
    arrays.LAYOUT,
    quilt.LAYOUT,
    stack.LAYOUT,
    mosaic.LAYOUT,
    lenslet.LAYOUT,
)
LAYOUTS = tuple(layout.name for layout in _LAYOUTS if layout is not foreign.LAYOUT)
# The lines of a serpentine are told apart from its turns.
_DIRECTIONS = {
    None: None, "rows": "rows", "columns": "columns",
    "serpentine": "rows", "serpentine-columns": "columns",
}  # fmt: skip
_MOST_LIKELY_DEPTH = 14  # a scene that needs more of 16 bits may just be dark


@dataclass(frozen=True, slots=True)
class Input:
    """A light field and how it was understood.

    Attributes:
        light_field: What was read, after the selection.
        source: Layout and order, a few words.
    """

    light_field: LightField
    source: str

    def summary(self) -> str:
        """Say in one line what was understood: layout, order, grid, size, color and depth."""
        n_v, n_u, height, width, channels = self.light_field.shape
        return (
            f"{self.source}: {n_v} x {n_u} views (V x U) of {width} x {height} pixels, "
            f"{'gray' if channels == 1 else 'RGB'}, {self.light_field.bit_depth} bit"
        )


def read_light_field(
    path: str | os.PathLike[str],
    grid: tuple[int, int] | None = None,
    layout: str | None = None,
    bit_depth: int | None = None,
    notes: Callable[[str], None] | None = None,
    *,
    order: str | None = None,
    axes: str | None = None,
    dataset: str | None = None,
    selection: Selection | None = None,
) -> LightField:
    """Read a light field; see `read_input`, which tells how it was understood, too."""
    return read_input(
        path, grid, layout, bit_depth, notes,
        order=order, axes=axes, dataset=dataset, selection=selection,
    ).light_field  # fmt: skip


def read_input(
    path: str | os.PathLike[str],
    grid: tuple[int, int] | None = None,
    layout: str | None = None,
    bit_depth: int | None = None,
    notes: Callable[[str], None] | None = None,
    *,
    order: str | None = None,
    axes: str | None = None,
    dataset: str | None = None,
    selection: Selection | None = None,
) -> Input:
    """Read a light field from a folder of views, one image, or a file of arrays.

    What the input itself says is used, and a statement that contradicts it is refused; what is not
    clear is refused with a message that names the option to add.

    Args:
        path: File or folder.
        grid: Number of views ``(V, U)``; needed only where the input does not tell it.
        layout: One of `LAYOUTS`, instead of what the name and the first bytes of the input show. A
            mosaic and a lenslet image look alike from outside, so that lenslet is never chosen
            without being asked for.
        bit_depth: Significant bits of a sample, if the file does not know it; rescales nothing.
        notes: Called with one line for each thing that was concluded and not told, and for each
            that is left out.
        order: One of `ORDERS`: which index comes first in names, or how views follow each other
            where names or frames are only counted. Serpentines go back in every second line.
        axes: Order of the axes of an array, for example ``hwvuc``.
        dataset: Name of the array in a file that holds several.
        selection: Part of the views and of their pixels.

    Returns:
        The validated light field and how it was understood.

    Raises:
        LightFieldError: the input is missing, damaged, ambiguous or no light field.
    """
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        what = "an empty path" if isinstance(path, str) else f"of type {type(path).__name__}"
        raise LightFieldError(f"the input is {what}, expected the path of a file or folder")
    path = Path(path)
    if not path.exists():
        raise LightFieldError(f"{path}: no such file or folder")
    if not (path.is_file() or path.is_dir()):
        raise LightFieldError(f"{path}: a device or a pipe, expected a file or a folder")
    if grid is not None:
        grid = as_grid(grid)
    if order is not None and order not in ORDERS:
        raise LightFieldError(f"order {order!r} is unknown, expected {' or '.join(ORDERS)}")
    told = selection or Selection()
    note = notes or (lambda line: None)
    request = Request(path, note, grid, _DIRECTIONS.get(order), axes, dataset, layout, told)
    chosen = _choose(path, layout)
    for name in ("grid", "order", "axes", "dataset"):
        is_idle = getattr(request, name) is not None and name not in chosen.options
        if is_idle and chosen is not foreign.LAYOUT:  # which tells first what the file is
            raise LightFieldError(f"{path}: --{name} says nothing about layout {chosen.name}")
    try:
        reading = chosen.reads(request)
        reading = _arrange(request, order, reading)
        if not _doubt_lines(request, reading):
            _doubt_rows(request, chosen, reading)
        _doubt_times(request, chosen, reading)
        return _finish(request, reading, bit_depth)
    except LightFieldError as error:
        if str(error).startswith(str(path)):
            raise
        raise LightFieldError(f"{path}: {error}") from None


def _choose(path: Path, name: str | None) -> Layout:
    if name is None:
        return next(layout for layout in _LAYOUTS if layout.accepts(path))
    for layout in _LAYOUTS:
        if layout.name == name:
            break
    else:
        raise LightFieldError(f"layout {name!r} is unknown, expected {', '.join(LAYOUTS)}")
    if path.is_dir() != layout.folder:
        kind = "folder" if path.is_dir() else "file"
        raise LightFieldError(
            f"{path}: layout {name!r} cannot be read from a {kind}; leave out --layout, or give a "
            f"{'file' if path.is_dir() else 'folder'}"
        )
    return layout


def _arrange(request: Request, stated: str | None, reading: Reading) -> Reading:
    """Put views where the stated order says, or of counted ones where their content does."""
    supposed, samples = request.order or reading.counted, reading.samples
    order, is_doubtful = stated or supposed, bool(reading.counted) and not reading.is_sure
    if is_doubtful:
        order = find_order(samples, supposed)
    if not order:
        return reading
    source = reading.source
    if order != supposed:
        samples = rearranged(samples, supposed, order)
    if reading.counted or order != supposed:
        source += f", {ORDERS_IN_WORDS[order]}"
    if is_doubtful:
        doubt = ""
        if order != supposed:
            doubt = f", as their content tells; if not so, add --order {supposed}"
        elif 1 not in samples.shape[:2]:
            others = [other for other in ORDERS if other != order]
            doubt = f"; if not so, add --order {', '.join(others[:-1])} or {others[-1]}"
        request.note(f"{request.path}: {source}{doubt}")
    counted = order if reading.counted else ""
    return replace(reading, samples=samples, source=source, counted=counted)


def _doubt_lines(request: Request, reading: Reading) -> bool:
    """Say so if counted views come in other lines than those of the stated grid."""
    if not reading.counted or request.grid is None:
        return False
    n_v, n_u = reading.samples.shape[:2]
    length = find_line_length(reading.samples, reading.counted)
    if length in (0, n_v, n_u):
        return False
    request.note(
        f"{request.path}: the views seem to come in lines of {length}; "
        f"perhaps --grid {format_grid((n_v * n_u // length, length))} is meant"
    )
    return True


def _doubt_times(request: Request, chosen: Layout, reading: Reading) -> None:
    """Say so if one of two numbers in names rather counts moments."""
    if chosen is not views.LAYOUT or reading.counted or reading.is_sure:
        return
    axis = find_still_axis(reading.samples)
    if axis:
        lines, moments = ("column", "rows") if axis == "v" else ("row", "columns")
        request.note(
            f"{request.path}: the views of a {lines} are nearly alike; if {moments} are moments, "
            "give the images of one moment only"
        )


def _doubt_rows(request: Request, chosen: Layout, reading: Reading) -> None:
    """Say so if a grid that the input does not tell is rather one row, broken into lines."""
    n_v, n_u = reading.samples.shape[:2]
    is_told = request.grid is None and chosen is not mosaic.LAYOUT
    if is_told or request.selection != Selection():
        return
    way = find_row(reading.samples)
    if not way:
        return
    advice = f"if they are one row, add --grid 1x{n_v * n_u}"
    if chosen is mosaic.LAYOUT:
        advice = "if they are one row, give them in a folder, with --grid"
        if way == "bottom":
            advice = f"if this is a quilt, add --layout quilt --grid {n_v}x{n_u}"
    other = "below" if way == "top" else "above"
    request.note(
        f"{request.path}: the last view of a row resembles the first one of the row {other}; "
        f"{advice}"
    )


def _finish(request: Request, reading: Reading, bit_depth: int | None) -> Input:
    """Select, keep and check samples, and find their depth."""
    samples = reading.samples
    check_grid((samples.shape[0], samples.shape[1]))
    samples = stored.settle(request.selection.of(samples), str(request.path), reading.dear)
    light_field = LightField(samples, reading.bit_depth if bit_depth is None else bit_depth)
    if bit_depth is None and reading.bit_depth == 16:
        needed = light_field.largest_sample().bit_length()
        if 0 < needed <= _MOST_LIKELY_DEPTH:
            depth = max(needed, 8)
            light_field = LightField(samples, depth)
            request.note(
                f"{request.path}: no sample of 16 bits needs more than {needed}, "
                f"read as {depth} bit; if it is a dark scene, add --bit-depth 16"
            )
    return Input(light_field, reading.source)
