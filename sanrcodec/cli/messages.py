# SPDX-License-Identifier: MIT
"""Lines that the commands print, free of control characters; decides nothing.

File names and metadata come from strangers: a terminal must not obey what is in them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

import click

__all__ = ["LineHandler", "describe", "harmless", "note", "result"]


def result(*lines: str) -> None:
    """Print lines of the result on stdout."""
    for line in lines:
        click.echo(harmless(line, _encoding(sys.stdout)))


def note(line: str) -> None:
    """Print one line that is not the result on stderr; nobody may be there to read it."""
    with suppress(OSError):
        click.echo(harmless(line, _encoding(sys.stderr)), err=True)


def describe(error: BaseException) -> str:
    """Tell an error in one line."""
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def harmless(line: str, encoding: str | None = None) -> str:
    """Write as escapes what a terminal might obey, or what the encoding does not have.

    Control characters, marks that change the direction of text and halves of surrogate pairs
    are such: all that is not printable.
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    encoding = encoding or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


class LineHandler(logging.Handler):
    """Hands warnings to ``show``, one line each, instead of logging them."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        """Show one warning."""
        self._show(" ".join(record.getMessage().split()))


def _encoding(stream: TextIO | None) -> str | None:
    return stream.encoding if stream else None  # None where the process began without it
