# SPDX-License-Identifier: MIT
"""The one definition of color in this package: full-range BT.709 YCbCr; must not import torch.

Samples of Y run from 0 to 1, Cb and Cr from -0.5 to 0.5 without an offset, so that all matrices
are linear and hold for differences of colors too. Source: ITU-R BT.709-6, items 3.2 and 3.3;
format_spec.md section 8.4.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

__all__ = [
    "KB",
    "KG",
    "KR",
    "RGB_FROM_YCC",
    "RGB_FROM_YCC_Q12",
    "YCC_FROM_RGB",
    "luma",
    "planes_of",
    "ycc",
]

Matrix = tuple[tuple[float, float, float], ...]
_Float = TypeVar("_Float", np.float32, np.float64)

KR, KB = 0.2126, 0.0722
KG = 1 - KR - KB
_CB_RANGE, _CR_RANGE = 2 * (1 - KB), 2 * (1 - KR)

YCC_FROM_RGB: Matrix = (
    (KR, KG, KB),
    (-KR / _CB_RANGE, -KG / _CB_RANGE, 0.5),
    (0.5, -KG / _CR_RANGE, -KB / _CR_RANGE),
)
"""Rows Y, Cb, Cr; columns red, green, blue."""

RGB_FROM_YCC: Matrix = (
    (1.0, 0.0, _CR_RANGE),
    (1.0, -KB * _CB_RANGE / KG, -KR * _CR_RANGE / KG),
    (1.0, _CB_RANGE, 0.0),
)
"""Rows red, green, blue; columns Y, Cb, Cr."""

RGB_FROM_YCC_Q12: tuple[tuple[int, int, int], ...] = (
    (4096, 0, 6450),
    (4096, -767, -1917),
    (4096, 7601, 0),
)
"""`RGB_FROM_YCC` in units of 2**-12, rounded: what decoders compute with, part of the format."""


def ycc(rgb: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
    """Planes Y, Cb, Cr of colors or of differences of colors.

    Args:
        rgb: float32 or float64 array ``[..., 3]``, in any unit.

    Returns:
        The same in Y, Cb and Cr, not rounded; chroma is around 0.
    """
    planes: npt.NDArray[_Float] = rgb @ np.array(YCC_FROM_RGB, rgb.dtype).T
    return planes


def planes_of(view: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
    """Planes by which quality is measured, of colors or of differences of them.

    Args:
        view: float32 or float64 array ``[..., C]``, C either 1 or 3.

    Returns:
        :func:`ycc` of colors; gray as it is.
    """
    return view if view.shape[-1] == 1 else ycc(view)


def luma(view: np.ndarray) -> npt.NDArray[np.float64]:
    """Luma of a view.

    Args:
        view: Samples ``[H, W, C]`` of any dtype, C either 1 or 3.

    Returns:
        float64 array ``[H, W]`` in the unit of the samples, not rounded; of a gray view its plane.
    """
    samples = view.astype(np.float64)
    if samples.shape[-1] == 1:
        return samples[..., 0]
    plane: npt.NDArray[np.float64] = samples @ np.array(YCC_FROM_RGB[0])
    return plane
