# SPDX-License-Identifier: MIT
"""The view network: corrects the color of a pixel by its features and the place of the view.

See format_spec.md section 8.3.
"""

from __future__ import annotations

from sanrcodec.arithmetic.dense import leaky_relu
from sanrcodec.arithmetic.ops import Array, Ops
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.tensors import TensorSpec, Weights, dense_tensors
from sanrcodec.scene.feature_layer import FEATURE_LAYER, WeightRows, feature_layer
from sanrcodec.scene.formats import FEATURE_BITS, FEATURE_MAX
from sanrcodec.scene.pose import Pose, coordinates

__all__ = ["ViewNetwork", "mac", "rows", "tensors"]


def tensors(header: StreamHeader) -> list[TensorSpec]:
    """Leaky layers, then a linear one that gives the correction; none where the depth is 0."""
    n_in = header.features + header.n_coordinates
    specs = []
    for i in range(header.view_depth):
        specs += dense_tensors(f"view.hidden{i}", n_in, header.view_hidden, 0.5)
        n_in = header.view_hidden
    if header.view_depth:
        specs += dense_tensors("view.output", n_in, header.channels)
    return specs


def rows(header: StreamHeader) -> list[WeightRows]:
    """Its layers."""
    return [
        WeightRows((f"{name}.weight",), f"{name}.bias", FEATURE_LAYER) for name in _layers(header)
    ]


def mac(header: StreamHeader) -> float:
    """Multiply-accumulates for each pixel of a view."""
    return float(sum(spec.size for spec in tensors(header) if spec.name.endswith("weight")))


def _layers(header: StreamHeader) -> list[str]:
    hidden = [f"view.hidden{i}" for i in range(header.view_depth)]
    return [*hidden, "view.output"] if hidden else []


class ViewNetwork:
    """Features of a view's pixels -> corrections of their colors; encoder.scene has the twin.

    Args:
        header: Stream header, of a file that has the network.
        weights: All weights of the file.
        ops: Array backend.
        level: Of the canvas.
    """

    def __init__(self, header: StreamHeader, weights: Weights, ops: Ops, level: int) -> None:
        self.header, self.ops, self.level = header, ops, level
        *self.hidden, self.output = (
            feature_layer(weights[f"{name}.weight"], weights[f"{name}.bias"], name, ops)
            for name in _layers(header)
        )

    def __call__(self, pose: Pose, features: Array, rows: slice, columns: slice) -> Array:
        """Corrections, integer-valued float32 ``[C, n]``, Q12.

        Args:
            pose: Place of the view.
            features: Integer-valued float32 ``[features, n]``, Q12.
            rows: Of the pixels in the view.
            columns: Likewise; ``n`` is the product of both.
        """
        h = self._inputs(pose, features, rows, columns)
        for dense in self.hidden:
            h = leaky_relu(dense(h), self.ops)
        return self.output(h)

    def _inputs(self, pose: Pose, features: Array, rows: slice, columns: slice) -> Array:
        """Features and coordinates, integer-valued float32 ``[n_in, n]``, Q12."""
        ops, header = self.ops, self.header
        n = header.features
        h = ops.zeros((n + header.n_coordinates, features.shape[1]), ops.float32)
        ops.clip(features, -FEATURE_MAX, FEATURE_MAX, out=h[:n])
        for row, place in zip(h[n:], coordinates(header, pose), strict=False):
            row[:] = place
        if header.spatial:
            one = 1 << FEATURE_BITS
            y = ops.arange(rows.start, rows.stop)[:, None]
            x = ops.arange(columns.start, columns.stop)[None, :]
            for row, p, size in ((h[n + 2], y, header.height), (h[n + 3], x, header.width)):
                center = ((2 * p + 1) << (FEATURE_BITS + self.level)) // size - one
                # The last pixels of a smaller view may reach beyond the view.
                row.reshape(y.shape[0], x.shape[1])[:] = ops.clip(center, -one, one - 1)
        return h
