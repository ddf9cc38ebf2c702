# SPDX-License-Identifier: MIT
"""The progress line of a fit; knows nothing of how it is made."""

from __future__ import annotations

import math
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sanrcodec.encoder import FitProgress

__all__ = ["ProgressLine", "clock"]

_LINE_INTERVAL_S, _TERMINAL_INTERVAL_S = 5.0, 0.1


class ProgressLine:
    """State of the fit on stderr: one line kept up to date on a terminal, else a line at times.

    A fit must not end because nobody reads its progress any more: errors of stderr are ignored.
    """

    def __init__(self) -> None:
        self._is_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._interval_s = _TERMINAL_INTERVAL_S if self._is_terminal else _LINE_INTERVAL_S
        self._shown_at = -math.inf
        self._width = 0

    def __call__(self, state: FitProgress) -> None:
        """Show a state, unless the last one was shown just now."""
        now = time.monotonic()
        if now - self._shown_at < self._interval_s and state.step < state.steps:
            return
        self._shown_at = now
        is_last = state.step == state.steps
        left = "the file is made and measured" if is_last else f"{clock(state.seconds_left)} left"
        line = (
            f"step {state.step}/{state.steps}  {state.bpp:.5f} bpp  "
            f"PSNR-YUV {state.psnr_yuv:.2f} dB  {left}"
        )
        with suppress(OSError):
            if self._is_terminal:
                click.echo("\r" + line.ljust(self._width), err=True, nl=False)
                self._width = len(line)
            else:
                click.echo(line, err=True)

    def close(self) -> None:
        """End the line that is kept up to date."""
        if self._width:
            with suppress(OSError):
                click.echo(err=True)
            self._width = 0


def clock(seconds: float) -> str:
    """Minutes and seconds, as ``6:40``."""
    return "{}:{:02d}".format(*divmod(max(0, round(seconds)), 60))
