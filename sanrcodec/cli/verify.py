# SPDX-License-Identifier: MIT
"""``sanr verify``; writes nothing."""

from __future__ import annotations

import time
from pathlib import Path

import click

from sanrcodec.cli.messages import result
from sanrcodec.cli.options import file_argument
from sanrcodec.decoder import SanrFile

__all__ = ["command"]


@click.command("verify", short_help="Check a file by decoding all of it.")
@file_argument
def command(file: Path) -> None:
    """Check the checksums of the .sanr file FILE, and decode its weights, latents and views."""
    begun = time.monotonic()
    opened = SanrFile(file)
    n_weights = sum(w.size for w in opened.weights.values())
    n_latents = sum(grid.size for grid in opened.latents)
    n_views = sum(1 for _ in opened.views())
    result(
        f"{file}: ok  {len(opened.sections)} sections, {n_weights} weights, "
        f"{n_latents} latents and {n_views} views  "
        f"decoded in {time.monotonic() - begun:.2f} s"
    )
