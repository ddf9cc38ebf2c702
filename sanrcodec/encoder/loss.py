# SPDX-License-Identifier: MIT
"""Distortion: the squared error of which PSNR-YUV is the decibel.

Must not know of models or of the rate.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sanrcodec.metrics import PLANE_WEIGHTS

__all__ = ["color_outliers", "mse_yuv", "plane_errors"]

_OUTLIER_BLOCK = 4  # pixels of whole views
_OUTLIER = 2.0  # of the view's error
# What an eye may overlook, in levels squared.
# Without it, hundreds of blocks of much texture would be outliers in good views.
_LEAST_OUTLIER = 10.0**2


def plane_errors(views: Tensor, target: Tensor) -> Tensor:
    """Mean squared errors ``[B, C]`` of the planes ``[B, C, H, W]``, in 8-bit levels squared."""
    return (views - target).square().mean((2, 3)) * 255.0**2


def mse_yuv(errors: Tensor) -> Tensor:
    """The error of which PSNR-YUV is the decibel, of the errors of the planes ``[..., C]``.

    The geometric mean, weighted 6 : 1 : 1; of gray views the error itself.
    """
    if errors.shape[-1] == 1:
        return errors[..., 0]
    parts = zip(PLANE_WEIGHTS, torch.log(errors + 1e-3).unbind(-1), strict=True)
    y, cb, cr = (weight * log_error for weight, log_error in parts)
    return torch.exp(y + cb + cr)


def color_outliers(views: Tensor, target: Tensor, mse: Tensor, level: int = 0) -> Tensor:
    """By how much the chroma of small blocks is worse than its view, ``[B]``, in levels squared.

    The geometric mean hardly sees a small object of a wrong color: where few pixels make most of a
    plane's error, less of it counts the less for the decibel, the larger it is. A fit that starts
    with gray latents then never learns a rare color.

    Args:
        views: ``[B, C, H, W]``.
        target: The same.
        mse: ``[B]``, error of each view, as :func:`mse_yuv` gives it.
        level: Of the views, which are smaller by ``2**level``; so are the blocks.
    """
    if views.shape[1] == 1:
        return torch.zeros_like(mse)
    squares = (views[:, 1:] - target[:, 1:]).square() * 255.0**2
    blocks = F.avg_pool2d(squares, max(1, _OUTLIER_BLOCK >> level), ceil_mode=True)
    least = (_OUTLIER * mse).clamp(min=_LEAST_OUTLIER)
    return F.relu(blocks - least[:, None, None, None]).mean((2, 3)).sum(1)
