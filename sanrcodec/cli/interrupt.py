# SPDX-License-Identifier: MIT
"""Ctrl-C during a fit; knows nothing of the fit."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["stop_at_interrupt"]


@contextmanager
def stop_at_interrupt(*, quiet: bool = False) -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether Ctrl-C was pressed; the second press aborts.

    Args:
        quiet: Tell nothing at the first press.
    """
    interrupted = False

    def handle(signum: int, frame: Any) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True
        if not quiet:
            with suppress(OSError):  # not through sys.stderr, which may be in use right now
                os.write(2, b"\nstopping; the state reached is written. Ctrl-C again aborts\n")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: interrupted
    finally:
        signal.signal(signal.SIGINT, previous)
