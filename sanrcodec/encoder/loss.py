# SPDX-License-Identifier: MIT
"""Distortion: the squared error of which PSNR-YUV is the decibel.

Must not know of models or of the rate.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["mse_yuv", "plane_errors"]

_PLANE_WEIGHTS = (0.75, 0.125, 0.125)  # PSNR-YUV = (6 Y + Cb + Cr) / 8


def plane_errors(views: Tensor, target: Tensor) -> Tensor:
    """Mean squared errors ``[B, C]`` of the planes ``[B, C, H, W]``, in 8-bit levels squared."""
    return (views - target).square().mean((2, 3)) * 255.0**2


def mse_yuv(errors: Tensor) -> Tensor:
    """The error of which PSNR-YUV is the decibel, of the errors of the planes ``[..., C]``.

    The geometric mean, weighted 6 : 1 : 1; of gray views the error itself.
    """
    if errors.shape[-1] == 1:
        return errors[..., 0]
    parts = zip(_PLANE_WEIGHTS, torch.log(errors + 1e-3).unbind(-1), strict=True)
    y, cb, cr = (weight * log_error for weight, log_error in parts)
    return torch.exp(y + cb + cr)
