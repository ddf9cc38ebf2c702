# SPDX-License-Identifier: MIT
"""What decoded views lack, block by block: what residuals of single views are chosen from.

Must not choose. See format_spec.md section 8.6 for the transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sanrcodec.bitstream.residuals import BLOCK
from sanrcodec.color import planes_of
from sanrcodec.encoder.rarity import rarity, weights_of
from sanrcodec.metrics import PLANE_WEIGHTS, combined, psnr
from sanrcodec.scene.residuals import TRANSFORM

__all__ = ["PAIR", "BlockErrors", "RareBlocks", "fallen_blocks", "find_block_errors", "transformed"]

_FALLEN_DB = 11.5  # below its view; half a decibel less than what counts as fallen
PAIR = 2  # blocks along a side of a larger one, by which fallen ones are found
# What a block with a residual takes at least, and each of its levels, in bits.
_BLOCK_BITS, _LEVEL_BITS = 4, 4
_LEAST_MSE = 1e-3  # of a plane, in 8-bit levels squared
_LEAST_RARE = 1.0  # pixels of a rare color that a block has, if it has any

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RareBlocks:
    """Blocks of a view that have pixels of a rare color; all are candidates.

    Attributes:
        bit_depth: Of the samples.
        error_around: Mean squared error of the pixels of no rare color.
        at: int64 ``[m]``, which of the candidates they are.
        rarity: float32 ``[m, BLOCK, BLOCK]``, how rare each pixel is, 0 to 1.
        reference, decoded: uint8 or uint16 ``[m, BLOCK, BLOCK, 3]``, samples.
    """

    bit_depth: int
    error_around: float
    at: npt.NDArray[np.int64]
    rarity: Floats
    reference: npt.NDArray[Any]
    decoded: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class BlockErrors:
    """Errors of a view; levels are those of 8 bits.

    Attributes:
        error: Mean squared error of the view, of which PSNR-YUV is the decibel.
        squares: float32 ``[rows, columns, C]``, sums of squared errors of the blocks.
        places: int64 ``[n]``, numbers of the candidates: blocks for which a residual may pay, which
            fell out, or which have a rare color.
        weights: float32 ``[n, C]``, by how much the cost of the view falls with the sum of squares
            of a plane of these blocks, times the pixels of the view.
        coefficients: float32 ``[n, C, 64]``, their transforms; an orthonormal one keeps squares.
        rare: Those of a rare color; none where these do not count for more.
    """

    error: float
    squares: Floats
    places: npt.NDArray[np.int64]
    weights: Floats
    coefficients: Floats
    rare: RareBlocks

    @property
    def limit_db(self) -> float:
        """PSNR-YUV below which a block of 16 x 16 pixels has fallen out."""
        return _limit_db(self.error)


def find_block_errors(
    reference: np.ndarray,
    decoded: np.ndarray,
    bit_depth: int,
    bit_price: float,
    hidden: Mask | None = None,
    has_rare_colors: bool = False,
) -> BlockErrors:
    """Look at a view.

    Args:
        reference: uint8 or uint16 ``[H, W, C]``.
        decoded: The same.
        bit_depth: Significant bits of a sample.
        bit_price: Of a bit, in weighted squares: ``lmbda`` times the number of views.
        hidden: bool ``[H, W]``, pixels that are no part of the scene.
        has_rare_colors: Whether pixels of a rare color count for more, and their blocks are told.
    """
    scale = np.float32(255 / (2**bit_depth - 1))
    difference = reference.astype(np.int32) - decoded
    planes = planes_of(difference.astype(np.float32) * scale)
    mse = np.square(planes).mean((0, 1), dtype=np.float64) + _LEAST_MSE
    if hidden is not None:
        planes[hidden] = 0
    blocks = _blocks(planes)
    squares = np.square(blocks).sum((-2, -1))
    error = around = _combined_error(mse)
    weights = error * _plane_weights(mse) / mse
    weights = np.broadcast_to(weights, squares.shape).astype(np.float32)
    rareness = np.zeros((*reference.shape[:2], 1), np.float32)
    if has_rare_colors:
        samples = planes_of(reference.astype(np.float32) * scale / 255)
        color = torch.from_numpy(samples).permute(2, 0, 1)[None]
        rare = rarity(color)
        factors = weights_of(rare)[0, 0].numpy()[..., None]
        # A block counts by where its error is now.
        share = _blocks(np.square(planes) * factors).sum((-2, -1))
        weights += share / np.maximum(squares, np.float32(_LEAST_MSE))
        rareness[..., 0] = rare[0, 0].numpy()
        if hidden is not None:
            rareness[hidden] = 0
        others = planes[rareness[..., 0] == 0]
        mse = np.square(others).mean(0, dtype=np.float64) + _LEAST_MSE
        around = _combined_error(mse)
    rareness = _blocks(rareness)[:, :, 0]
    has_rare = rareness.sum((-2, -1)) >= _LEAST_RARE
    fell = fallen_blocks(squares, _limit_db(error), reference.shape[:2])
    needed = _spread(fell, squares.shape[:2]) | has_rare
    chosen = needed | ((squares * weights).sum(-1) > (_BLOCK_BITS + _LEVEL_BITS) * bit_price)
    coefficients = transformed(blocks[chosen])
    gains = np.square(coefficients) * weights[chosen][..., None] - _LEVEL_BITS * bit_price
    kept = needed[chosen] | (np.maximum(gains, 0).sum((1, 2)) > _BLOCK_BITS * bit_price)
    places = np.flatnonzero(chosen)[kept]
    at = np.flatnonzero(has_rare.ravel()[places])
    pair = (np.moveaxis(_blocks(view)[has_rare], 1, -1) for view in (reference, decoded))
    found = RareBlocks(bit_depth, around, at, rareness[has_rare], *pair)
    return BlockErrors(error, squares, places, weights[chosen][kept], coefficients[kept], found)


def transformed(blocks: Floats) -> Floats:
    """Coefficients ``[..., 64]`` of blocks ``[..., BLOCK, BLOCK]``, of the same sum of squares."""
    norms = np.sqrt(np.square(TRANSFORM).sum(1, keepdims=True))
    scaled = (TRANSFORM / norms).astype(np.float32)
    found: Floats = (scaled @ blocks @ scaled.T).reshape(*blocks.shape[:-2], BLOCK * BLOCK)
    return found


def fallen_blocks(squares: Floats, limit_db: float, size: tuple[int, ...]) -> Mask:
    """Which blocks of 16 x 16 pixels are below a limit.

    Args:
        squares: float32 ``[rows, columns, C]`` of blocks of 8 x 8.
        limit_db: PSNR-YUV.
        size: ``(H, W)`` of the view.

    Returns:
        bool ``[H // 16, W // 16]``.
    """
    rows, columns = (n // (PAIR * BLOCK) for n in size)
    whole = squares[: PAIR * rows, : PAIR * columns]
    pairs = whole.reshape(rows, PAIR, columns, PAIR, squares.shape[-1])
    sums = pairs.sum((1, 3), dtype=np.float64)
    fallen: Mask = combined(psnr(sums / (PAIR * BLOCK) ** 2, 255)) < limit_db
    return fallen


def _plane_weights(mse: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.array(PLANE_WEIGHTS if len(mse) == 3 else (1.0,))


def _combined_error(mse: npt.NDArray[np.float64]) -> float:
    """The error of which PSNR-YUV is the decibel, of those of the planes ``[C]``."""
    return float(np.exp(np.log(mse) @ _plane_weights(mse)))


def _limit_db(error: float) -> float:
    return float(psnr(np.float64(error), 255)) - _FALLEN_DB


def _spread(larger: Mask, shape: tuple[int, ...]) -> Mask:
    """Which blocks of 8 x 8 belong to these larger ones."""
    spread = np.zeros(shape, np.bool_)
    rows, columns = (PAIR * n for n in larger.shape)
    spread[:rows, :columns] = larger.repeat(PAIR, 0).repeat(PAIR, 1)
    return spread


def _blocks(planes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Blocks ``[rows, columns, C, BLOCK, BLOCK]`` of planes; beyond them there is no error."""
    height, width, n_planes = planes.shape
    rows, columns = -(-height // BLOCK), -(-width // BLOCK)
    whole = np.pad(planes, ((0, rows * BLOCK - height), (0, columns * BLOCK - width), (0, 0)))
    return whole.reshape(rows, BLOCK, columns, BLOCK, n_planes).transpose(0, 2, 4, 1, 3)
