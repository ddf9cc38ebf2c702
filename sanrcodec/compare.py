# SPDX-License-Identifier: MIT
"""One decoded light field against its original, in numpy alone; reads no file.

The metrics are those of :mod:`sanrcodec.metrics`, gathered view by view, with the place where a
view is worst.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sanrcodec.color import planes_of
from sanrcodec.errors import LightFieldError
from sanrcodec.metrics import SSIM_MIN_SIZE, combined, pairs, psnr, ssim

__all__ = ["BLOCK_SIZE", "Block", "Comparison", "compare_views", "heat_map"]

BLOCK_SIZE = 16  # rows and columns of a block
_GOOD = 0.9  # black are the blocks that are better than this share of all
_GAP = 2  # pixels between the views of a heat map
_MOST_PIXELS = 2048  # of a side of a heat map, about


class Block(NamedTuple):
    """The block that falls furthest below its view.

    Attributes:
        view: ``(v, u)``.
        y, x: First row and column in the view.
        height, width: In pixels: 16, or less where a view is smaller.
        psnr_yuv: Of the block alone, in dB.
        below_db: PSNR-YUV of its view less that of the block.
    """

    view: tuple[int, int]
    y: int
    x: int
    height: int
    width: int
    psnr_yuv: float
    below_db: float


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Quality of a decoded light field.

    Attributes:
        psnr_yuv: Mean over views, in dB.
        psnr_y: Mean over views of the PSNR of Y, in dB; of gray views the same as ``psnr_yuv``.
        psnr_rgb: PSNR in dB of the mean squared error of all samples of all views at once.
        ssim: Mean over views of that of luma; None for views smaller than its window.
        views: float64 ``[V, U]``, PSNR-YUV of each view, in dB.
        worst_view: ``(v, u)`` of the least of these.
        worst_block: Over all views.
        blocks: float64 ``[V, U, rows, columns]``, PSNR-YUV of all blocks, in dB.
    """

    psnr_yuv: float
    psnr_y: float
    psnr_rgb: float
    ssim: float | None
    views: npt.NDArray[np.float64]
    worst_view: tuple[int, int]
    worst_block: Block
    blocks: npt.NDArray[np.float64]

    @property
    def psnr_yuv_min(self) -> float:
        """PSNR-YUV of the worst view, in dB."""
        return float(self.views[self.worst_view])


def compare_views(
    original: Iterable[np.ndarray],
    decoded: Iterable[np.ndarray],
    grid: tuple[int, int],
    bit_depth: int = 8,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Compare two light fields; holds one pair of views at a time.

    Args:
        original: ``V * U`` views ``[H, W, C]``, row by row, uint8 or uint16.
        decoded: As many views of the same shape and dtype, in the same order.
        grid: ``(V, U)``.
        bit_depth: Significant bits of a sample; the peak is ``2**bit_depth - 1``.
        progress: Called with the number of views compared and that of all.

    Raises:
        LightFieldError: the views differ in shape, dtype or number.
    """
    peak, n_views = 2**bit_depth - 1, grid[0] * grid[1]
    yuv, luma, similarities, squares, blocks = [], [], [], [], []
    for reference, view in pairs(original, decoded):
        if reference.shape != view.shape or reference.dtype != view.dtype:
            raise LightFieldError(
                f"views differ: {reference.dtype} {reference.shape} in the original, "
                f"{view.dtype} {view.shape} decoded"
            )
        error = reference.astype(np.float64) - view
        squares.append(float(np.mean(np.square(error))))
        planes = np.square(planes_of(error))
        levels = psnr(planes.mean((0, 1)), peak)
        luma.append(float(levels[0]))
        yuv.append(float(combined(levels)))
        blocks.append(combined(psnr(_block_means(planes), peak)))
        if min(reference.shape[:2]) >= SSIM_MIN_SIZE:
            similarities.append(ssim(reference, view, bit_depth))
        progress(len(yuv), n_views)
    if len(yuv) != n_views:
        raise LightFieldError(f"there are {len(yuv)} views, expected {grid[0]} x {grid[1]}")
    views, of_blocks = np.reshape(yuv, grid), np.stack(blocks).reshape(*grid, *blocks[0].shape)
    worst = int(views.argmin())
    return Comparison(
        psnr_yuv=float(views.mean()),
        psnr_y=float(np.mean(luma)),
        psnr_rgb=float(psnr(np.mean(squares), peak)),
        ssim=float(np.mean(similarities)) if similarities else None,
        views=views,
        worst_view=(worst // grid[1], worst % grid[1]),
        worst_block=_worst_block(views, of_blocks, reference.shape),
        blocks=of_blocks,
    )


def heat_map(comparison: Comparison) -> tuple[npt.NDArray[np.uint8], float, float]:
    """Draw every view in its place, and in it every block, the brighter the worse.

    Returns:
        uint8 array ``[rows, columns, 3]``, black over red and yellow to white, and the PSNR-YUV in
        dB of what is black, as a tenth of the blocks is, and white, as the worst is.
    """
    levels = comparison.blocks
    n_v, n_u, rows, columns = levels.shape
    # Black corners of a lens are often exact: their 100 dB would leave one color to all the rest.
    best, worst = float(np.quantile(levels, _GOOD)), float(levels.min())
    heat = np.maximum(best - levels, 0) / max(best - worst, 1e-9)
    side = max(1, min(8, _MOST_PIXELS // max(n_v * rows, n_u * columns)))
    heat = heat.repeat(side, 2).repeat(side, 3)
    heat = np.pad(heat, ((0, 0), (0, 0), (0, _GAP), (0, _GAP)), constant_values=np.nan)
    sheet = heat.swapaxes(1, 2).reshape(n_v * heat.shape[2], -1)[:-_GAP, :-_GAP, None]
    ramp = np.clip(3 * np.nan_to_num(sheet) - np.arange(3), 0, 1)
    picture = np.where(np.isnan(sheet), 128, np.rint(255 * ramp))
    return picture.astype(np.uint8), best, worst


def _block_means(planes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Means of the blocks, ``[H, W, C]`` -> ``[rows, columns, C]``."""
    for axis in (0, 1):
        size = planes.shape[axis]
        starts = _starts(size)
        sums = np.cumsum(planes, axis=axis)
        sums = np.insert(sums, 0, 0, axis=axis)
        length = min(BLOCK_SIZE, size)
        total = sums.take(starts + length, axis) - sums.take(starts, axis)
        # A difference of sums may fall below 0 by rounding where all errors are 0.
        planes = np.maximum(total, 0) / length
    return planes


def _starts(size: int) -> npt.NDArray[np.int64]:
    """First rows of the blocks of a view: every 16, and the last one moved to lie inside."""
    last = max(0, size - BLOCK_SIZE)
    return np.minimum(np.arange(0, max(1, size), BLOCK_SIZE), last)


def _worst_block(
    views: npt.NDArray[np.float64],
    blocks: npt.NDArray[np.float64],
    shape: tuple[int, ...],
) -> Block:
    below = views[..., None, None] - blocks
    v, u, row, column = (int(i) for i in np.unravel_index(below.argmax(), below.shape))
    height, width = shape[:2]
    return Block(
        view=(v, u),
        y=int(_starts(height)[row]),
        x=int(_starts(width)[column]),
        height=min(BLOCK_SIZE, height),
        width=min(BLOCK_SIZE, width),
        psnr_yuv=float(blocks[v, u, row, column]),
        below_db=float(below[v, u, row, column]),
    )
