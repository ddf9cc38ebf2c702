# SPDX-License-Identifier: MIT
"""``sanr epi``."""

from __future__ import annotations

from pathlib import Path

import click

from sanrcodec.cli.messages import result
from sanrcodec.cli.options import FINITE, PATH, file_argument, force_option
from sanrcodec.cli.outputs import check_image
from sanrcodec.decoder import SanrFile
from sanrcodec.io import write_view

__all__ = ["command"]


@click.command("epi", short_help="Write an epipolar-plane image.")
@file_argument
@click.option("--row", type=int, help="Row of pixels, seen by a row of views.")
@click.option("--column", type=int, help="Column of pixels instead, seen by a column of views.")
@click.option("--v", "v", type=FINITE, help="Row of views, for --row.  [default: the middle]")
@click.option("--u", "u", type=FINITE, help="Column of views, for --column.  [default: the middle]")
@click.option("--lines", type=click.IntRange(1, 4096), help="Lines.  [default: one for each view]")
@click.option("-o", "--output", type=PATH, required=True, metavar="OUT.png")
@force_option
def command(
    file: Path, row: int | None, column: int | None, v: float | None, u: float | None,
    lines: int | None, output: Path, force: bool,
) -> None:  # fmt: skip
    """Write how one line of pixels changes from view to view of the .sanr file FILE."""
    if (row is None) == (column is None):
        raise click.UsageError("give either --row Y or --column X")
    if (u is not None and row is not None) or (v is not None and column is not None):
        raise click.UsageError("--v goes with --row, and --u with --column")
    check_image(output, (".png", ".ppm", ".pgm"), force, file)
    opened = SanrFile(file)
    image = opened.epi(row=row, column=column, at=v if row is not None else u, n=lines)
    write_view(output, image, opened.bit_depth)
    result(f"{output}: {len(image)} views of {image.shape[1]} pixels")
