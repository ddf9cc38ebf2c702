# SPDX-License-Identifier: MIT
"""The samples of one image, and what a viewer does before it shows them; knows no file format."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sanrcodec.arguments import whole
from sanrcodec.errors import LightFieldError
from sanrcodec.lightfield import MAX_BIT_DEPTH, MIN_BIT_DEPTH

__all__ = ["Image", "checked_samples", "orient", "without_alpha"]


@dataclass(frozen=True, slots=True)
class Image:
    """Samples of one image as a viewer shows them.

    Attributes:
        samples: uint8 or uint16 array ``[H, W, C]``, C is 1 (gray) or 3 (RGB).
        bit_depth: Significant bits of a sample, 8..16.
        text: Text chunks of a PNG.
        remarks: What the file holds and samples do not, a few words each.
    """

    samples: np.ndarray
    bit_depth: int
    text: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def checked_samples(samples: np.ndarray, bit_depth: int) -> tuple[np.ndarray, int]:
    """Samples that an image file of some depth can hold; what a cast would spoil is refused.

    Args:
        samples: uint8 or uint16 array ``[H, W, C]``, C is 1 or 3, in any order of bytes.
        bit_depth: Significant bits of a sample, 8..16.

    Returns:
        The samples, uint8 if they have 8 bits and else uint16 of this machine; and the depth.

    Raises:
        LightFieldError: dtype, shape, depth or range are others.
    """
    found = np.asarray(samples)
    depth = whole(bit_depth, "bit depth")
    if found.dtype.kind != "u" or found.dtype.itemsize > 2:
        raise LightFieldError(f"samples are {found.dtype}, expected uint8 or uint16")
    if found.ndim != 3 or found.shape[2] not in (1, 3) or not found.size:
        raise LightFieldError(f"samples have shape {found.shape}, expected [H, W, 1 or 3]")
    if not MIN_BIT_DEPTH <= depth <= MAX_BIT_DEPTH:
        raise LightFieldError(f"bit depth is {depth}, expected {MIN_BIT_DEPTH}..{MAX_BIT_DEPTH}")
    if found.dtype == np.uint8:
        if depth > MIN_BIT_DEPTH:
            raise LightFieldError(f"bit depth {depth} needs uint16 samples, found uint8")
        return found, depth
    largest = int(found.max())
    if largest >> depth:
        raise LightFieldError(f"a sample is {largest}, but {depth} bits hold 0..{2**depth - 1}")
    return found.astype(np.uint8 if depth == MIN_BIT_DEPTH else np.uint16, copy=False), depth


def without_alpha(samples: np.ndarray, bit_depth: int) -> np.ndarray:
    """Drop an alpha channel that is opaque everywhere.

    Args:
        samples: uint8 or uint16 array ``[H, W, C]``; with C = 2 or 4 the last one is alpha.
        bit_depth: Significant bits of a sample.

    Raises:
        LightFieldError: a pixel is transparent, or C is none of 1 to 4.
    """
    channels = samples.shape[2]
    if channels in (1, 3):
        return samples
    if channels not in (2, 4):
        raise LightFieldError(f"the image has {channels} channels, expected 1 (gray) or 3 (RGB)")
    n_transparent = int(np.count_nonzero(samples[..., -1] != (1 << bit_depth) - 1))
    if n_transparent:
        pixels = "1 pixel is" if n_transparent == 1 else f"{n_transparent} pixels are"
        raise LightFieldError(f"{pixels} transparent; views are opaque: remove the alpha channel")
    return np.ascontiguousarray(samples[..., :-1])


def orient(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Turn samples ``[H, W, C]`` as the orientation tag of EXIF and TIFF, 1..8, asks for.

    See "TIFF Revision 6.0", tag Orientation. Values outside 1..8 mean nothing.
    """
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)
