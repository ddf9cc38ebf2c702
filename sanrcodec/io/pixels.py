# SPDX-License-Identifier: MIT
"""The samples of one image, and what a viewer does before it shows them; knows no file format."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sanrcodec.errors import LightFieldError

__all__ = ["Image", "orient", "without_alpha"]


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
        raise LightFieldError(
            f"{n_transparent} pixels are transparent; views are opaque: remove the alpha channel"
        )
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
