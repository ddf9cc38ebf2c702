# SPDX-License-Identifier: MIT
"""Quality of a decoded light field, view by view, and blocks that fell out.

Must not judge it, nor know how the file came about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sanrcodec.color import planes_of
from sanrcodec.decoder import n_workers
from sanrcodec.metrics import PSNR_CAP, psnr, psnr_yuv
from sanrcodec.parallel import in_order

__all__ = [
    "BLOCK",
    "FallenBlock",
    "Quality",
    "fallen_block",
    "measure_quality",
    "measured_again",
]

BLOCK = 16  # pixels along a side
_FALLEN_DB = 12.0  # below its view
_VISIBLE_DB = 30.0  # of a plane: better blocks are no fault to the eye
# Of the block's variance, in luma or gray and in chroma. At 1 its mean would be as good.
# Texture hides its own errors, colors do not.
_LOST_LUMA, _LOST_CHROMA = 1.0, 0.25

Floats = npt.NDArray[np.float64]
_View = tuple[int, np.ndarray, np.ndarray]  # its number, the original, and what is decoded


class FallenBlock(NamedTuple):
    """The block of a view that is farthest below it.

    Attributes:
        y, x: Of its first pixel.
        gap_db: By how much its worst plane is below the view.
    """

    y: int
    x: int
    gap_db: float


class Quality(NamedTuple):
    """Quality of the views.

    Attributes:
        mean, minimum: PSNR-YUV over the views in dB.
        views: float64 ``[n]``, PSNR-YUV of each view in dB.
        blocks: The fallen block of each view that has one, by number of the view.
    """

    mean: float
    minimum: float
    views: Floats
    blocks: dict[int, FallenBlock]


def measure_quality(
    reference: Iterable[np.ndarray], decoded: Iterable[np.ndarray], bit_depth: int
) -> Quality:
    """Measure all views, by several threads; holds a few pairs at a time.

    Args:
        reference: Views, uint8 or uint16 ``[H, W, C]``.
        decoded: As many views, in the same order.
        bit_depth: Significant bits of a sample.
    """
    views = ((i, *pair) for i, pair in enumerate(zip(reference, decoded, strict=True)))
    values, blocks = [], {}
    for i, value, block in _measured(views, bit_depth):
        values.append(value)
        if block is not None:
            blocks[i] = block
    return Quality(float(np.mean(values)), min(values), np.array(values), blocks)


def measured_again(
    quality: Quality, changed: Iterable[tuple[int, np.ndarray, np.ndarray]], bit_depth: int
) -> Quality:
    """The quality where only some views were changed.

    Args:
        quality: Before.
        changed: Number of a view, its original and what is decoded, uint8 or uint16 ``[H, W, C]``.
        bit_depth: Significant bits of a sample.
    """
    values, blocks = quality.views.copy(), dict(quality.blocks)
    for i, value, block in _measured(changed, bit_depth):
        values[i] = value
        blocks.pop(i, None)
        if block is not None:
            blocks[i] = block
    return Quality(float(np.mean(values)), float(values.min()), values, blocks)


def _measured(
    views: Iterable[_View], bit_depth: int
) -> Iterator[tuple[int, float, FallenBlock | None]]:
    """Number, PSNR-YUV in dB and fallen block of views, in their order."""

    def of_one(view: _View) -> tuple[int, float, FallenBlock | None]:
        i, reference, decoded = view
        value = psnr_yuv(reference, decoded, bit_depth)
        return i, value, fallen_block(reference, decoded, bit_depth, value)

    return in_order(of_one, views, n_workers())


def fallen_block(
    reference: np.ndarray, decoded: np.ndarray, bit_depth: int, psnr_yuv_db: float
) -> FallenBlock | None:
    """Find the worst block that is far below its view and shows something else.

    A block that is only far below its view may be much texture, or an outline whose place is off
    by a fraction of a pixel: good files have many. What fell out is what the block was about, so
    that its error is as large as its contrast.

    Args:
        reference: uint8 or uint16 ``[H, W, C]``.
        decoded: The same.
        bit_depth: Significant bits of a sample.
        psnr_yuv_db: Of the view.

    Returns:
        None where no whole block of 16 x 16 pixels has a plane below 30 dB, more than 12 dB below
        the PSNR-YUV of the view, and with a squared error above the variance of the block, or of
        chroma above a quarter of it.
    """
    if psnr_yuv_db >= PSNR_CAP or min(reference.shape[:2]) < BLOCK:
        return None
    peak = 2**bit_depth - 1
    limit = (peak / 10 ** (psnr_yuv_db / 20)) ** 2 * 10 ** (_FALLEN_DB / 10)
    limit = max(limit, (peak / 10 ** (_VISIBLE_DB / 20)) ** 2)
    blocks = _blocks(reference.astype(np.float64))
    error = np.square(planes_of(blocks - _blocks(decoded.astype(np.float64)))).mean((2, 3))
    lost = np.array([_LOST_LUMA, _LOST_CHROMA, _LOST_CHROMA])[: error.shape[-1]]
    fell = (error > limit) & (error > lost * planes_of(blocks).var((2, 3)))
    if not fell.any():
        return None
    worst = np.where(fell, error, 0).max(-1)
    row, column = np.unravel_index(worst.argmax(), worst.shape)
    gap = psnr_yuv_db - float(psnr(worst.max(), peak))
    return FallenBlock(BLOCK * int(row), BLOCK * int(column), gap)


def _blocks(view: Floats) -> Floats:
    """The whole blocks of a view, ``[rows, columns, BLOCK, BLOCK, C]``."""
    rows, columns = view.shape[0] // BLOCK, view.shape[1] // BLOCK
    whole = view[: rows * BLOCK, : columns * BLOCK]
    return whole.reshape(rows, BLOCK, columns, BLOCK, -1).swapaxes(1, 2)
