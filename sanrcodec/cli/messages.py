# SPDX-License-Identifier: MIT
"""Lines that the commands print; decides nothing."""

from __future__ import annotations

import click

__all__ = ["describe", "note"]


def note(line: str) -> None:
    """Tell something that is not the result."""
    click.echo(line, err=True)


def describe(error: BaseException) -> str:
    """Tell an error in one line."""
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
