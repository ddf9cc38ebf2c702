# SPDX-License-Identifier: MIT
"""``sanr refocus``."""

from __future__ import annotations

from pathlib import Path

import click

from sanrcodec.cli.counter import counted
from sanrcodec.cli.messages import result
from sanrcodec.cli.options import FINITE, PATH, PIXEL, FiniteRange, file_argument, force_option
from sanrcodec.cli.outputs import check_image
from sanrcodec.decoder import SanrFile
from sanrcodec.io import ANIMATION_SUFFIXES, check_animation, write_animation, write_view
from sanrcodec.rendering.refocus import SHAPES, disparity_at

__all__ = ["command"]


@click.command("refocus", short_help="See the scene through a large lens.")
@file_argument
@click.option("--slope", type=FINITE, help="Disparity that is sharp, in pixels per view.")
@click.option("--at", "place", type=PIXEL, help="Row and column of a pixel that is sharp.")
@click.option("--all-in-focus", is_flag=True, help="Everything sharp, with less noise.")
@click.option(
    "--stack", type=click.IntRange(2, 1000), metavar="N",
    help="N images focused from far to near, in one .tif, .gif, .webp, ...",
)  # fmt: skip
@click.option(
    "--aperture", type=FiniteRange(min=0),
    help="Radius of the lens in views.  [default: all views]",
)  # fmt: skip
@click.option("--shape", type=click.Choice(SHAPES), default="disk", show_default=True)
@click.option("-o", "--output", type=PATH, required=True, metavar="OUT", help="Image to write.")
@force_option
def command(
    file: Path, slope: float | None, place: tuple[int, int] | None, all_in_focus: bool,
    stack: int | None, aperture: float | None, shape: str, output: Path, force: bool,
) -> None:  # fmt: skip
    """Refocus the .sanr file FILE: give one of --slope, --at, --all-in-focus and --stack."""
    if sum(choice is not None for choice in (slope, place, stack)) + all_in_focus != 1:
        raise click.UsageError("give exactly one of --slope S, --at Y,X, --all-in-focus, --stack N")
    suffixes = ANIMATION_SUFFIXES if stack else (".png", ".ppm", ".pgm")
    check_image(output, suffixes, force, file)
    if stack:
        check_animation(output)
    opened = SanrFile(file)
    with counted("refocus") as progress:
        if stack:
            images = opened.focal_stack(stack, aperture=aperture, shape=shape, progress=progress)
            n = write_animation(output, images, opened.bit_depth, 10)
            result(f"{output}: {n} images, focused from far to near")
            return
        if all_in_focus:
            image = opened.all_in_focus(aperture=aperture, shape=shape, progress=progress)
            what = "all in focus"
        else:
            disparity = disparity_at(opened, *place) if place else slope
            assert disparity is not None
            image = opened.refocus(disparity, aperture=aperture, shape=shape, progress=progress)
            what = f"focused at a disparity of {disparity:.3f} pixels per view"
    write_view(output, image, opened.bit_depth)
    result(f"{output}: {what}")
