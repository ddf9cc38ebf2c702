# SPDX-License-Identifier: MIT
"""``sanr view``; decodes nothing: the browser does."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path

import click

from sanrcodec.cli.messages import result
from sanrcodec.cli.options import PATH
from sanrcodec.decoder import SanrFile
from sanrcodec.errors import SanrError
from sanrcodec.viewer.page import build_page

__all__ = ["command"]


@click.command("view", short_help="Look through a light field in the browser.")
@click.argument("file", type=PATH)
def command(file: Path) -> None:
    """Show the .sanr file FILE in the browser: a page in a temporary file, no server."""
    opened = SanrFile(file)  # a damaged file is refused here, not in the browser
    # The browser reads the page after this command has ended, so that it cannot be removed.
    page = Path(tempfile.mkdtemp(prefix="sanr-view-")) / f"{file.stem}.html"
    page.write_text(build_page(opened.content, file.name), encoding="utf-8")
    if not webbrowser.open(page.as_uri()):
        raise SanrError(f"no browser was found; open {page} with one")
    result(f"{page}: opened in the browser")
