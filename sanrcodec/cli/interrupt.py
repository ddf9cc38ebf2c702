# SPDX-License-Identifier: MIT
"""Signals that end a fit early; knows nothing of the fit."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

__all__ = ["Stop", "stop_at_signals"]

# Ctrl-C; the request of a job scheduler or container to end; a terminal that was closed.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Stop:
    """Whether somebody asked for an end; call it to know.

    Attributes:
        reply: What the next request is answered with, on stderr; nothing if empty.
    """

    def __init__(self, reply: str) -> None:
        self.reply = reply
        self._asked = False

    def __call__(self) -> bool:
        """Tell whether an end was asked for."""
        return self._asked

    def reset(self, reply: str) -> None:
        """Forget the requests so far, and answer the next one with this."""
        self._asked, self.reply = False, reply

    def ask(self, signum: int) -> None:
        """Take a request; only a second Ctrl-C aborts, since a scheduler may ask repeatedly.

        Raises:
            KeyboardInterrupt: on Ctrl-C after another request.
        """
        if self._asked:
            if signum == signal.SIGINT and "TORCHELASTIC_RUN_ID" not in os.environ:
                raise KeyboardInterrupt
            return  # torchrun repeats the Ctrl-C that its processes have seen themselves
        self._asked = True
        if self.reply and sys.stderr is not None:  # else 2 may be another file
            with suppress(OSError):  # not through sys.stderr, which may be in use right now
                os.write(2, f"\n{self.reply}\n".encode())


@contextmanager
def stop_at_signals(reply: str) -> Iterator[Stop]:
    """Yield what tells whether Ctrl-C was pressed or another signal asked for an end.

    A signal that this process was started to ignore, as by nohup or in the background of a
    script, stays ignored. Outside of the main thread signals are left as they are.

    Args:
        reply: Of :class:`Stop`.
    """
    stop = Stop(reply)

    def handle(signum: int, frame: FrameType | None) -> None:
        stop.ask(signum)

    previous: dict[int, Callable[..., Any] | int] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for signum in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
                before = signal.getsignal(signum)
                if before not in (signal.SIG_IGN, None):  # None: a handler not of Python
                    assert before is not None
                    previous[signum] = before
                    signal.signal(signum, handle)
        yield stop
    finally:
        for signum, before in previous.items():
            signal.signal(signum, before)
