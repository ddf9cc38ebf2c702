# SPDX-License-Identifier: MIT
"""Traces of a micro-lens array in an image, aligned to the pixels or not; measures no pitch."""

from __future__ import annotations

import numpy as np

__all__ = ["LONGEST_PERIOD", "has_lenslet_pattern"]

_SHORTEST, LONGEST_PERIOD = 4, 40  # pixels from one lens to the next
_N_LINES = 256
# A frequency of natural images, whether coded as JPEG or not, stands out by less than 2, one of
# mosaics by up to 15, one of micro-lenses by 80 and more unless noise covers them.
_MIN_PROMINENCE = 30.0


def has_lenslet_pattern(samples: np.ndarray) -> bool:
    """Tell whether an image has a strong short period along both axes, as dark rims of lenses.

    Args:
        samples: uint8 or uint16 array ``[rows, columns, C]``.
    """
    return all(_prominence(array) >= _MIN_PROMINENCE for array in (samples, samples.swapaxes(0, 1)))


def _prominence(samples: np.ndarray) -> float:
    """Power of the strongest short period along axis 0, relative to that of its neighbors."""
    lines = samples[:, :: max(1, samples.shape[1] // _N_LINES)].mean(axis=2, dtype=np.float32)
    slopes = np.diff(lines, axis=0)
    length = len(slopes)
    low, high = -(-length // LONGEST_PERIOD), length // _SHORTEST
    if high - low < LONGEST_PERIOD:
        return 0.0
    spectrum = np.fft.rfft(slopes * np.hanning(length)[:, None].astype(np.float32), axis=0)
    power = (np.abs(spectrum) ** 2).mean(axis=1)
    usual = [
        np.median(power[max(0, k - max(8, k // 4)) : k + max(8, k // 4)]) for k in range(low, high)
    ]
    return float((power[low:high] / np.maximum(usual, 1e-6)).max())
