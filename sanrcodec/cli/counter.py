# SPDX-License-Identifier: MIT
"""A progress bar for commands that take more than a second; knows nothing of what is counted."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

__all__ = ["counted"]

_PATIENCE_S = 1.0


@contextmanager
def counted(label: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows how many of how many are done, on a terminal and after a second.

    Args:
        label: What is counted.
    """
    begun, width = time.monotonic(), 0

    def show(done: int, total: int) -> None:
        nonlocal width
        is_terminal = sys.stderr is not None and sys.stderr.isatty()
        if not is_terminal or time.monotonic() - begun < _PATIENCE_S:
            return
        filled = 24 * done // max(1, total)
        line = f"{label} [{'#' * filled}{'-' * (24 - filled)}] {done}/{total}"
        click.echo("\r" + line.ljust(width), err=True, nl=False)
        width = len(line)

    try:
        yield show
    finally:
        if width:
            click.echo("\r" + " " * width + "\r", err=True, nl=False)
