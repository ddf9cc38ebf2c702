# SPDX-License-Identifier: MIT
"""Options about the input of ``sanr encode`` and ``sanr inspect``, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from sanrcodec.cli.options import GRID, PATH, Parsed
from sanrcodec.io import (
    LAYOUTS,
    ORDERS,
    Input,
    Selection,
    parse_every,
    parse_ranges,
    read_input,
)

__all__ = ["input_options", "inputs_options", "original_options", "read_source"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--grid", type=GRID, metavar="VxU",
        help="Number of views, rows first, if the input does not tell it.",
    ),
    click.option(
        "--layout", type=click.Choice(LAYOUTS),
        help="How the views lie in the input.  [default: told by its kind; never lenslet]",
    ),
    click.option(
        "--order", type=click.Choice(ORDERS),
        help="Which index comes first in names, or how counted views follow each other.",
    ),
    click.option(
        "--axes", metavar="AXES",
        help="Order of the axes of an array, such as vuhwc or hwvuc; n counts views.",
    ),
    click.option("--dataset", metavar="NAME", help="Array in a file that holds several."),
    click.option(
        "--bit-depth", type=click.IntRange(8, 16),
        help="Significant bits of a sample, if the input does not tell them.",
    ),
    click.option(
        "--views", type=Parsed("V0:V1,U0:U1", parse_ranges), metavar="V0:V1,U0:U1",
        help="Only these rows and columns of views, such as 3:12,3:12.",
    ),
    click.option(
        "--every", type=Parsed("N", parse_every), metavar="N[,M]",
        help="Of these views only every N-th along v, and every M-th along u.",
    ),
    click.option(
        "--crop", type=Parsed("Y0:Y1,X0:X1", parse_ranges), metavar="Y0:Y1,X0:X1",
        help="Only these rows and columns of pixels of each view.",
    ),
)  # fmt: skip


def input_options(command: _Command) -> _Command:
    """Give a command the argument INPUT and all options about it."""
    return _add(command, "INPUT")


def inputs_options(command: _Command) -> _Command:
    """The same, for a command that takes several."""
    return _add(command, "INPUT...", name="sources", nargs=-1, required=True)


def original_options(command: _Command) -> _Command:
    """The same, for a command that compares something with the light field ORIGINAL."""
    return _add(command, "ORIGINAL")


def _add(command: _Command, metavar: str, name: str = "source", **arity: Any) -> _Command:
    argument = click.argument(name, metavar=metavar, type=PATH, **arity)
    for option in (*reversed(_OPTIONS), argument):
        command = option(command)
    return command


def read_source(source: Path, options: dict[str, Any], tell: Callable[[str], None]) -> Input:
    """Read the input as the options say; takes them out of ``options``.

    Args:
        source: File or folder.
        options: Of the command; those about the input are removed.
        tell: Called with each note, and with one line of what was understood.

    Raises:
        LightFieldError: the input is missing, damaged, ambiguous or no light field.
    """
    grid, layout, bit_depth = (options.pop(name) for name in ("grid", "layout", "bit_depth"))
    views, every, crop = (options.pop(name) for name in ("views", "every", "crop"))
    parts = {"views": views, "every": every, "crop": crop}
    selection = Selection(**{name: part for name, part in parts.items() if part is not None})
    rest = {name: options.pop(name) for name in ("order", "axes", "dataset")}
    found = read_input(source, grid, layout, bit_depth, tell, selection=selection, **rest)
    tell(f"{source}: {found.summary()}")
    return found
