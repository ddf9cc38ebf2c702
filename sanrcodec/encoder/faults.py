# SPDX-License-Identifier: MIT
"""What figures say of a fit that went wrong, in words; measures nothing."""

from __future__ import annotations

import numpy as np

from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.encoder.quality import BLOCK, Quality
from sanrcodec.metrics import PSNR_CAP

__all__ = ["backwards", "faults_of", "limits_of"]

_BACKWARDS = 1.1  # of the cost; the figures of few views vary by some percent
_FALLEN_VIEW_DB = 3.0  # below the median; a usual worst view is 1.5 dB below the mean


def faults_of(quality: Quality, grid: tuple[int, int]) -> list[str]:
    """What in the quality of a file says that the fit went wrong, one line for each kind.

    Args:
        quality: Of the file.
        grid: Number of views ``(V, U)``.
    """
    n_u = grid[1]
    lines = []
    # Views that are reproduced exactly are black: they say nothing of the others.
    seen = quality.views[quality.views < PSNR_CAP]
    median = float(np.median(seen)) if len(seen) else PSNR_CAP
    fallen = np.flatnonzero(quality.views < median - _FALLEN_VIEW_DB)
    if len(fallen):
        v, u = divmod(int(quality.views.argmin()), n_u)
        lines.append(
            f"{len(fallen)} of {len(quality.views)} views {_are(len(fallen))} more than "
            f"{_FALLEN_VIEW_DB:g} dB below the median of {median:.2f} dB; the worst is view "
            f"{v},{u} with {quality.minimum:.2f} dB. Look whether these views belong to the grid "
            "and are lit like the others; more steps may help, or leave them out with --views"
        )
    if quality.blocks:
        number, block = max(quality.blocks.items(), key=lambda item: item[1].gap_db)
        v, u = divmod(number, n_u)
        n = len(quality.blocks)
        lines.append(
            f"{n} of {len(quality.views)} views {_have(n)} a block of {BLOCK} x {BLOCK} pixels "
            f"that fell out; the worst, at row {block.y} and column {block.x} of view {v},{u}, is "
            f"{block.gap_db:.1f} dB below its view. Look at it; more steps or a lower lmbda help"
        )
    return lines


def limits_of(extent: float, header: StreamHeader) -> list[str]:
    """What in the parallax says that the canvas cannot hold all that the views show.

    Args:
        extent: Largest disparity, in pixels per view.
        header: With the margins of the canvas.
    """
    if not header.layers:
        return []
    along_y, along_x = (n - 1 for n in (header.n_v, header.n_u))
    if header.transposed:
        along_y, along_x = along_x, along_y
    shift, margin = max(
        ((extent * n / 2, m) for n, m in ((along_y, header.margin_y), (along_x, header.margin_x))),
        key=lambda pair: pair[0] - pair[1],
    )
    if shift <= margin:
        return []
    return [
        f"the outermost views move by {shift:.0f} pixels, and the canvas has a margin of {margin}: "
        "what only they show at their borders is lost. Leave outer views out with --views, or "
        "look with sanr inspect whether the disparity is right"
    ]


def backwards(late: float, end: float) -> list[str]:
    """Whether a fit ended worse than it was before.

    Args:
        late: Cost after half of the steps, or later, once the views had their size.
        end: The same at the end.
    """
    if end < _BACKWARDS * late:
        return []
    return [
        f"the fit went backwards: its cost is {100 * (end / late - 1):.0f} % higher than it was. "
        "Another --seed or more --steps may help"
    ]


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _have(n: int) -> str:
    return "has" if n == 1 else "have"
