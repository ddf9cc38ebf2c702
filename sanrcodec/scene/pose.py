# SPDX-License-Identifier: MIT
"""The poses: where a view stands among the others, and how it differs from the grid's rule.

See format_spec.md section 8.1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.tensors import TensorSpec, Weights
from sanrcodec.scene.formats import ANGULAR_BITS, FEATURE_BITS

__all__ = [
    "GAIN_BITS",
    "GAIN_MAX",
    "SLOPE_BITS",
    "Pose",
    "Poses",
    "coordinates",
    "on_grid",
    "slope_weights",
    "tensors",
]

GAIN_BITS = 10
GAIN_MAX = 4095
SLOPE_BITS = 7
_N_CORRECTIONS = 5

_ANGLE_MAX = 131071  # half of the largest grid; 32 bits hold its product with a disparity


class Pose(NamedTuple):
    """Place of a view.

    Attributes:
        angular: Offsets ``(v, u)`` from the center of the grid along the parallax, Q8 views.
        shift: Of the image, ``(y, x)``, Q5 pixels.
        luma_offset: Added to the luma, Q12.
        gain: Factor of all colors before that, Q10.
    """

    angular: tuple[int, int]
    shift: tuple[int, int]
    luma_offset: int
    gain: int


def coordinates(header: StreamHeader, pose: Pose) -> tuple[int, int]:
    """Place of a view in the grid, ``(y, x)``, Q12: about -1..1, at most 2 away from the center."""
    span = max(header.n_v - 1, header.n_u - 1, 1)
    limit = 2 << FEATURE_BITS
    shift = FEATURE_BITS - ANGULAR_BITS + 1
    y, x = (max(-limit, min(limit, (a << shift) // span)) for a in pose.angular)
    return y, x


def slope_weights(header: StreamHeader, pose: Pose) -> tuple[int, int]:
    """Factors of the color slopes along y and x, the place of a view in Q7.

    No more bits, so that the sum of both products is exact in float32.
    """
    shift = FEATURE_BITS - SLOPE_BITS
    y, x = ((a + (1 << shift >> 1)) >> shift for a in coordinates(header, pose))
    return y, x


def tensors(header: StreamHeader) -> list[TensorSpec]:
    """Corrections ``(v, u, y, x, luma)`` and gain of every view, where the file carries them.

    Gains differ from view to view where all else is alike, or the other way round: their
    differences are coded with a width of their own.
    """
    if not header.per_view:
        return []
    n = header.n_v * header.n_u
    return [TensorSpec("per_view", (n, _N_CORRECTIONS), 0), TensorSpec("view_gain", (n, 1), 0)]


def on_grid(v: float, u: float) -> tuple[int, int] | None:
    """Row and column of the view of the grid that a position is as decoders have it, or None."""
    one = 1 << ANGULAR_BITS
    (row, rest_v), (column, rest_u) = divmod(round(v * one), one), divmod(round(u * one), one)
    return None if rest_v or rest_u else (row, column)


class Poses:
    """Places of all views, between them too.

    Args:
        header: Stream header.
        weights: All weights of the file.
    """

    def __init__(self, header: StreamHeader, weights: Weights) -> None:
        self.header = header
        self._corrections: npt.NDArray[np.int64] | None = None
        if header.per_view:
            parts = weights["per_view"], weights["view_gain"]
            self._corrections = np.concatenate(parts, axis=1).astype(np.int64)

    def __call__(self, v: float, u: float) -> Pose:
        """Place of the view at row ``v`` and column ``u``, integer or fractional."""
        header = self.header
        one = 1 << ANGULAR_BITS
        v_q, u_q = round(v * one), round(u * one)
        a_v = v_q - (header.n_v - 1) * one // 2
        a_u = u_q - (header.n_u - 1) * one // 2
        if header.transposed:
            a_v, a_u = a_u, a_v
        if header.mirrored:
            a_u = -a_u
        if header.axes_reversed:
            a_v, a_u = -a_v, -a_u
        d_v, d_u, y, x, luma, gain = self._correction(v_q, u_q)
        a_v, a_u = (max(-_ANGLE_MAX, min(_ANGLE_MAX, a)) for a in (a_v + d_v, a_u + d_u))
        gain = min(max((1 << GAIN_BITS) + gain, 0), GAIN_MAX)
        return Pose((a_v, a_u), (y, x), luma << 2, gain)

    def _correction(self, v_q: int, u_q: int) -> list[int]:
        """Correction of a view; between views they are interpolated."""
        if self._corrections is None:
            return [0] * (_N_CORRECTIONS + 1)
        header, one = self.header, 1 << ANGULAR_BITS
        v0 = min(v_q >> ANGULAR_BITS, max(header.n_v - 2, 0))
        u0 = min(u_q >> ANGULAR_BITS, max(header.n_u - 2, 0))
        f_v, f_u = v_q - (v0 << ANGULAR_BITS), u_q - (u0 << ANGULAR_BITS)
        total = np.zeros(_N_CORRECTIONS + 1, np.int64)
        for i, w_v in ((0, one - f_v), (1, f_v)):
            for j, w_u in ((0, one - f_u), (1, f_u)):
                if w_v and w_u:
                    row = self._corrections[(v0 + i) * header.n_u + u0 + j]
                    total += w_v * w_u * row
        rounded: list[int] = ((total + (one * one >> 1)) >> (2 * ANGULAR_BITS)).tolist()
        return rounded
