# SPDX-License-Identifier: MIT
"""``sanr video``."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy.typing as npt

from sanrcodec.cli.counter import counted
from sanrcodec.cli.messages import result
from sanrcodec.cli.options import PATH, SCALE, FiniteRange, file_argument, force_option
from sanrcodec.cli.outputs import check_image
from sanrcodec.decoder import SanrFile
from sanrcodec.errors import SanrError, located
from sanrcodec.io import ANIMATION_SUFFIXES, check_animation, write_animation
from sanrcodec.rendering.paths import orbit, parse_path, there_and_back

__all__ = ["command"]


@click.command("video", short_help="Write a video or an animated picture.")
@file_argument
@click.option(
    "--path", "way", default="orbit", show_default=True, metavar="orbit|line|FILE",
    help="Way through the grid: around the middle, from left to right and back, or the lines v,u "
    "of a text file.",
)  # fmt: skip
@click.option(
    "--frames", type=click.IntRange(2, 10000), default=60, show_default=True,
    help="Of orbit and line.",
)  # fmt: skip
@click.option("--fps", type=FiniteRange(1, 100), default=25.0, show_default=True)
@click.option("--scale", type=SCALE, default="1", show_default=True, help="1, 1/2, 1/4 or 1/8.")
@click.option(
    "-o", "--output", type=PATH, required=True, metavar="OUT",
    help="A .gif, .webp, .avif, .png or .tif; an .mp4, .mkv or .mov where ffmpeg is installed.",
)  # fmt: skip
@force_option
def command(
    file: Path, way: str, frames: int, fps: float, scale: Fraction, output: Path, force: bool
) -> None:
    """Write the views of the .sanr file FILE along a way through its grid."""
    check_image(output, ANIMATION_SUFFIXES, force, file)
    check_animation(output)
    opened = SanrFile(file)
    if way == "orbit":
        places = orbit(opened.grid, frames)
    elif way == "line":
        places = there_and_back(opened.grid, frames)
    else:
        try:
            text = Path(way).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise SanrError(f"--path {way}: cannot read it ({error})") from None
        with located(way):
            places = parse_path(text, opened.grid)
    with counted("video") as progress:

        def views() -> Iterator[npt.NDArray[Any]]:
            for n, place in enumerate(places, 1):
                yield opened.view(*place, scale=scale)
                progress(n, len(places))

        n_frames = write_animation(output, views(), opened.bit_depth, fps)
    result(f"{output}: {n_frames} frames, {n_frames / fps:.1f} s")
