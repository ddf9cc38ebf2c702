# SPDX-License-Identifier: MIT
"""The canonical scene in torch: the differentiable float twins of the parts in sanrcodec.scene.

Each part has the name of its integer form, in the same order; those of views are in views.py. Must
not quantize, nor know of rates.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sanrcodec.arithmetic.dense import LEAK_BITS
from sanrcodec.bitstream.grids import GEOMETRY, LATENT_MAX, level_shape
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.encoder.functions import clamp_inward, dense, upsample_axis
from sanrcodec.encoder.parameters import Planes
from sanrcodec.encoder.part import FloatWeights, Part
from sanrcodec.encoder.warp import half_samples
from sanrcodec.scene import color_filter, pyramid, trunk, warp

__all__ = ["ColorFilter", "FloatScene", "Pyramid", "Scene", "Trunk", "layer_of"]

_LEAK = 2.0**-LEAK_BITS
# A pair of filters: a quarter to either side.
_QUARTER_TAPS = (
    (*(t / 128 for t in reversed(pyramid.UPSAMPLING_TAPS)), 0.0),
    (0.0, *(t / 128 for t in pyramid.UPSAMPLING_TAPS)),
)


class Pyramid(Part):
    """Twin of :class:`sanrcodec.scene.pyramid.Pyramid`, of several layers at once.

    Args:
        header: Stream header.
        name: ``texture`` or ``geometry``.
    """

    def __init__(self, header: StreamHeader, name: str) -> None:
        super().__init__()
        twin = pyramid.Pyramid.of(header, name)
        self.canvas, self.first, self.n_levels = twin.canvas, twin.first, twin.n_levels
        self.groups = [GEOMETRY] if name == "geometry" else list(range(header.n_textures))

    def forward(self, planes: Planes) -> Tensor:
        """All levels on the canvas: ``[n_layers, n_levels, Hc, Wc]``."""
        stack: Tensor | None = None
        for level in range(self.first + self.n_levels - 1, -1, -1):
            shape = level_shape(self.canvas, level)
            if stack is not None:
                for axis in (-2, -1):
                    stack = upsample_axis(stack, _QUARTER_TAPS, axis, 4, shape[axis])
            if level >= self.first:
                # A layer's latents are differences to the layer in front.
                shared = [planes[self.groups[0], level]]
                for group in self.groups[1:]:
                    own = planes.get((group, level))
                    front = shared[-1]
                    if own is not None:
                        front = (front + own).clamp(-LATENT_MAX, LATENT_MAX)
                    shared.append(front)
                plane = torch.stack(shared)[:, None]
                stack = plane if stack is None else torch.cat([stack, plane], 1)
        assert stack is not None
        return stack


class Trunk(Part):
    """Twin of :class:`sanrcodec.scene.trunk.Trunk`, after its pyramid.

    Args:
        header: Stream header.
        name: ``texture`` or ``geometry``.
    """

    def __init__(self, header: StreamHeader, name: str) -> None:
        super().__init__()
        self.name, self.attention = name, header.attention

    def forward(self, x: Tensor, weights: FloatWeights) -> Tensor:
        """``[n, n_in, Hc, Wc]`` upsampled latents -> ``[n, n_out, Hc * Wc]``."""
        name = self.name
        x = x.flatten(2) * 2.0**-trunk.LATENT_SHIFT
        if self.attention:
            gate = dense(*layer_of(weights, f"{name}.attention"), x)
            x = x * clamp_inward(1 + gate, 0.0, 1.0)
        weight, bias = layer_of(weights, f"{name}.output")
        if f"{name}.hidden.weight" not in weights:
            return dense(weight, bias, x)
        hidden = F.leaky_relu(dense(*layer_of(weights, f"{name}.hidden"), x), _LEAK, inplace=True)
        # Instead of one product with both, which would copy them side by side.
        of_x, of_hidden = weight.tensor_split([x.shape[1]], 1)
        return dense(of_hidden, dense(of_x, bias, x), hidden)


class ColorFilter(Part):
    """Twin of :class:`sanrcodec.scene.color_filter.ColorFilter`.

    Args:
        header: Stream header.
    """

    def __init__(self, header: StreamHeader) -> None:
        super().__init__()
        self.n_colors, self.n_hidden = header.channels, header.filter_hidden
        self.border = [color_filter.REACH] * 4

    def forward(self, features: Tensor, weights: FloatWeights) -> Tensor:
        """Correct ``[n, F, Hc, Wc]``."""
        n = self.n_colors
        padded = F.pad(features, self.border, mode="replicate")
        linear = weights["color_filter.linear"]
        if self.n_hidden:
            # Hidden units and linear part share their inputs, hence one convolution.
            first = torch.cat([linear, weights["color_filter.hidden.weight"]])
            bias = F.pad(weights["color_filter.hidden.bias"], (n, 0))
            linear, hidden = F.conv2d(padded, first, bias).tensor_split([n], 1)
            hidden = F.pad(F.leaky_relu(hidden, _LEAK), self.border, mode="replicate")
            correction = linear + F.conv2d(hidden, weights["color_filter.output"])
        else:
            correction = F.conv2d(padded, linear)
        colors, others = features.tensor_split([n], 1)
        return torch.cat([colors + correction, others], 1)


class FloatScene(NamedTuple):
    """A canonical scene.

    Attributes:
        textures: ``[n_textures, F (+ 1 visibility), Hc, Wc]``, doubled where there is geometry.
        disparities: ``[L, Hc, Wc]`` in pixels per view; None without geometry.
    """

    textures: Tensor
    disparities: Tensor | None


class Scene(Part):
    """Twin of :class:`sanrcodec.scene.scene.Scene` up to its layers.

    Args:
        header: Stream header.
    """

    def __init__(self, header: StreamHeader) -> None:
        super().__init__()
        self.header = header
        self.pyramid, self.trunk = Pyramid(header, "texture"), Trunk(header, "texture")
        self.color_filter = ColorFilter(header)
        self.geometry_pyramid = Pyramid(header, "geometry")
        self.geometry_trunk = Trunk(header, "geometry")

    def forward(self, planes: Planes, weights: FloatWeights) -> FloatScene:
        """The scene of quantized latents and weights."""
        header = self.header
        features = self.trunk(self.pyramid(planes), weights)
        features = features.reshape(header.n_textures, header.features, *header.canvas)
        if header.color_filter:
            features = self.color_filter(features, weights)
        if not header.layers:
            return FloatScene(features, None)
        geometry = self.geometry_trunk(self.geometry_pyramid(planes), weights)[0]
        geometry = geometry.reshape(-1, *header.canvas)
        disparities = geometry[: header.layers] * warp.DISPARITY_GAIN
        if header.layers > 1:
            visibility = clamp_inward(geometry[header.layers :] + 0.5, 0.0, 1.0)
            visibility = torch.cat([visibility, torch.ones_like(visibility[:1])])
            features = torch.cat([features, visibility[:, None]], 1)
        return FloatScene(half_samples(features), disparities)


def layer_of(weights: FloatWeights, name: str) -> tuple[Tensor, Tensor]:
    """Weights ``[n_out, n_in]`` and bias ``[n_out, 1]`` of a dense layer."""
    return weights[f"{name}.weight"], weights[f"{name}.bias"][:, None]
