# SPDX-License-Identifier: MIT
"""Distortion: the squared error of which PSNR-YUV is the decibel.

Must not know of models or of the rate.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from sanrcodec.metrics import PLANE_WEIGHTS

__all__ = ["color_outliers", "mse_yuv", "outlier_block", "plane_errors", "plane_means"]

_PEAK_SQUARED = 255.0**2
_OUTLIER_BLOCK = 4  # pixels of whole views
_OUTLIER = 2.0  # of the view's error
# What an eye may overlook, in levels squared.
# Without it, hundreds of blocks of much texture would be outliers in good views.
_LEAST_OUTLIER = 10.0**2


def plane_errors(views: Tensor, target: Tensor) -> Tensor:
    """Mean squared errors ``[B, C]`` of the planes ``[B, C, H, W]``, in 8-bit levels squared."""
    return plane_means(F.mse_loss(views, target, reduction="none"))


def plane_means(squares: Tensor) -> Tensor:
    """The same of squared errors ``[B, C, H, W]`` of samples in 0..1."""
    return squares.mean((2, 3)) * _PEAK_SQUARED


def mse_yuv(errors: Tensor) -> Tensor:
    """The error of which PSNR-YUV is the decibel, of the errors of the planes ``[..., C]``.

    The geometric mean, weighted 6 : 1 : 1; of gray views the error itself.
    """
    if errors.shape[-1] == 1:
        return errors[..., 0]
    # No matrix product, which may be one of rounded factors.
    weights = _plane_weights(errors.device, errors.dtype)
    return torch.exp((torch.log(errors + 1e-3) * weights).sum(-1))


@cache
def _plane_weights(device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(PLANE_WEIGHTS, device=device, dtype=dtype)


def outlier_block(level: int) -> int:
    """Pixels along each side of a block of :func:`color_outliers`."""
    return max(1, _OUTLIER_BLOCK >> level)


def color_outliers(squares: Tensor, mse: Tensor, level: int = 0) -> Tensor:
    """By how much the chroma of small blocks is worse than its view, ``[B]``, in levels squared.

    The geometric mean hardly sees a small object of a wrong color: where few pixels make most of a
    plane's error, less of it counts the less for the decibel, the larger it is. A fit that starts
    with gray latents then never learns a rare color.

    Args:
        squares: ``[B, C, H, W]``, squared errors in 0..1.
        mse: ``[B]``, error of each view, as :func:`mse_yuv` gives it.
        level: Of the views, which are smaller by ``2**level``; so are the blocks, see
            :func:`outlier_block`.
    """
    if squares.shape[1] == 1:
        return torch.zeros_like(mse)
    size = outlier_block(level)
    blocks = F.avg_pool2d(squares[:, 1:], size, ceil_mode=True) * _PEAK_SQUARED
    least = (_OUTLIER * mse).clamp(min=_LEAST_OUTLIER)
    return F.relu(blocks - least[:, None, None, None]).mean((2, 3)).sum(1)
