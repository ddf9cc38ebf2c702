# SPDX-License-Identifier: MIT
"""Filters and shifts of whole images in torch, without gradients; knows nothing of light fields."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["block_means", "box_mean", "median_filter", "warped"]


def block_means(x: Tensor, size: int) -> Tensor:
    """Means of blocks ``[..., ceil(H / size), ceil(W / size)]`` of images ``[N, C, H, W]``.

    The last rows and columns are repeated to fill a block.
    """
    if size == 1:
        return x
    height, width = x.shape[2:]
    filled = F.pad(x, (0, -width % size, 0, -height % size), mode="replicate")
    return F.avg_pool2d(filled, size)


def color_planes(samples: Tensor, matrix: Tensor) -> Tensor:
    """Samples ``[B, H, W, C]`` in 0..1 -> ``[B, C, H, W]``: YCbCr with chroma around 0, or gray.

    Args:
        samples: RGB, or gray.
        matrix: :data:`~sanrcodec.color.YCC_FROM_RGB` on their device.
    """
    colors = samples @ matrix.T if samples.shape[-1] == 3 else samples
    return colors.permute(0, 3, 1, 2)


def box_mean(x: Tensor, size: int) -> Tensor:
    """Mean of ``size x size`` pixels around each of ``[N, 1, H, W]``; borders are repeated."""
    pad = size // 2
    return F.avg_pool2d(F.pad(x, (pad, pad, pad, pad), mode="replicate"), size, stride=1)


def warped(x: Tensor, shift: Tensor) -> Tensor:
    """Sample ``[N, 1, H, W]`` shifted by ``[N, 2]`` (or ``[N, H, W, 2]``) pixels, (y, x)."""
    n, _, h, w = x.shape
    y = torch.arange(h, device=x.device, dtype=torch.float32)[:, None]
    z = torch.arange(w, device=x.device, dtype=torch.float32)[None, :]
    shift = shift if shift.dim() == 4 else shift[:, None, None, :]
    grid = torch.stack([
        (2 * (z + shift[..., 1]) + 1) / w - 1 + 0 * y,
        (2 * (y + shift[..., 0]) + 1) / h - 1 + 0 * z,
    ], -1)  # fmt: skip
    return F.grid_sample(
        x, grid.expand(n, h, w, 2), mode="bilinear", padding_mode="border", align_corners=False
    )


def median_filter(x: Tensor, size: int = 5) -> Tensor:
    """Median of ``size x size`` pixels around each of ``[H, W]``; borders are repeated."""
    pad = size // 2
    windows = (
        F.pad(x[None, None], (pad, pad, pad, pad), mode="replicate")
        .unfold(2, size, 1)
        .unfold(3, size, 1)
    )
    return windows.reshape(*x.shape, size * size).median(-1).values
