# SPDX-License-Identifier: MIT
"""``sanr quilt``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click
import numpy.typing as npt

from sanrcodec.cli.counter import counted
from sanrcodec.cli.messages import result
from sanrcodec.cli.options import GRID, PATH, file_argument, force_option
from sanrcodec.cli.outputs import check_image
from sanrcodec.decoder import SanrFile
from sanrcodec.io import choose_tiles, quilt_path, write_quilt
from sanrcodec.rendering.paths import line

__all__ = ["command"]


@click.command("quilt", short_help="Write a quilt for Looking Glass displays.")
@file_argument
@click.option(
    "--views", "n_views", type=click.IntRange(2, 1000), default=45, show_default=True,
    help="Views along the middle row of the grid, evenly spaced.",
)  # fmt: skip
@click.option("--tiles", type=GRID, help="Rows x columns of tiles.  [default: about a square]")
@click.option(
    "-o", "--output", type=PATH, required=True, metavar="OUT.png",
    help="Its name gets the tiles and the aspect, as in lf_qs9x5a1.33.png.",
)  # fmt: skip
@force_option
def command(
    file: Path, n_views: int, tiles: tuple[int, int] | None, output: Path, force: bool
) -> None:
    """Write views of the .sanr file FILE as one picture, the leftmost at the bottom left.

    The display wants about 45 views side by side; most of them lie between those of the grid. For
    those of the grid alone, in their order, see `sanr decode --quilt`.
    """
    if tiles and math.prod(tiles) != n_views:
        raise click.UsageError(f"{tiles[0]} x {tiles[1]} tiles do not hold {n_views} views")
    opened = SanrFile(file)
    height, width = opened.shape[2:4]
    tiles = tiles or choose_tiles(n_views, height, width)
    path = quilt_path(output, tiles, width / height)
    check_image(path, (".png",), force, file)
    places = line(opened.grid, n_views)
    if opened.offset(*places[0])[1] > opened.offset(*places[-1])[1]:
        places.reverse()  # the columns of this array run from right to left
    done = 0
    with counted("quilt") as progress:

        def view(number: int) -> npt.NDArray[Any]:
            nonlocal done
            done += 1
            progress(done, n_views)
            return opened.view(*places[number])

        write_quilt(path, view, tiles, opened.bit_depth)
    result(f"{path}: {n_views} views, {tiles[1]} x {tiles[0]} tiles")
