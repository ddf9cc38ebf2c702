# SPDX-License-Identifier: MIT
"""The layers of a scene, composited to the features of a view; or one plane without geometry.

See format_spec.md section 8.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from sanrcodec.arithmetic.dense import round_shift
from sanrcodec.arithmetic.ops import Array, Ops
from sanrcodec.bitstream.grids import level_shape
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.scene.formats import FEATURE_BITS, FEATURE_MAX
from sanrcodec.scene.pose import SLOPE_BITS, Pose, slope_weights
from sanrcodec.scene.warp import Layer, disparity_max

__all__ = [
    "Block",
    "DepthLayers",
    "FlatPlane",
    "Textures",
    "compositing_mac",
    "n_planes",
]

_ALPHA_ONE = 1 << FEATURE_BITS
_COVER_BITS = 8  # fraction bits of a visibility when layers are composited
# Positions are found for so many blocks at once: their few integers per pixel fill a cache later.
_POSITION_BLOCKS = 4


class Block(NamedTuple):
    """Features of some rows of a view.

    Attributes:
        rows: In the view.
        features: Integer-valued float32 ``[features, n]``, Q12.
    """

    rows: slice
    features: Array


class Textures(Protocol):
    """What a view sees, block by block."""

    def blocks(self, pose: Pose, rows: slice, columns: slice) -> Iterator[Block]:
        """Features of the pixels of a region, in blocks of rows."""


def n_planes(header: StreamHeader) -> int:
    """Planes of all layers: features, a visibility of every layer but the last, and slopes."""
    return header.layers * (header.features + 1) - 1 + header.n_slopes


def compositing_mac(header: StreamHeader) -> float:
    """Multiply-accumulates for each pixel of a view."""
    return float((header.layers - 1) * header.features + header.n_slopes)


class DepthLayers:
    """Layers with a disparity each, front to back.

    Args:
        header: Stream header.
        textures: Features of each layer, integer-valued float32 ``[features, Hc * Wc]``, Q12; one
            at a time, since each is large and kept in a form of its own.
        geometry: Disparities of all layers, then visibilities of all but the last, as the geometry
            trunk gives them: integer-valued float32 ``[2 * layers - 1, Hc * Wc]``.
        slopes: Of the front layer's colors along y, then along x, ``[Hc * Wc]`` each, Q12; empty
            where the file has none.
        ops: Array backend.
        level: Of the canvas.
    """

    def __init__(
        self,
        header: StreamHeader,
        textures: Iterable[Array],
        geometry: Array,
        slopes: list[Array],
        ops: Ops,
        level: int,
    ) -> None:
        self.header, self.ops = header, ops
        n = header.layers
        limit = disparity_max(header)
        disparity = ops.cast(ops.clip(geometry[:n], -limit, limit), ops.int32)
        alpha = ops.clip(geometry[n:] + _ALPHA_ONE // 2, 0, _ALPHA_ONE)
        self.layers = [
            Layer(
                header,
                [*texture, *alpha[i : i + 1]],
                slopes if i == 0 else [],
                disparity[i],
                ops,
                level,
            )
            for i, texture in enumerate(textures)
        ]

    def blocks(self, pose: Pose, rows: slice, columns: slice) -> Iterator[Block]:
        """Features of the pixels of a region, in blocks of rows."""
        width = columns.stop - columns.start
        step = max(1, self.ops.block_pixels // width)
        for first in range(rows.start, rows.stop, _POSITION_BLOCKS * step):
            last = min(first + _POSITION_BLOCKS * step, rows.stop)
            found = [layer.positions(pose, slice(first, last), columns) for layer in self.layers]
            for start in range(first, last, step):
                stop = min(start + step, last)
                pixels = slice((start - first) * width, (stop - first) * width)
                features = self._composite(pose, [positions[:, pixels] for positions in found])
                yield Block(slice(start, stop), features)

    def depths(self, pose: Pose, rows: slice, columns: slice) -> tuple[Array, Array]:
        """What the pixels of a region see in each layer, front to back.

        Returns:
            Disparities int32 ``[layers, n]``, Q9 pixels per view, and visibilities of all layers
            but the last, integer-valued float32 ``[layers - 1, n]``, Q12.
        """
        ops, n = self.ops, self.header.features
        disparities = ops.stack([layer.disparities(pose, rows, columns) for layer in self.layers])
        front = [
            ops.clip(layer.sample(layer.positions(pose, rows, columns))[n], 0, _ALPHA_ONE)
            for layer in self.layers[:-1]
        ]
        none = ops.zeros((0, disparities.shape[1]), ops.float32)
        return disparities, ops.stack(front) if front else none

    def _composite(self, pose: Pose, positions: list[Array]) -> Array:
        """What is seen at the positions in each layer, back to front."""
        ops, n = self.ops, self.header.features
        features: Array | None = None
        for i, numbers in reversed(list(enumerate(positions))):
            sampled = self.layers[i].sample(numbers)
            near = sampled[:n]
            if self.layers[i].n_slopes:
                self._add_slopes(pose, near, self.layers[i].sample_slopes(numbers))
            if features is None:
                features = near
            else:
                # Each nearer layer covers what is behind it with its visibility.
                alpha = round_shift(sampled[n], FEATURE_BITS - _COVER_BITS, ops)
                ops.clip(alpha, 0, 1 << _COVER_BITS, out=alpha)
                near -= features
                near *= alpha
                features += round_shift(near, _COVER_BITS, ops)
        assert features is not None
        return features

    def _add_slopes(self, pose: Pose, features: Array, slopes: Array) -> None:
        """Change the front layer's colors by the place of the view, in place."""
        ops, n = self.ops, self.header.channels
        along_y, along_x = slope_weights(self.header, pose)
        change = slopes[:n]
        change *= along_y
        slopes[n:] *= along_x
        change += slopes[n:]
        colors = features[:n]
        colors += round_shift(change, SLOPE_BITS, ops)
        ops.clip(colors, -FEATURE_MAX, FEATURE_MAX, out=colors)


class FlatPlane:
    """One plane of features that every view sees alike.

    Args:
        header: Stream header.
        texture: Integer-valued float32 ``[features, Hc * Wc]``, Q12.
        ops: Array backend.
        level: Of the canvas.
    """

    def __init__(self, header: StreamHeader, texture: Array, ops: Ops, level: int) -> None:
        self.ops = ops
        canvas = level_shape(header.canvas, level)
        self._planes = ops.cast(texture, ops.int16).reshape(-1, *canvas)
        self._top, self._left = (
            (2 * margin + (1 << level)) >> (level + 1)
            for margin in (header.margin_y, header.margin_x)
        )

    def blocks(self, pose: Pose, rows: slice, columns: slice) -> Iterator[Block]:
        """Features of the pixels of a region, in blocks of rows."""
        ops, top, left = self.ops, self._top, self._left
        step = max(1, ops.block_pixels // (columns.stop - columns.start))
        for start in range(rows.start, rows.stop, step):
            stop = min(start + step, rows.stop)
            cut = self._planes[
                :, start + top : stop + top, columns.start + left : columns.stop + left
            ]
            features = ops.cast(cut, ops.float32).reshape(len(cut), -1)
            yield Block(slice(start, stop), features)
