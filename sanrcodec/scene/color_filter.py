# SPDX-License-Identifier: MIT
"""The color filter: corrects a layer's colors by the features of the pixels around.

See format_spec.md section 7.3.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sanrcodec.arithmetic.axes import padded
from sanrcodec.arithmetic.dense import leaky_relu
from sanrcodec.arithmetic.ops import Array, Ops
from sanrcodec.bitstream.grids import level_shape
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.tensors import BIAS_BITS, WEIGHT_BITS, TensorSpec, Weights
from sanrcodec.scene.feature_layer import FEATURE_LAYER, WeightRows, feature_layer
from sanrcodec.scene.formats import FEATURE_MAX

__all__ = ["REACH", "ColorFilter", "mac", "rows", "tensors"]

REACH = 1  # pixels to each side
_SIZE = (2 * REACH + 1, 2 * REACH + 1)


def tensors(header: StreamHeader) -> list[TensorSpec]:
    """A linear part and, where ``filter_hidden``, leaky units with their neighborhood once more."""
    if not header.color_filter:
        return []
    n, features, hidden = header.channels, header.features, header.filter_hidden
    specs = [TensorSpec("color_filter.linear", (n, features, *_SIZE), WEIGHT_BITS)]
    if hidden:
        specs += [
            TensorSpec("color_filter.hidden.weight", (hidden, features, *_SIZE), WEIGHT_BITS, 0.15),
            TensorSpec("color_filter.hidden.bias", (hidden,), BIAS_BITS),
            TensorSpec("color_filter.output", (n, hidden, *_SIZE), WEIGHT_BITS),
        ]
    return specs


def rows(header: StreamHeader) -> list[WeightRows]:
    """Its layers; the linear part and the last one add up in one sum."""
    if not header.color_filter:
        return []
    if not header.filter_hidden:
        return [WeightRows(("color_filter.linear",), None, FEATURE_LAYER)]
    hidden = "color_filter.hidden.weight", "color_filter.hidden.bias"
    return [
        WeightRows(hidden[:1], hidden[1], FEATURE_LAYER),
        WeightRows(("color_filter.linear", "color_filter.output"), None, FEATURE_LAYER),
    ]


def mac(header: StreamHeader) -> float:
    """Multiply-accumulates for each canvas pixel of one layer."""
    return float(sum(spec.size for spec in tensors(header) if len(spec.shape) == 4))


class ColorFilter:
    """A small network on the pixels around; encoder.scene has the float twin.

    Args:
        header: Stream header.
        weights: All weights of the file.
        ops: Array backend.
        level: Of the canvas. Smaller canvases are too smooth for the filter to see more than their
            values: its taps are summed.
    """

    def __init__(self, header: StreamHeader, weights: Weights, ops: Ops, level: int) -> None:
        self.canvas = level_shape(header.canvas, level)
        self.ops, self.n_colors = ops, header.channels
        self.reach = 0 if level else REACH

        def taps(name: str) -> npt.NDArray[np.int32]:
            weight = weights[f"color_filter.{name}"]
            if level:
                weight = weight.sum(axis=(2, 3), keepdims=True)
            return weight.reshape(len(weight), -1)

        last, self.hidden = taps("linear"), None
        if header.filter_hidden:
            bias = weights["color_filter.hidden.bias"]
            self.hidden = feature_layer(taps("hidden.weight"), bias, "color_filter.hidden", ops)
            last = np.concatenate([last, taps("output")], axis=1)
        no_bias = np.zeros(self.n_colors, np.int32)
        self.output = feature_layer(last, no_bias, "color_filter", ops)

    def __call__(self, features: Array) -> Array:
        """Correct ``[features, Hc * Wc]``, integer-valued float32, in place."""
        ops, (height, width), reach = self.ops, self.canvas, self.reach
        planes = features.reshape(-1, height, width)
        wide = [padded(padded(p, 0, reach, reach, ops), 1, reach, reach, ops) for p in planes]
        step = max(1, ops.block_pixels // width)
        for start in range(0, height, step):
            stop = min(start + step, height)
            near = self._columns(wide, start, stop)
            if self.hidden:
                # Hidden rows beyond the block, but none beyond the canvas: these are repeated.
                first, end = max(start - reach, 0), min(stop + reach, height)
                units = leaky_relu(self.hidden(self._columns(wide, first, end)), ops)
                repeat = reach - (start - first), reach - (end - stop)
                hidden = [
                    padded(padded(h, 0, *repeat, ops), 1, reach, reach, ops)
                    for h in units.reshape(-1, end - first, width)
                ]
                near = ops.concatenate([near, self._columns(hidden, 0, stop - start)])
            correction = self.output(near)
            colors = planes[: self.n_colors, start:stop]
            colors += correction.reshape(colors.shape)
            ops.clip(colors, -FEATURE_MAX, FEATURE_MAX, out=colors)
        return features

    def _columns(self, wide: list[Array], start: int, stop: int) -> Array:
        """What surrounds the pixels of some rows, plane by plane and tap by tap: ``[., n]``."""
        width, taps = self.canvas[1], range(2 * self.reach + 1)
        near = [
            plane[start + dy : stop + dy, dx : dx + width]
            for plane in wide for dy in taps for dx in taps
        ]  # fmt: skip
        return self.ops.stack(near).reshape(len(near), -1)
