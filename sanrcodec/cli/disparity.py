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
    # Layers go to other files, whose names begin like this one.
    check_image(output, FLOAT_MAP_SUFFIXES, force or layers, file)
    opened = SanrFile(file)
    n_v, n_u = opened.grid
    position = position or ((n_v - 1) / 2, (n_u - 1) / 2)
    if layers:
        _write_layers(opened, position, output, force)
        return
    values = opened.disparity(*position)
    how = write_float_map(output, values)
    result(
        f"{output}: disparity {values.min():.2f}..{values.max():.2f} pixels per view "
        "of view {:g},{:g}, {}".format(*position, how)
    )


def _write_layers(
    opened: SanrFile, position: tuple[float, float], output: Path, force: bool
) -> None:
    """Write disparity and share of every layer; no file is written if one is in the way."""
    paths = {
        (name, number): output.with_name(f"{output.stem}_{name}{number}{output.suffix}")
        for name in ("disparity", "share")
        for number in range(opened.header.layers)
    }
    for path in paths.values():
        check_image(path, FLOAT_MAP_SUFFIXES, force)
    found = opened.layer_disparities(*position)
    for (name, number), path in paths.items():
        values = getattr(found, name)[number]
        how = write_float_map(path, values)
        result(f"{path}: {name} of layer {number}, {values.min():.2f}..{values.max():.2f}, {how}")
