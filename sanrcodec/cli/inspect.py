# SPDX-License-Identifier: MIT
"""``sanr inspect``: how an input is understood; imports torch only where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sanrcodec.cli.input_options import input_options, read_source
from sanrcodec.cli.messages import note, result
from sanrcodec.cli.options import PATH
from sanrcodec.cli.outputs import check_images
from sanrcodec.errors import MissingEncoderError
from sanrcodec.io import contact_sheet, shown_places, write_view

__all__ = ["command"]


@click.command("inspect", short_help="Show how an input is understood.")
@input_options
@click.option(
    "-o", "--output", type=PATH, default=Path(), metavar="FOLDER",
    help="Where the pictures go.  [default: the current folder]",
)  # fmt: skip
@click.option("--device", help="Such as cpu or cuda:0.  [default: a CUDA device if there is one]")
@click.option("--force", is_flag=True, help="Overwrite the pictures.")
def command(source: Path, output: Path, device: str | None, force: bool, **options: Any) -> None:
    """Show how the light field INPUT is understood, without encoding it.

    Prints layout, grid, size and parallax, and draws two pictures: INPUT_views.png, a contact
    sheet of the views in their places, and INPUT_disparity.png, the disparity of the center view
    with near content white. The latter needs PyTorch.
    """
    name = source.resolve().stem or "input"
    sheet, disparity = (output / f"{name}_{what}.png" for what in ("views", "disparity"))
    check_images(output, (sheet, disparity), force)
    lines: list[str] = []
    light_field = read_source(source, options, lines.append).light_field
    result(*lines)
    output.mkdir(parents=True, exist_ok=True)
    write_view(sheet, contact_sheet(light_field), 8)
    result(f"{sheet}: contact sheet{_of_how_many(light_field.grid)}")
    try:
        from sanrcodec.encoder.geometry_report import inspect_geometry
    except MissingEncoderError as error:
        note(f"no disparity is drawn: {error}")
        return
    lines, picture = inspect_geometry(light_field, device)
    result(*lines)
    if picture is not None:
        write_view(disparity, picture, 8)
        result(f"{disparity}: disparity of the center view, near is white")


def _of_how_many(grid: tuple[int, int]) -> str:
    """Say how many views are shown, if not all are."""
    rows, columns = shown_places(grid)
    if (len(rows), len(columns)) == grid:
        return ""
    return f" of {len(rows)} x {len(columns)} of {grid[0]} x {grid[1]} views, evenly spread"
