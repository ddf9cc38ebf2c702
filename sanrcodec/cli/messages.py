# SPDX-License-Identifier: MIT
"""Lines that the commands print, free of control characters; decides nothing.

File names and metadata come from strangers: a terminal must not obey what is in them.
"""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

import click

from sanrcodec.errors import SanrError

__all__ = ["LineHandler", "binary_result", "describe", "harmless", "note", "result"]


def result(*lines: str) -> None:
    """Print lines of the result on stdout.

    Raises:
        SanrError: they cannot be written; that nobody reads a pipe any more stays an OSError.
    """
    with _told():
        for line in lines:
            click.echo(harmless(line, _encoding(sys.stdout)))


def binary_result(content: bytes) -> None:
    """Write bytes of the result to stdout.

    Raises:
        SanrError: there is no stdout, or it cannot be written, as for :func:`result`.
    """
    stdout: TextIO | None = sys.stdout  # None where the process began without it
    if stdout is None:
        raise SanrError("stdout is closed, so the result goes nowhere; name a file with -o")
    with _told():
        stdout.buffer.write(content)
        stdout.buffer.flush()


@contextmanager
def _told() -> Iterator[None]:
    """Name stdout in the errors of writing to it, which name no file."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise SanrError(f"cannot write the result to stdout: {error.strerror}") from None


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
