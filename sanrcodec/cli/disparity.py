# SPDX-License-Identifier: MIT
"""``sanr disparity``."""

from __future__ import annotations

from pathlib import Path

import click

from sanrcodec.cli.messages import result
from sanrcodec.cli.options import PATH, VIEW_POSITION, file_argument, force_option
from sanrcodec.cli.outputs import check_image
from sanrcodec.decoder import SanrFile
from sanrcodec.io import FLOAT_MAP_SUFFIXES, write_float_map

__all__ = ["command"]


@click.command("disparity", short_help="Write the disparity of a view.")
@file_argument
@click.option(
    "--view", "position", type=VIEW_POSITION, help="Row and column.  [default: the middle]"
)
@click.option(
    "--layers", is_flag=True,
    help="Every layer in a file of its own, and how much of each pixel is of it.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=PATH, required=True, metavar="OUT",
    help="A .pfm, .npy or .tif with the numbers, or a .png to look at.",
)  # fmt: skip
@force_option
def command(
    file: Path, position: tuple[float, float] | None, layers: bool, output: Path, force: bool
) -> None:
    """Write how many pixels the content of the .sanr file FILE moves from view to view.

    The higher, the nearer: what has disparity d moves by -d pixels when the camera moves by one
    view to the right or down, as in the HCI 4D light field benchmark.
    """
    check_image(output, FLOAT_MAP_SUFFIXES, force)
    opened = SanrFile(file)
    n_v, n_u = opened.grid
    v, u = position or ((n_v - 1) / 2, (n_u - 1) / 2)
    if not layers:
        values = opened.disparity(v, u)
        how = write_float_map(output, values)
        result(
            f"{output}: disparity {values.min():.2f}..{values.max():.2f} pixels per view "
            f"of view {v:g},{u:g}, {how}"
        )
        return
    found = opened.layer_disparities(v, u)
    for name, maps in (("disparity", found.disparity), ("share", found.share)):
        for number, values in enumerate(maps):
            path = output.with_name(f"{output.stem}_{name}{number}{output.suffix}")
            check_image(path, FLOAT_MAP_SUFFIXES, force)
            how = write_float_map(path, values)
            result(
                f"{path}: {name} of layer {number}, {values.min():.2f}..{values.max():.2f}, {how}"
            )
