# SPDX-License-Identifier: MIT
"""``sanr decode``; never imports torch itself."""

from __future__ import annotations

import math
import time
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import numpy.typing as npt

from sanrcodec.cli.messages import binary_result, note, result
from sanrcodec.cli.options import SCALE, VIEW_POSITION, FilePath, file_argument
from sanrcodec.cli.outputs import check_image, check_images
from sanrcodec.decoder import SanrFile
from sanrcodec.io import (
    choose_tiles,
    encode_view,
    quilt_path,
    write_mosaic,
    write_quilt,
    write_view,
)

__all__ = ["command"]

STDOUT = Path("-")


@click.command("decode", short_help="Decode one view or all views.")
@file_argument
@click.option(
    "--view", "positions", type=VIEW_POSITION, multiple=True,
    help="One view, row and column from 0; fractions lie in between. May be given several times.",
)  # fmt: skip
@click.option("--all", "all_views", is_flag=True, help="All views, as view_VV_UU.png in a folder.")
@click.option("--mosaic", is_flag=True, help="All views, tiled in one PNG.")
@click.option(
    "--quilt", is_flag=True,
    help="The middle row of views as they are, tiled as a Looking Glass quilt.",
)  # fmt: skip
@click.option(
    "--scale", type=SCALE, default="1", show_default=True,
    help="Size of the views: 1, 1/2, 1/4 or 1/8. Smaller ones are decoded much faster.",
)  # fmt: skip
@click.option("--device", help="Decode with PyTorch, on cuda for example; the same samples.")
@click.option(
    "-o", "--output", type=FilePath(path_type=Path, allow_dash=True), metavar="PATH",
    help="Image, or folder for --all and several --view; - is a PNG of one view on stdout.  "
    "[default: FILE_vVV_uUU.png, FILE_views, FILE_mosaic.png or FILE_qs...png here]",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite existing images.")
def command(
    file: Path,
    positions: tuple[tuple[float, float], ...],
    all_views: bool,
    mosaic: bool,
    quilt: bool,
    scale: Fraction,
    device: str | None,
    output: Path | None,
    force: bool,
) -> None:
    """Decode views of the .sanr file FILE; give one of --view, --all, --mosaic and --quilt.

    --quilt writes only views of the grid, so that `sanr encode` reads them back; its name gets the
    tiles, as in NAME_qs3x3a1.png. A display wants more views: see `sanr quilt`.
    """
    if bool(positions) + all_views + mosaic + quilt != 1:
        raise click.UsageError("give exactly one of --view V,U, --all, --mosaic and --quilt")
    if output == STDOUT:
        if len(positions) != 1:
            raise click.UsageError("only one view fits on stdout: give one --view V,U with -o -")
        opened = SanrFile(file, device=device)
        content = encode_view(opened.view(*positions[0], scale=scale), opened.bit_depth)
        binary_result(content)
        return
    begun = time.monotonic()
    job = _Job(file, device, scale, output, force)
    if positions:
        done = _write_some(job, positions)
    elif quilt:
        done = _write_quilt(job)
    elif mosaic:
        done = _write_mosaic(job)
    else:
        done = _write_all(job)
    height, width = _size(done.opened, scale)
    result(
        f"{done.output}: {done.what} of {width} x {height} pixels  "
        f"decoded in {time.monotonic() - begun:.2f} s"
    )


class _Job(NamedTuple):
    """What is decoded, and where to. Outputs are checked before the file is opened."""

    file: Path
    device: str | None
    scale: Fraction
    output: Path | None
    force: bool

    def opened(self) -> SanrFile:
        return SanrFile(self.file, device=self.device)


class _Done(NamedTuple):
    """The file, where its views are, and which these are."""

    opened: SanrFile
    output: Path
    what: str


def _write_some(job: _Job, positions: tuple[tuple[float, float], ...]) -> _Done:
    """Write views, each to an image of its own."""
    paths = _view_paths(job.file, positions, job.scale, job.output)
    for path in paths:
        check_image(path, (".png", ".ppm", ".pgm"), job.force, job.file)
    opened = job.opened()
    for position, path in zip(positions, paths, strict=True):
        write_view(path, opened.view(*position, scale=job.scale), opened.bit_depth)
    what = ", ".join("view {:g},{:g}".format(*position) for position in positions)
    return _Done(opened, paths[0] if len(paths) == 1 else paths[0].parent, what)


def _write_quilt(job: _Job) -> _Done:
    """Write the middle row of views as a quilt, whose tiles are added to the name of the output."""
    output = job.output or Path(f"{job.file.stem}.png")
    check_image(output, (".png",), force=True)
    opened = job.opened()
    n_v, n_u = opened.grid
    row, (height, width) = (n_v - 1) // 2, _size(opened, job.scale)
    tiles = choose_tiles(n_u, height, width)
    path = quilt_path(output, tiles, width / height)
    check_image(path, (".png",), job.force, job.file)
    write_quilt(path, lambda u: opened.view(row, u, scale=job.scale), tiles, opened.bit_depth)
    of = f" of row {row} of {n_v}" if n_v > 1 else ""
    return _Done(opened, path, f"quilt of {tiles[1]} x {tiles[0]} views{of}")


def _write_mosaic(job: _Job) -> _Done:
    """Write all views as one image; holds a row of them at a time."""
    output = job.output or Path(f"{job.file.stem}_mosaic.png")
    check_image(output, (".png",), job.force, job.file)
    opened = job.opened()
    n_v, n_u = opened.grid
    views = opened.views(scale=job.scale)
    rows = (np.stack(list(islice(views, n_u))) for _ in range(n_v))
    write_mosaic(output, rows, opened.grid, opened.bit_depth)
    return _Done(opened, output, f"{n_v} x {n_u} views")


def _write_all(job: _Job) -> _Done:
    """Write every view as ``view_VV_UU.png`` to a folder, which may exist."""
    folder = job.output or Path(f"{job.file.stem}_views")
    opened = job.opened()
    paths = {vu: folder / "view_{:02d}_{:02d}.png".format(*vu) for vu in np.ndindex(opened.grid)}
    check_images(folder, paths.values(), job.force)
    folder.mkdir(parents=True, exist_ok=True)

    def write(v: int, u: int, view: npt.NDArray[Any]) -> None:
        write_view(paths[v, u], view, opened.bit_depth)

    n_views = sum(1 for _ in opened.map_views(write, scale=job.scale))
    n_others = len({*folder.glob("view_*_*.png")}.difference(paths.values()))
    if n_others:
        note(f"{folder}: images named like views of another light field stay in it: {n_others}")
    return _Done(opened, folder, f"{n_views} views")


def _view_paths(
    file: Path,
    positions: tuple[tuple[float, float], ...],
    scale: Fraction,
    output: Path | None,
) -> list[Path]:
    """Where views go: one to the output, several to a folder."""
    names = [_default_output(file, position, scale) for position in positions]
    if len(positions) == 1:
        return [output or names[0]]
    if len(set(names)) < len(names):
        raise click.UsageError("a view is given twice")
    if output is None:
        return names
    check_images(output, (), force=True)  # the images themselves are looked at by the caller
    output.mkdir(parents=True, exist_ok=True)
    return [output / name for name in names]


def _default_output(file: Path, position: tuple[float, float], scale: Fraction) -> Path:
    v, u = map(_two_digits, position)
    small = "" if scale == 1 else f"_1of{scale.denominator}"
    return Path(f"{file.stem}_v{v}_u{u}{small}.png")


def _two_digits(position: float) -> str:
    """``4.0`` -> ``04``, ``3.5`` -> ``03.5``."""
    whole, _, fraction = f"{position:.4f}".partition(".")
    fraction = fraction.rstrip("0")
    return whole.zfill(2) + (f".{fraction}" if fraction else "")


def _size(opened: SanrFile, scale: Fraction) -> tuple[int, int]:
    height, width = (math.ceil(n * scale) for n in (opened.header.height, opened.header.width))
    return height, width
