# SPDX-License-Identifier: MIT
"""``sanr stereo``."""

from __future__ import annotations

from pathlib import Path

import click

from sanrcodec.cli.messages import result
from sanrcodec.cli.options import PATH, FiniteRange, file_argument, force_option
from sanrcodec.cli.outputs import check_image
from sanrcodec.decoder import SanrFile
from sanrcodec.io import write_view
from sanrcodec.rendering.pictures import anaglyph, side_by_side

__all__ = ["command"]


@click.command("stereo", short_help="Write a stereo pair.")
@file_argument
@click.option(
    "--baseline", type=FiniteRange(min=0),
    help="Distance of the eyes in views.  [default: half of the grid]",
)  # fmt: skip
@click.option("--anaglyph", "as_anaglyph", is_flag=True, help="For red and cyan glasses.")
@click.option("-o", "--output", type=PATH, required=True, metavar="OUT.png")
@force_option
def command(
    file: Path, baseline: float | None, as_anaglyph: bool, output: Path, force: bool
) -> None:
    """Write what two eyes see of the .sanr file FILE, side by side."""
    check_image(output, (".png", ".ppm"), force, file)
    opened = SanrFile(file)
    image = (anaglyph if as_anaglyph else side_by_side)(opened, baseline)
    write_view(output, image, opened.bit_depth)
    result(f"{output}: {image.shape[1]} x {image.shape[0]} pixels")
