# SPDX-License-Identifier: MIT
"""How much two views differ, by what is left of them at a small size; knows no order of views."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sanrcodec.errors import LightFieldError
from sanrcodec.io.reading import Samples
from sanrcodec.io.reduced import reduce_view

__all__ = ["FLAT", "LEAST_SIDE", "Look", "apart", "are_dark", "looker", "mean_difference"]

_SIDE = 64  # pixels of the reduced views that are compared
LEAST_SIDE = 16  # smaller views are alike by chance
_DARK = 0.5  # of the brightest view; vignetted ones say nothing
FLAT = 0.005  # of the mean; views that differ less are alike

Look = Callable[[int, int], npt.NDArray[np.float32]]


def looker(samples: Samples) -> Look:
    """Return what reads a view ``v, u``, reduced, each but once."""
    height, width = samples.shape[2:4]
    factor = min(max(1, max(height, width) // _SIDE), height, width)

    @functools.cache
    def reduced(v: int, u: int) -> np.ndarray:
        # A copy, since what is not made smaller may be a part of something large.
        return reduce_view(samples[v, u], factor).copy()

    return lambda v, u: reduced(v, u).astype(np.float32)


def apart(look: Look, one: tuple[int, int], other: tuple[int, int]) -> float:
    """Difference of the views at two places; NaN if one of them is dark, or cannot be read."""
    try:
        views = look(*one), look(*other)
    except LightFieldError:  # perhaps it is not going to be read at all
        return math.nan
    return math.nan if are_dark(*views) else mean_difference(*views)


def are_dark(*views: npt.NDArray[np.float32]) -> bool:
    """Whether one of some views is far darker than another."""
    means = [float(view.mean()) for view in views]
    return min(means) <= _DARK * max(means)


def mean_difference(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Mean difference of two views, as a share of their mean, and without exposure and tint."""
    gain = one.mean((0, 1)) / np.maximum(other.mean((0, 1)), 1e-6)
    return float(np.abs(one - gain * other).mean() / one.mean())
