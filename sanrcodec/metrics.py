# SPDX-License-Identifier: MIT
"""Quality and rate of decoded light fields, in numpy alone; reads no file.

PSNR-YUV follows the JPEG Pleno light field common test conditions: full-range BT.709 YCbCr 4:4:4
kept in floating point, one PSNR per view and plane, combined as ``(6 Y + Cb + Cr) / 8``; the
value of a light field is the *mean of the values of its views*, not the PSNR of a mean error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sanrcodec.color import luma, planes_of
from sanrcodec.errors import LightFieldError

__all__ = [
    "PLANE_WEIGHTS",
    "PSNR_CAP",
    "SSIM_MIN_SIZE",
    "LightFieldPsnr",
    "bpp",
    "combined",
    "light_field_psnr_yuv",
    "pairs",
    "psnr",
    "psnr_yuv",
    "ssim",
]

PLANE_WEIGHTS = (0.75, 0.125, 0.125)  # of Y, Cb and Cr in PSNR-YUV: (6 Y + Cb + Cr) / 8
PSNR_CAP = 100.0  # dB, given to a plane that is reproduced exactly
_WINDOW_RADIUS, _WINDOW_SIGMA = 5, 1.5
SSIM_MIN_SIZE = 2 * _WINDOW_RADIUS + 1  # rows and columns that a view must have for SSIM


class LightFieldPsnr(NamedTuple):
    """PSNR-YUV in dB over the views of a light field."""

    mean: float
    minimum: float


def psnr(mean_square: npt.NDArray[np.float64] | np.floating, peak: int) -> npt.NDArray[np.float64]:
    """PSNR in dB of mean squared errors, elementwise; at most `PSNR_CAP`.

    Args:
        mean_square: In the unit of the samples, squared, of any shape.
        peak: Largest sample.
    """
    with np.errstate(divide="ignore"):
        levels: npt.NDArray[np.float64] = 10 * np.log10(float(peak) ** 2 / np.float64(mean_square))
    return np.minimum(PSNR_CAP, levels)


def combined(levels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """PSNR-YUV of the PSNR of each plane; of gray views the one that there is.

    Args:
        levels: In dB, float64 ``[..., C]``.

    Returns:
        float64 ``[...]``.
    """
    if levels.shape[-1] == 1:
        return levels[..., 0]
    y, cb, cr = (weight * levels[..., i] for i, weight in enumerate(PLANE_WEIGHTS))
    total: npt.NDArray[np.float64] = y + cb + cr
    return total


def psnr_yuv(reference: np.ndarray, decoded: np.ndarray, bit_depth: int = 8) -> float:
    """PSNR-YUV of one view in dB; of a gray view the PSNR of its one plane.

    Args:
        reference: uint8 or uint16 array ``[H, W, C]``.
        decoded: Array of the same dtype and shape.
        bit_depth: Significant bits of a sample; the peak is ``2**bit_depth - 1``.

    Returns:
        At most `PSNR_CAP`, plane by plane.

    Raises:
        LightFieldError: the views differ in shape or dtype, or are none.
    """
    _check_pair(reference, decoded)
    error = reference.astype(np.float64) - decoded
    planes = np.moveaxis(planes_of(error), -1, 0)
    peak = 2**bit_depth - 1
    errors = np.array([np.mean(np.square(plane)) for plane in planes])
    return float(combined(psnr(errors, peak)))


def light_field_psnr_yuv(
    reference: Iterable[np.ndarray], decoded: Iterable[np.ndarray], bit_depth: int = 8
) -> LightFieldPsnr:
    """PSNR-YUV of each pair of views, averaged; holds one pair at a time.

    Args:
        reference: Views ``[H, W, C]``, for example a generator.
        decoded: As many views, in the same order.
        bit_depth: Significant bits of a sample.

    Returns:
        Mean of the per-view values, and the worst view.

    Raises:
        LightFieldError: there are no views, or they differ in number, shape or dtype.
    """
    values = [psnr_yuv(*pair, bit_depth) for pair in pairs(reference, decoded)]
    if not values:
        raise LightFieldError("there are no views to compare")
    return LightFieldPsnr(float(np.mean(values)), min(values))


def pairs(
    reference: Iterable[np.ndarray], decoded: Iterable[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The views of two light fields, side by side; holds one pair at a time.

    Args:
        reference: Views ``[H, W, C]``.
        decoded: As many views, in the same order.

    Raises:
        LightFieldError: one of them has more views, as soon as that is seen.
    """
    for n, (first, second) in enumerate(zip_longest(reference, decoded)):
        if first is None or second is None:
            longer = "second" if first is None else "first"
            raise LightFieldError(
                f"the numbers of views differ: the {longer} light field has more than {n}"
            )
        yield first, second


def bpp(n_bytes: int, shape: Sequence[int]) -> float:
    """Bits per pixel: all bits of the file over ``V * U * H * W``, the start of ``shape``."""
    n_v, n_u, height, width = shape[:4]
    return 8.0 * n_bytes / (n_v * n_u * height * width)


def ssim(reference: np.ndarray, decoded: np.ndarray, bit_depth: int = 8) -> float:
    """Structural similarity of the luma of one view.

    Window: 11 x 11 Gaussian, sigma 1.5, only where it lies inside the view; K = (0.01, 0.03).

    Args:
        reference: uint8 or uint16 array ``[H, W, C]``, H and W at least 11.
        decoded: Array of the same dtype and shape.
        bit_depth: Significant bits of a sample.

    Raises:
        LightFieldError: the views differ in shape or dtype, or are smaller than the window.

    See Wang et al., "Image quality assessment: from error visibility to structural similarity",
    IEEE Transactions on Image Processing, 2004.
    """
    _check_pair(reference, decoded)
    if min(reference.shape[:2]) < SSIM_MIN_SIZE:
        raise LightFieldError(
            f"a view has {reference.shape[0]} x {reference.shape[1]} pixels, SSIM needs at least "
            f"{SSIM_MIN_SIZE} x {SSIM_MIN_SIZE}"
        )
    first, second = luma(reference), luma(decoded)
    peak = 2**bit_depth - 1
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_1, mean_2 = _blur(first), _blur(second)
    variances = _blur(first**2) - mean_1**2 + _blur(second**2) - mean_2**2
    covariance = _blur(first * second) - mean_1 * mean_2
    numerator = (2 * mean_1 * mean_2 + c1) * (2 * covariance + c2)
    return float(np.mean(numerator / ((mean_1**2 + mean_2**2 + c1) * (variances + c2))))


def _check_pair(reference: np.ndarray, decoded: np.ndarray) -> None:
    found = [f"{view.dtype} {view.shape}" for view in (reference, decoded)]
    if found[0] != found[1] or reference.ndim != 3 or reference.shape[-1] not in (1, 3):
        raise LightFieldError(
            f"cannot compare {found[0]} with {found[1]}, expected equal [H, W, C]"
        )


def _blur(plane: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Gaussian mean around each pixel whose window lies inside the plane."""
    kernel = np.exp(-0.5 * (np.arange(-_WINDOW_RADIUS, _WINDOW_RADIUS + 1) / _WINDOW_SIGMA) ** 2)
    kernel /= kernel.sum()
    for _ in range(2):
        n_inside = len(plane) - len(kernel) + 1
        shifted = (plane[shift : shift + n_inside] for shift in range(len(kernel)))
        plane = sum(w * part for w, part in zip(kernel, shifted, strict=True)).T
    return plane
