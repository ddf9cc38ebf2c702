# SPDX-License-Identifier: MIT
"""``sanr export``; decodes nothing."""

from __future__ import annotations

from pathlib import Path

import click

from sanrcodec.cli.messages import result
from sanrcodec.cli.options import OUTPUT_FILE, PATH
from sanrcodec.cli.outputs import check_output
from sanrcodec.decoder import SanrFile
from sanrcodec.io import write_atomically
from sanrcodec.viewer.page import build_page

__all__ = ["command"]


@click.command("export", short_help="Make a web page that shows a light field.")
@click.argument("file", type=PATH)
@click.option(
    "-o", "--output", type=OUTPUT_FILE, metavar="PATH",
    help="The page.  [default: FILE.html]",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite an existing page.")
def command(file: Path, output: Path | None, force: bool) -> None:
    """Make one HTML page of the .sanr file FILE: file, decoder and viewer inside.

    The page needs no server and asks none for anything.
    """
    output = output or Path(f"{file.stem}.html")
    check_output(output, force, file)
    opened = SanrFile(file)  # a damaged file is refused here, not in the browser
    page = build_page(opened.content, file.name).encode("utf-8")
    write_atomically(output, page, overwrite=force)
    result(f"{output}: {len(page)} bytes, open it in a browser")
