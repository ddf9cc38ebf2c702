# SPDX-License-Identifier: MIT
"""The warp: where the pixels of a view see a layer, and what they see there.

Must not know how many layers there are, nor what their channels mean.
See format_spec.md sections 7.4 and 8.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sanrcodec.arithmetic.axes import along, minimum_filter, padded
from sanrcodec.arithmetic.ops import Array, Ops
from sanrcodec.bitstream.grids import level_shape
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.scene.formats import ANGULAR_BITS, FEATURE_BITS, FEATURE_MAX, POSITION_BITS
from sanrcodec.scene.pose import Pose

__all__ = [
    "DISPARITY_BITS",
    "DISPARITY_GAIN",
    "HALF_SAMPLE_TAPS",
    "N_DISPARITY_STEPS",
    "Layer",
    "disparity_max",
    "interpolation_mac",
    "sampling_mac",
]

DISPARITY_GAIN = 8  # the geometry trunk's outputs are eighths of the disparity
# Fraction bits of a disparity in pixels per view: those eighths as they are.
DISPARITY_BITS = FEATURE_BITS - 3
N_DISPARITY_STEPS = 3  # of the search for a position, after one to the nearest disparity
# Half-sample interpolation filter of HEVC (ITU-T H.265, 8.5.3.3.3), in 1/64.
HALF_SAMPLE_TAPS = (-1, 4, -11, 40, 40, -11, 4, -1)
_HALF = 1 << (POSITION_BITS - 1)  # half a canvas pixel: what whole and half samples are apart
_N_BILINEAR_TAPS = 4


def disparity_max(header: StreamHeader) -> int:
    """Largest magnitude of a disparity: 32 bits hold its product with every view's position."""
    return 32767 if max(header.n_v, header.n_u) <= 256 else 16383


def interpolation_mac(n_channels: int) -> float:
    """Multiply-accumulates for each canvas pixel: half samples between rows, then columns."""
    # The columns are those of twice as many rows.
    return float(3 * len(HALF_SAMPLE_TAPS) * n_channels)


def sampling_mac(n_channels: int, n_layers: int) -> float:
    """Multiply-accumulates for each pixel of a view: four samples, the search for positions."""
    return float(_N_BILINEAR_TAPS * n_channels + 2 * (1 + N_DISPARITY_STEPS) * n_layers)


class Layer:
    """One depth layer on the canvas, as the pixels of any view see it.

    Args:
        header: Stream header.
        planes: Integers within int16, ``[Hc * Wc]`` each, Q12; at most one more than features.
        slopes: The same, any number; sampled apart, since only the front layer has any.
        disparity: int32 ``[Hc * Wc]``, Q9 pixels per view.
        ops: Array backend.
        level: Of the canvas.
    """

    def __init__(
        self,
        header: StreamHeader,
        planes: Sequence[Array],
        slopes: Sequence[Array],
        disparity: Array,
        ops: Ops,
        level: int,
    ) -> None:
        self.header, self.ops, self.level = header, ops, level
        self.canvas = level_shape(header.canvas, level)
        self._disparity = disparity
        # Where the search for a position starts: where a pixel could see two places, it sees the
        # nearer one.
        reach = -(-header.margin_y >> level), -(-header.margin_x >> level)
        self._nearest = minimum_filter(disparity.reshape(self.canvas), reach, ops).reshape(-1)
        self.n_channels, self.n_slopes = len(planes), len(slopes)
        # One more than features, in all layers: numpy gathers rows of 8 values, as those of profile
        # default are, several times faster than those of 7 or 9.
        n_lanes = header.features + 1
        self._phases = self._side_by_side(planes, n_lanes)
        self._slope_phases = [
            self._side_by_side(slopes[first : first + n_lanes], n_lanes)
            for first in range(0, len(slopes), n_lanes)
        ]
        self._weights = _bilinear_weights(n_lanes, ops)

    def positions(self, pose: Pose, rows: slice, columns: slice) -> Array:
        """Find where the pixels of a block see the layer: fixed points of ``q = p - a * d(q)``.

        From the nearest disparity around, so that of two fixed points the nearer one is found.

        Args:
            pose: Place of the view.
            rows: Of the pixels in the view.
            columns: Likewise; ``n`` is the product of both.

        Returns:
            int32 ``[5, n]``: number of the bilinear weights, then of the sample of each phase.
        """
        ops, (height, width) = self.ops, self.canvas
        q_y, q_x, _ = self._search(pose, rows, columns)
        q_y = ops.clip(q_y, 0, (height - 1) << POSITION_BITS, out=q_y).reshape(-1)
        q_x = ops.clip(q_x, 0, (width - 1) << POSITION_BITS, out=q_x).reshape(-1)
        # Of the four samples around a position, one is of each phase: whole or half in y and x.
        whole_y, whole_x = (q_y + _HALF) >> POSITION_BITS, (q_x + _HALF) >> POSITION_BITS
        f_y = abs(q_y - (whole_y << POSITION_BITS))
        f_x = abs(q_x - (whole_x << POSITION_BITS))
        out = ops.zeros((5, len(q_y)), ops.int32)
        out[0] = f_y * (_HALF + 1) + f_x
        whole_y *= width
        half_y = (q_y >> POSITION_BITS) * width
        half_x = q_x >> POSITION_BITS
        out[1] = whole_y + whole_x
        out[2] = whole_y + half_x
        out[3] = half_y + whole_x
        out[4] = half_y + half_x
        return out

    def disparities(self, pose: Pose, rows: slice, columns: slice) -> Array:
        """Disparity of what the pixels of a block see, int32 ``[n]``, Q9 pixels per view."""
        return self._search(pose, rows, columns)[2].reshape(-1)

    def _search(self, pose: Pose, rows: slice, columns: slice) -> tuple[Array, Array, Array]:
        """Positions ``(y, x)``, Q5 canvas pixels, and the disparities that lead there."""
        ops, header, (height, width) = self.ops, self.header, self.canvas
        base_y = (ops.arange(rows.start, rows.stop) << POSITION_BITS) + self._origin(
            header.margin_y, pose.shift[0]
        )
        base_x = (ops.arange(columns.start, columns.stop) << POSITION_BITS) + self._origin(
            header.margin_x, pose.shift[1]
        )
        base_y = base_y[:, None]
        shift = ANGULAR_BITS + DISPARITY_BITS - POSITION_BITS + self.level
        q_y, q_x = base_y, base_x
        for disparity in (self._nearest, *N_DISPARITY_STEPS * [self._disparity]):
            row = ops.clip((q_y + _HALF) >> POSITION_BITS, 0, height - 1)
            column = ops.clip((q_x + _HALF) >> POSITION_BITS, 0, width - 1)
            d = ops.take(disparity, row * width + column)
            q_y = _displaced(base_y, d, pose.angular[0], shift)
            q_x = _displaced(base_x, d, pose.angular[1], shift)
        return q_y, q_x, d

    def sample(self, positions: Array) -> Array:
        """What is seen at some positions, bilinear between half samples.

        Args:
            positions: From :meth:`positions`, or some columns of it.

        Returns:
            Integer-valued float32 ``[n_channels, n]``, Q12.
        """
        return self._sample(self._phases, positions)[: self.n_channels]

    def sample_slopes(self, positions: Array) -> Array:
        """The same of the slopes, integer-valued float32 ``[n_slopes, n]``, Q12."""
        parts = [self._sample(phases, positions) for phases in self._slope_phases]
        return (self.ops.concatenate(parts) if len(parts) > 1 else parts[0])[: self.n_slopes]

    def _side_by_side(self, planes: Sequence[Array], n_lanes: int) -> list[Array]:
        """The phases of some planes, which lie side by side."""
        lanes = self.ops.zeros((math.prod(self.canvas), n_lanes), self.ops.int16)
        for i, plane in enumerate(planes):
            lanes[:, i] = plane
        return _half_samples(lanes.reshape(*self.canvas, n_lanes), self.ops)

    def _sample(self, phases: list[Array], positions: Array) -> Array:
        """What is seen of planes that lie side by side."""
        ops = self.ops
        total: Array | None = None
        for weights, phase, numbers in zip(self._weights, phases, positions[1:], strict=True):
            part = ops.take(weights, positions[0])
            part *= ops.take(phase, numbers)
            if total is None:
                total = part
            else:
                total += part
        assert total is not None
        total += 0.5
        total = ops.contiguous(total.T)
        return ops.floor(total, out=total)

    def _origin(self, margin: int, shift: int) -> int:
        """Canvas position, Q5, of the first pixel of a view without parallax.

        A sample of level k is the center of ``2**k`` pixels, so that positions scale without offset
        when they are told from the edges of the first sample.
        """
        origin = (margin << POSITION_BITS) + shift
        return (origin + ((1 << self.level) >> 1)) >> self.level


def _half_samples(x: Array, ops: Ops) -> list[Array]:
    """Texture int16 ``[Hc, Wc, n]`` -> the four phases of its samples, each ``[Hc * Wc, n]``.

    Phase 0 are the samples themselves, phase 1 those half a pixel to the right, phase 2 those half
    a pixel below, phase 3 those half a pixel to the right of phase 2.
    """
    below = _half_axis(x, 0, ops)
    phases = x, _half_axis(x, 1, ops), below, _half_axis(below, 1, ops)
    return [phase.reshape(-1, x.shape[-1]) for phase in phases]


def _half_axis(x: Array, axis: int, ops: Ops) -> Array:
    """The samples half way to the next one along an axis, by HALF_SAMPLE_TAPS."""
    n_rows, n_columns, _ = x.shape
    before, after = 3, 4
    wide = padded(x, axis, before, after, ops)
    out = ops.zeros(x.shape, ops.int16)
    step = max(1, ops.block_pixels // n_columns)
    for start in range(0, n_rows, step):
        stop = min(start + step, n_rows)
        n = (stop - start, n_columns)[axis]
        rows = wide[start : stop + (before + after if axis == 0 else 0)]
        near = ops.cast(rows, ops.float32)
        total: Array | float = 0.5
        # The taps are symmetric.
        for k in range(4):
            pair = near[along(axis, k, k + n)] + near[along(axis, 7 - k, 7 - k + n)]
            pair *= HALF_SAMPLE_TAPS[k] * 2.0**-6
            pair += total
            total = pair
        ops.floor(pair, out=pair)
        out[start:stop] = ops.clip(pair, -FEATURE_MAX, FEATURE_MAX, out=pair)
    return out


def _bilinear_weights(n_lanes: int, ops: Ops) -> list[Array]:
    """Weight of each phase's sample for every distance ``(y, x)`` from the whole one.

    Returns:
        Per phase float32 ``[17 * 17, n_lanes]``, row ``17 * f_y + f_x``. All lanes of a row are the
        same: gathering them costs less than to spread one weight over the features of a pixel.
    """
    half = np.arange(_HALF + 1)
    whole = _HALF - half
    return [
        ops.asarray(
            np.repeat(np.outer(y, x).reshape(-1, 1) * 2.0**-8, n_lanes, axis=1), ops.float32
        )
        for y in (whole, half)
        for x in (whole, half)
    ]


def _displaced(base: Array, disparity: Array, angle: int, shift: int) -> Array:
    """``base - round(angle * disparity / 2**shift)``, halves rounded up before the subtraction."""
    q = disparity * -angle
    q += (1 << (shift - 1)) - 1
    q >>= shift
    q += base
    return q
