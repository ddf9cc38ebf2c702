# SPDX-License-Identifier: MIT
"""Residuals of a view in the domain of samples: the inverse transform, and the sum.

What a scene cannot show, such as a highlight that one view sees, is added to the samples of that
view. Must not know how levels are coded, nor contain an operation that rounds.
See format_spec.md section 8.6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sanrcodec.arithmetic.dense import round_shift
from sanrcodec.bitstream.residuals import BLOCK, ViewResiduals, step_of
from sanrcodec.color import RGB_FROM_YCC_Q12

__all__ = ["COEFFICIENT_MAX", "RESIDUAL_MAX", "TRANSFORM", "add_residuals", "residual_planes"]

# Rows are nearly a cosine transform times sqrt(2**15). Source: ITU-T H.265, 8.6.4.2.
TRANSFORM = np.array(
    (
        (64, 64, 64, 64, 64, 64, 64, 64),
        (89, 75, 50, 18, -18, -50, -75, -89),
        (83, 36, -36, -83, -83, -36, 36, 83),
        (75, -18, -89, -50, 50, 89, 18, -75),
        (64, -64, -64, 64, 64, -64, -64, 64),
        (50, -89, 18, 75, -75, -18, 89, -50),
        (36, -83, 83, -36, -36, 83, -83, 36),
        (18, -50, 75, -89, 89, -75, 50, -18),
    ),
    np.int32,
)
COEFFICIENT_MAX = 65535
RESIDUAL_MAX = 8191  # Q12; twice the peak
_FIRST_SHIFT, _SECOND_SHIFT = 7, 8  # together 2**15
_CHUNK = 256  # blocks at once, so that what is made of them stays in a cache

Samples = npt.NDArray[Any]


def residual_planes(step: int, found: ViewResiduals) -> npt.NDArray[np.int32]:
    """Residuals of blocks, by the inverse transform.

    Args:
        step: Index of the step.
        found: Residuals of a view.

    Returns:
        int32 ``[n, C, BLOCK, BLOCK]``: Y, Cb and Cr, or gray, Q12.
    """
    steps = np.array([step_of(step, flag) for flag in found.flags.tolist()], np.int32)
    coefficients = found.levels * steps.reshape(-1, 1, 1)
    np.clip(coefficients, -COEFFICIENT_MAX, COEFFICIENT_MAX, out=coefficients)
    blocks = coefficients.reshape(*coefficients.shape[:2], BLOCK, BLOCK)
    # Along y, then along x; sums stay below 2**27.
    columns = round_shift(TRANSFORM.T @ blocks.astype(np.float64), _FIRST_SHIFT)
    planes = round_shift(columns @ TRANSFORM, _SECOND_SHIFT)
    return np.clip(planes, -RESIDUAL_MAX, RESIDUAL_MAX).astype(np.int32)


def add_residuals(
    samples: Samples,
    bit_depth: int,
    width: int,
    region: tuple[int, int, int, int],
    step: int,
    found: ViewResiduals,
) -> None:
    """Add the residuals of a view to its samples, in place.

    Args:
        samples: Integers ``[y1 - y0, x1 - x0, C]`` of a region of the view.
        bit_depth: Of the samples.
        width: Of the whole view.
        region: ``(y0, y1, x0, x1)``.
        step: Index of the step.
        found: Residuals of the view.
    """
    y0, y1, x0, x1 = region
    top, left = BLOCK * np.stack(np.divmod(found.places, -(-width // BLOCK)))
    near = (top + BLOCK > y0) & (top < y1) & (left + BLOCK > x0) & (left < x1)
    numbers, peak = np.flatnonzero(near), (1 << bit_depth) - 1
    for some in (numbers[i : i + _CHUNK] for i in range(0, len(numbers), _CHUNK)):
        residuals = ViewResiduals(found.places[some], found.flags[some], found.levels[some])
        changes = _sample_changes(residual_planes(step, residuals), peak)
        y = top[some][:, None, None] + np.arange(BLOCK)[:, None]
        x = left[some][:, None, None] + np.arange(BLOCK)
        inside = (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
        at = tuple(
            np.broadcast_to(place - first, inside.shape)[inside]
            for place, first in ((y, y0), (x, x0))
        )
        samples[at] = np.clip(samples[at] + changes[inside], 0, peak)


def _sample_changes(planes: npt.NDArray[np.int32], peak: int) -> npt.NDArray[np.int64]:
    """Changes of samples int64 ``[n, BLOCK, BLOCK, C]`` of residuals ``[n, C, BLOCK, BLOCK]``."""
    colors = np.moveaxis(planes, 1, -1).astype(np.float64)
    if colors.shape[-1] == 1:
        return round_shift(colors * peak, 12).astype(np.int64)
    return round_shift(colors @ np.array(RGB_FROM_YCC_Q12).T * peak, 24).astype(np.int64)
