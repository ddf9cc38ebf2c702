# SPDX-License-Identifier: MIT
"""``sanr conformance``; writes nothing."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from sanrcodec.cli.messages import note, result
from sanrcodec.cli.options import PATH
from sanrcodec.conformance import command_decoder, conformance, own_decoder

__all__ = ["command"]


@click.command("conformance", short_help="Check a decoder with files of known samples.")
@click.argument("folder", type=PATH)
@click.option(
    "--decoder", metavar="CMD",
    help="Another decoder: called as CMD FILE V U DIVISOR, it prints the samples of the view that "
    "is smaller by DIVISOR, one byte each, or two, little-endian, above 8 bits. Of a faulty file "
    "it prints none, and ends with another exit code than 0.  [default: that of this package]",
)  # fmt: skip
@click.pass_context
def command(ctx: click.Context, folder: Path, decoder: str | None) -> None:
    """Check a decoder with the files in FOLDER, such as tests of the source distribution.

    Its folders vectors and faulty hold files whose samples are known, and files that break one rule
    of the format each.
    """
    words = shlex.split(decoder or "")
    if decoder is not None and not words:
        raise click.UsageError("--decoder is empty, expected a command")
    checks = list(conformance(folder, command_decoder(words) if words else own_decoder))
    failed = [check for check in checks if check.fault]
    for check in failed:
        note(f"{check.name}: {check.fault}")
    n_views = sum(check.n_views for check in checks)
    n_faulty = sum(not check.n_views for check in checks)
    result(
        f"{folder}: {'ok' if not failed else f'{len(failed)} failed'}  {len(checks)} files, "
        f"{n_views} views, {n_faulty} faulty files"
    )
    ctx.exit(1 if failed else 0)
