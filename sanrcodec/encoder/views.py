# SPDX-License-Identifier: MIT
"""Views in torch: the differentiable float twins of poses, view network and compositing.

Must not know how the scene came about, nor of rates.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sanrcodec.arithmetic.dense import LEAK_BITS
from sanrcodec.bitstream.grids import level_shape
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.encoder.bands import Band
from sanrcodec.encoder.functions import clamp, dense
from sanrcodec.encoder.kernels import runs_on
from sanrcodec.encoder.part import FloatWeights, Part
from sanrcodec.encoder.scene import FloatScene, layer_of
from sanrcodec.encoder.warp import Warp
from sanrcodec.scene.pose import GAIN_BITS, GAIN_MAX

__all__ = ["Pose", "Poses", "ViewNetwork", "Views", "coordinates"]

_LEAK = 2.0**-LEAK_BITS


class Pose(NamedTuple):
    """Places of some views.

    Attributes:
        angular: ``[B, 2]``, offsets from the center of the grid along the parallax, in views.
        shift: ``[B, 2]``, of the image, in pixels.
        luma_offset: ``[B]``, added to the luma.
        gain: ``[B]``, factor of all colors before that.
    """

    angular: Tensor
    shift: Tensor
    luma_offset: Tensor
    gain: Tensor


def coordinates(header: StreamHeader, angular: Tensor) -> Tensor:
    """Places of views in the grid ``[B, 2]``: about -1..1, at most 2 away from the center."""
    return clamp(angular * (2 / max(header.n_v - 1, header.n_u - 1, 1)), -2.0, 2.0)


class Poses(Part):
    """Twin of :class:`sanrcodec.scene.pose.Poses`, of the views of the grid.

    Args:
        header: Stream header.
        device: Where the model lives.
    """

    _regular: Tensor
    _units: Tensor

    def __init__(self, header: StreamHeader, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.header = header
        v, u = np.mgrid[: header.n_v, : header.n_u].reshape(2, -1)
        v, u = v - (header.n_v - 1) / 2, u - (header.n_u - 1) / 2
        along_y, along_x = (u, v) if header.transposed else (v, u)
        regular = np.stack([along_y, -along_x if header.mirrored else along_x], 1)
        self.constant("_regular", -regular if header.axes_reversed else regular, device)
        self.constant("_units", 1 / np.array([256, 256, 32, 32, 1024]), device)

    def forward(self, index: Tensor, weights: FloatWeights) -> Pose:
        """Places of the views ``v * U + u``, int64 ``[B]``."""
        regular = self._regular.index_select(0, index)
        if not self.header.per_view:
            none = torch.zeros_like(regular)
            return Pose(regular, none, none[:, 0], 1 + none[:, 0])
        extra = weights["per_view"].index_select(0, index) * self._units
        angular, shift, luma_offset = extra.split([2, 2, 1], 1)
        gain = weights["view_gain"].index_select(0, index) * 2.0**-GAIN_BITS
        return Pose(
            angular=regular + angular,
            shift=shift,
            luma_offset=luma_offset.squeeze(1),
            gain=clamp(1 + gain.squeeze(1), 0.0, GAIN_MAX * 2.0**-GAIN_BITS),
        )


class ViewNetwork(Part):
    """Twin of :class:`sanrcodec.scene.view_network.ViewNetwork`.

    Args:
        band: Rows of the views.
        device: Where the model lives.
    """

    yx: Tensor

    def __init__(self, band: Band, device: torch.device | str) -> None:
        super().__init__()
        self.header = header = band.header
        self.size = h, w = _size(band)
        # The last pixels of a smaller view may reach beyond the view.
        rows, scale = torch.arange(h) + band.rows.start, 2**band.level
        y = ((2 * rows + 1)[:, None] * scale / header.height - 1).clamp(max=1)
        x = ((2 * torch.arange(w) + 1)[None, :] * scale / header.width - 1).clamp(max=1)
        yx = torch.stack(torch.broadcast_tensors(y, x)).flatten(1)
        self.constant("yx", yx.numpy(), device)

    def forward(self, place: Tensor, features: Tensor, weights: FloatWeights) -> Tensor:
        """Corrections ``[B, C, H, W]`` of views.

        Args:
            place: ``[B, 2]``, their :func:`coordinates`.
            features: ``[B, F, H, W]``.
            weights: Real weights per tensor.
        """
        header = self.header
        z = features.flatten(2)
        if header.view_depth == 1 and runs_on(z, header.features):
            from sanrcodec.encoder.kernels.perceptron import perceptron

            weight, bias = weights["view.hidden0.weight"], weights["view.hidden0.bias"]
            of_place = weight[:, header.features : header.features + 2]
            hidden = weight, place @ of_place.T + bias
            output = weights["view.output.weight"], weights["view.output.bias"]
            shared = self.yx if header.spatial else None
            correction = perceptron(z, None, hidden, output, 1.0, _LEAK, shared)
            return correction.reshape(len(z), header.channels, *self.size)
        for i in range(header.view_depth):
            weight, bias = layer_of(weights, f"view.hidden{i}")
            if i == 0:
                n_place = weight.shape[1] - header.features
                of_z, of_place, of_yx = weight.split([header.features, 2, n_place - 2], 1)
                y = dense(of_z, (place @ of_place.T)[..., None] + bias, z)
                if header.spatial:
                    y = y + of_yx @ self.yx
            else:
                y = dense(weight, bias, z)
            z = F.leaky_relu(y, _LEAK, inplace=True)
        correction = dense(*layer_of(weights, "view.output"), z)
        return correction.reshape(len(z), header.channels, *self.size)


class Views(Part):
    """Twin of :meth:`sanrcodec.scene.scene.Scene.render`, of several views at once.

    Args:
        band: Rows of the views, all of which are smaller by ``2**level``.
        device: Where the model lives.
    """

    luma: Tensor
    pixels: Tensor

    def __init__(self, band: Band, device: torch.device | str) -> None:
        super().__init__()
        self.header = header = band.header
        self.scale = 2.0**-band.level
        self.poses, self.warp = Poses(header, device), Warp(header, band.level)
        self.view_network = ViewNetwork(band, device)
        self.size = h, w = _size(band)
        # Where the first pixel of the band is, without parallax, on the rows that it sees.
        first = band.rows.start - band.window.start
        self.origin = first + header.margin_y * self.scale, header.margin_x * self.scale
        y, x = torch.arange(h) + self.origin[0], torch.arange(w) + self.origin[1]
        grid = torch.meshgrid(y, x, indexing="ij")
        luma = np.arange(header.channels) == 0
        self.constant("luma", luma[:, None, None], device)
        self.constant("pixels", torch.stack(grid)[:, None].numpy(), device)

    def forward(self, scene: FloatScene, weights: FloatWeights, index: Tensor) -> Tensor:
        """Synthesize views.

        Args:
            scene: Canonical scene, of the rows that the band sees.
            weights: Real weights per tensor.
            index: int64 ``[B]``, ``v * U + u``.

        Returns:
            Colors ``[B, C, H, W]``, YCbCr with chroma around 0 (or gray), range about 0..1.
        """
        header = self.header
        pose = self.poses(index, weights)
        place = coordinates(header, pose.angular)
        features = self._composite(scene, pose, place)
        colors = features[:, : header.channels]
        if header.view_depth:
            colors = colors + self.view_network(place, features, weights)
        if header.per_view:
            offset = pose.luma_offset[:, None, None, None] * self.luma
            colors = torch.addcmul(offset, pose.gain[:, None, None, None], colors)
        return colors

    def _composite(self, scene: FloatScene, pose: Pose, place: Tensor) -> Tensor:
        """Features ``[B, F, H, W]``: the layers, back to front."""
        header, textures = self.header, scene.textures
        h, w = self.size
        if scene.disparities is None:
            y, x = map(round, self.origin)
            return textures[:, :, y : y + h, x : x + w].expand(len(pose.angular), -1, -1, -1)
        if runs_on(textures, 1):
            from sanrcodec.encoder.kernels.warp import composite

            moved = [self.scale * pose.angular, self.scale * pose.shift]
            poses = torch.cat([*moved, place], 1)
            return composite(
                textures, scene.slopes, scene.disparities, self.warp.nearest(scene.disparities),
                poses, self.size, self.origin,
            )  # fmt: skip
        # Row by row, so that the gradients of the few poses are summed along rows first: summed
        # over all pixels at once they would leave most of a GPU idle.
        parallax = self.scale * pose.angular.T[:, :, None, None].expand(-1, -1, h, 1)
        shift = pose.shift.T[:, :, None, None].expand(-1, -1, h, 1)
        base = torch.add(self.pixels, shift, alpha=self.scale)
        sampled, slopes = self.warp(textures, scene.slopes, scene.disparities, base, parallax)
        features: Tensor | None = None
        for i, layer in reversed(list(enumerate(sampled.unbind()))):
            near, visibility = layer.split([header.features, layer.shape[1] - header.features], 1)
            if slopes is not None and not i:
                along = slopes.unflatten(1, (2, header.channels))
                change = (place[:, :, None, None, None] * along).sum(1)
                n_others = header.features - header.channels
                colors, others = near.split([header.channels, n_others], 1)
                near = torch.cat([colors + change, others], 1)
            if features is None:
                features = near
            else:
                features = torch.lerp(features, near, clamp(visibility, 0.0, 1.0))
        assert features is not None
        return features


def _size(band: Band) -> tuple[int, int]:
    """Rows and columns of the views of a band."""
    header = band.header
    return len(band.rows), level_shape((header.height, header.width), band.level)[1]
