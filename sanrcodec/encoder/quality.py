# SPDX-License-Identifier: MIT
"""Quality of a decoded light field, view by view and block by block.

Must not judge it, nor know how the file came about.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sanrcodec.color import ycc
from sanrcodec.metrics import PSNR_CAP, combined, psnr, psnr_yuv

__all__ = ["BLOCK", "FallenBlock", "Quality", "fallen_block", "measure_quality"]

BLOCK = 16  # pixels along a side
_FALLEN_DB = 12.0  # below its view
_VISIBLE_DB = 30.0  # of a plane: better blocks are no fault to the eye
_WORSE_DB = 6.0  # than a transform codec of the view's quality
_N_HALVINGS = 30  # of the interval that holds the water level

Floats = npt.NDArray[np.float64]


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
    """Measure all views; holds one pair at a time.

    Args:
        reference: Views, uint8 or uint16 ``[H, W, C]``.
        decoded: As many views, in the same order.
        bit_depth: Significant bits of a sample.
    """
    values, blocks = [], {}
    for i, (first, second) in enumerate(zip(reference, decoded, strict=True)):
        values.append(psnr_yuv(first, second, bit_depth))
        block = fallen_block(first, second, bit_depth, values[-1])
        if block is not None:
            blocks[i] = block
    return Quality(float(np.mean(values)), min(values), np.array(values), blocks)


def fallen_block(
    reference: np.ndarray, decoded: np.ndarray, bit_depth: int, psnr_yuv_db: float
) -> FallenBlock | None:
    """Find the worst block that is far below its view, where a transform codec has none.

    Which blocks a codec with one quantization step for the whole view spoils follows from the view:
    of each coefficient it loses no more than a water level, the same everywhere, and no more than
    there is (reverse water-filling: Cover and Thomas, Elements of Information Theory, 10.3.3). The
    level is the one at which the view would have the same PSNR-YUV.

    Args:
        reference: uint8 or uint16 ``[H, W, C]``.
        decoded: The same.
        bit_depth: Significant bits of a sample.
        psnr_yuv_db: Of the view.

    Returns:
        None where no whole block of 16 x 16 pixels has a plane below 30 dB, more than 12 dB below
        the PSNR-YUV of the view, and 6 dB worse than such a codec would leave it.
    """
    if psnr_yuv_db >= PSNR_CAP or min(reference.shape[:2]) < BLOCK:
        return None
    peak = 2**bit_depth - 1
    limit = (peak / 10 ** (psnr_yuv_db / 20)) ** 2 * 10 ** (_FALLEN_DB / 10)
    limit = max(limit, (peak / 10 ** (_VISIBLE_DB / 20)) ** 2)
    error = np.square(_planes(_blocks(reference.astype(np.float64) - decoded))).mean((2, 3))
    suspect = error.max(-1) > limit
    if not suspect.any():
        return None
    power = np.square(_transformed(_planes(_blocks(reference.astype(np.float64)))))
    level = _water_level(power, psnr_yuv_db, peak)
    usual = np.minimum(power, level).mean((2, 3))
    worse = error > np.maximum(limit, usual * 10 ** (_WORSE_DB / 10))
    if not worse.any():
        return None
    worst = np.where(worse, error, 0).max(-1)
    row, column = np.unravel_index(worst.argmax(), worst.shape)
    gap = psnr_yuv_db - float(psnr(worst.max(), peak))
    return FallenBlock(BLOCK * int(row), BLOCK * int(column), gap)


def _blocks(view: Floats) -> Floats:
    """The whole blocks of a view, ``[rows, columns, BLOCK, BLOCK, C]``."""
    rows, columns = view.shape[0] // BLOCK, view.shape[1] // BLOCK
    whole = view[: rows * BLOCK, : columns * BLOCK]
    return whole.reshape(rows, BLOCK, columns, BLOCK, -1).swapaxes(1, 2)


def _planes(view: Floats) -> Floats:
    return ycc(view) if view.shape[-1] == 3 else view


def _transformed(blocks: Floats) -> Floats:
    """Coefficients of an orthonormal cosine transform of each block and plane."""
    rows = np.einsum("ky,rcyxp->rckxp", _cosines(), blocks, optimize=True)
    coefficients: Floats = np.einsum("lx,rckxp->rcklp", _cosines(), rows, optimize=True)
    return coefficients


@cache
def _cosines() -> Floats:
    k, n = np.mgrid[:BLOCK, :BLOCK]
    cosines: Floats = np.cos(np.pi * (2 * n + 1) * k / (2 * BLOCK)) * np.sqrt(2 / BLOCK)
    cosines[0] /= np.sqrt(2)
    return cosines


def _water_level(power: Floats, psnr_yuv_db: float, peak: int) -> float:
    """Largest loss of a coefficient's power at which the view has this PSNR-YUV."""
    sample = power[::2, ::2] if min(power.shape[:2]) > 8 else power
    low, high = 1e-3, float(peak) ** 2
    for _ in range(_N_HALVINGS):
        level = float(np.sqrt(low * high))
        errors = np.minimum(sample, level).mean((0, 1, 2, 3))
        if float(combined(psnr(errors, peak))) > psnr_yuv_db:
            low = level
        else:
            high = level
    return high
