# SPDX-License-Identifier: MIT
"""A decoded scene, from which views are synthesized.

Written against the few operations of :class:`~sanrcodec.arithmetic.ops.Ops`, so that another array
library gives the same integers. Must not contain an operation that rounds.
See format_spec.md sections 7 and 8.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sanrcodec.arithmetic.dense import round_shift
from sanrcodec.arithmetic.ops import NUMPY, Array, Ops
from sanrcodec.bitstream.grids import GEOMETRY, LATENT_MAX, SLOPES, grids, level_shape
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.tensors import Weights
from sanrcodec.color import RGB_FROM_YCC_Q12
from sanrcodec.scene.color_filter import ColorFilter
from sanrcodec.scene.formats import FEATURE_BITS, FEATURE_MAX
from sanrcodec.scene.layers import DepthLayers, FlatPlane, Textures
from sanrcodec.scene.pose import GAIN_BITS, Pose, Poses
from sanrcodec.scene.pyramid import finest_level
from sanrcodec.scene.trunk import Trunk
from sanrcodec.scene.view_network import ViewNetwork

__all__ = ["Scene"]

_COLOR_MAX = 2 * FEATURE_MAX  # a feature and its correction

Latents = list[npt.NDArray[np.int32]]


class Scene:
    """The canonical scene of a file, built once, and views of it.

    Planes of the canvas have their pixels along the last axis, ``[n, Hc * Wc]``, and so have blocks
    of pixels of a view. Only what single pixels are gathered from has them along the first.

    Args:
        header: Stream header.
        weights: int32 array per tensor.
        latents: int32 ``[Hg, Wg]`` per grid in coding order, down to ``finest_level(level)``.
        ops: Array backend.
        level: Of the grids whose size the canvas has; views are smaller by ``2**level``. See
            format_spec.md section 8.5.

    Raises:
        LimitError: a layer's sums could leave the exact range.
    """

    def __init__(
        self,
        header: StreamHeader,
        weights: Weights,
        latents: Latents,
        ops: Ops = NUMPY,
        level: int = 0,
    ) -> None:
        self.header, self.ops = header, ops
        self._size = level_shape((header.height, header.width), level)
        self.poses = Poses(header, weights)
        self._view_network = ViewNetwork(header, weights, ops, level) if header.view_depth else None
        # The peak is folded into the color matrix, and so is its shift.
        self._peak = (1 << header.bit_depth) - 1
        if header.channels == 3:
            matrix = np.array(RGB_FROM_YCC_Q12) * (self._peak * 2.0 ** (-2 * FEATURE_BITS))
        else:
            matrix = np.array([[self._peak * 2.0**-FEATURE_BITS]])
        self._color_matrix = ops.asarray(matrix, ops.float64)
        textures, geometry, along_axes = _grouped(header, latents, finest_level(level))

        trunk = Trunk(header, weights, "texture", ops, level)
        color_filter = (
            ColorFilter(header, weights, ops, level) if header.color_filter else lambda x: x
        )
        features = (color_filter(trunk(stack)) for stack in textures)
        self.textures: Textures
        if header.layers:
            found = Trunk(header, weights, "geometry", ops, level)(geometry)
            slopes: list[Array] = []
            if header.has_slopes:
                slope_trunk = Trunk(header, weights, "slope", ops, level)
                slopes = [plane for stack in along_axes for plane in slope_trunk(stack)]
            self.textures = DepthLayers(header, features, found, slopes, ops, level)
        else:
            self.textures = FlatPlane(header, next(features), ops, level)

    def render(self, v: float, u: float, region: tuple[int, int, int, int] | None = None) -> Array:
        """Synthesize one view, or a part of it.

        Args:
            v: Row of the view, integer or fractional.
            u: Column of the view, likewise.
            region: ``(y0, y1, x0, x1)`` in pixels of this level; the whole view by default.

        Returns:
            Integers ``[y1 - y0, x1 - x0, C]`` in ``0..2**bit_depth - 1``, uint8 if that holds them.
        """
        ops, header = self.ops, self.header
        y0, y1, x0, x1 = region or (0, self._size[0], 0, self._size[1])
        columns = slice(x0, x1)
        dtype = ops.uint8 if header.bit_depth == 8 else ops.int32
        samples = ops.zeros((y1 - y0, x1 - x0, header.channels), dtype)
        pose = self.poses(v, u)
        for rows, features in self.textures.blocks(pose, slice(y0, y1), columns):
            colors = features[: header.channels]
            if self._view_network:
                colors = colors + self._view_network(pose, features, rows, columns)
            block = self._samples(colors, pose)
            part = samples[rows.start - y0 : rows.stop - y0]
            part[:] = block.T.reshape(part.shape)
        return samples

    def depths(self, v: float, u: float) -> tuple[Array, Array] | None:
        """What the pixels of a view see in each layer; None without geometry.

        Args:
            v: Row of the view, integer or fractional.
            u: Column of the view, likewise.

        Returns:
            Disparities int32 ``[layers, H, W]``, Q9 pixels per view, the smallest is the nearest;
            and visibilities of all layers but the last, integer-valued float32
            ``[layers - 1, H, W]``, Q12.
        """
        if not isinstance(self.textures, DepthLayers):
            return None
        height, width = self._size
        found = self.textures.depths(self.poses(v, u), slice(0, height), slice(0, width))
        disparities, visibilities = (part.reshape(-1, height, width) for part in found)
        return disparities, visibilities

    def _samples(self, colors: Array, pose: Pose) -> Array:
        """Samples float64 ``[C, n]`` of colors Q12, saturated.

        Their fractions, exact too, are still to be cut off, which a cast to integers does.
        """
        ops = self.ops
        colors = ops.cast(colors, ops.float64)
        if pose.gain != 1 << GAIN_BITS:
            colors *= pose.gain
            colors = round_shift(colors, GAIN_BITS, ops)
            ops.clip(colors, -_COLOR_MAX, _COLOR_MAX, out=colors)
        colors[0] += pose.luma_offset
        samples = ops.matmul(self._color_matrix, colors)
        samples += 0.5
        return ops.clip(samples, 0, self._peak, out=samples)


def _grouped(
    header: StreamHeader, latents: Latents, finest: int
) -> tuple[list[Latents], Latents, list[Latents]]:
    """Latents of each layer's texture, of the geometry and of both slopes; coarse to fine."""
    groups = (*range(header.n_textures), GEOMETRY, *SLOPES)
    by_group: dict[int, Latents] = {group: [] for group in groups}
    for grid in grids(header):
        if grid.level >= finest:
            by_group[grid.group].append(latents[grid.index])
    # What a layer hides costs bits, what it shares with the layer in front does not.
    textures = [by_group[0]]
    for i in range(1, header.n_textures):
        stack = list(textures[-1])
        for k, plane in enumerate(by_group[i]):
            stack[k] = np.clip(stack[k] + plane, -LATENT_MAX, LATENT_MAX)
        textures.append(stack)
    return textures, by_group[GEOMETRY], [by_group[group] for group in SLOPES]
