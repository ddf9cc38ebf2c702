# SPDX-License-Identifier: MIT
"""The canonical scene in torch: the differentiable float twins of the parts in sanrcodec.scene.

Each part has the name of its integer form, in the same order; those of views are in views.py. All
of it can be computed for some rows of the canvas alone. Must not quantize, nor know of rates.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sanrcodec.arithmetic.dense import LEAK_BITS
from sanrcodec.bitstream.grids import GEOMETRY, LATENT_MAX, SLOPES, level_shape
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.encoder.functions import clamp, clamp_inward, dense, smooth_axis, upsample_axis
from sanrcodec.encoder.parameters import Planes
from sanrcodec.encoder.part import FloatWeights, Part
from sanrcodec.encoder.warp import HALF_AFTER, HALF_BEFORE, half_samples
from sanrcodec.scene import color_filter, pyramid, trunk, warp

__all__ = ["ColorFilter", "FloatScene", "Pyramid", "Scene", "Trunk", "layer_of"]

_LEAK = 2.0**-LEAK_BITS
# A pair of filters: a quarter to either side.
_QUARTER_TAPS = (
    (*(t / 128 for t in reversed(pyramid.UPSAMPLING_TAPS)), 0.0),
    (0.0, *(t / 128 for t in pyramid.UPSAMPLING_TAPS)),
)
_QUARTER_REACH = len(pyramid.UPSAMPLING_TAPS) // 2  # samples to either side
_SMOOTHING_TAPS = tuple(t / 256 for t in pyramid.SMOOTHING_TAPS)


class Pyramid(Part):
    """Twin of :class:`sanrcodec.scene.pyramid.Pyramid`, of several layers at once.

    Args:
        header: Stream header.
        name: ``texture``, ``geometry`` or ``slope``.
        level: Of the canvas. Finer latents are taken to be zero, as they are at the start of a fit.
    """

    def __init__(self, header: StreamHeader, name: str, level: int = 0) -> None:
        super().__init__()
        self.level = level
        twin = pyramid.Pyramid.of(header, name)
        self.canvas, self.first, self.n_levels = twin.canvas, twin.first, twin.n_levels
        groups = {"texture": range(header.n_textures), "geometry": [GEOMETRY], "slope": SLOPES}
        self.groups = list(groups[name])
        # A layer's texture latents are differences to those of the layer in front.
        self.cumulative = name == "texture"

    def forward(self, planes: Planes, rows: range | None = None) -> Tensor:
        """All levels, on some rows of the canvas: ``[n_layers, n_levels, len(rows), Wc]``."""
        height = level_shape(self.canvas, self.level)[0]
        rows = range(height) if rows is None else rows
        reach = len(_SMOOTHING_TAPS) - 1 if self.level else 0
        windows = {self.level: _widened(rows, reach, reach, height)}
        for level in range(self.level + 1, self.first + self.n_levels):
            below, height = windows[level - 1], level_shape(self.canvas, level)[0]
            coarse = range(below.start // 2, (below.stop + 1) // 2)
            windows[level] = _widened(coarse, _QUARTER_REACH, _QUARTER_REACH, height)
        stack: Tensor | None = None
        for level in range(self.first + self.n_levels - 1, self.level - 1, -1):
            window, width = windows[level], level_shape(self.canvas, level)[1]
            if stack is not None:
                first = window.start - 2 * windows[level + 1].start
                reach = _QUARTER_REACH
                stack = upsample_axis(stack, _QUARTER_TAPS, -2, reach, len(window), first)
                stack = upsample_axis(stack, _QUARTER_TAPS, -1, reach, width)
            if level >= self.first:
                layers: list[Tensor] = []
                for group in self.groups:
                    if (group, level) not in planes:  # nothing new behind the front layer
                        layers.append(layers[-1])
                        continue
                    own = _of_rows(planes[group, level], window)
                    if layers and self.cumulative:
                        own = clamp(layers[-1] + own, -LATENT_MAX, LATENT_MAX)
                    layers.append(own)
                plane = torch.stack(layers)[:, None]
                stack = plane if stack is None else torch.cat([stack, plane], 1)
        assert stack is not None
        if self.level:
            for axis in (-2, -1):
                stack = smooth_axis(stack, _SMOOTHING_TAPS, axis)
            stack = _of_rows(stack, _within(rows, windows[self.level]))
            stack = F.pad(stack, (0, 0, 0, 0, 0, self.n_levels - stack.shape[1]))
        return stack


class Trunk(Part):
    """Twin of :class:`sanrcodec.scene.trunk.Trunk`, after its pyramid.

    Args:
        header: Stream header.
        name: ``texture``, ``geometry`` or ``slope``.
    """

    def __init__(self, header: StreamHeader, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor, weights: FloatWeights) -> Tensor:
        """``[n, n_in, H, Wc]`` upsampled latents -> ``[n, n_out, H * Wc]``."""
        name = self.name
        x = x.flatten(2) * 2.0**-trunk.LATENT_SHIFT
        if f"{name}.attention.weight" in weights:
            gate = dense(*layer_of(weights, f"{name}.attention"), x)
            x = x * clamp_inward(1 + gate, 0.0, 1.0)
        weight, bias = layer_of(weights, f"{name}.output")
        if f"{name}.hidden.weight" not in weights:
            return dense(weight, bias, x)
        hidden = F.leaky_relu(dense(*layer_of(weights, f"{name}.hidden"), x), _LEAK, inplace=True)
        # Instead of one product with both, which would copy them side by side.
        of_x, of_hidden = weight.split([x.shape[1], hidden.shape[1]], 1)
        return dense(of_hidden, dense(of_x, bias, x), hidden)


class ColorFilter(Part):
    """Twin of :class:`sanrcodec.scene.color_filter.ColorFilter`.

    Args:
        header: Stream header.
        level: Of the canvas. That of a smaller one sees single pixels, with its taps summed.
    """

    def __init__(self, header: StreamHeader, level: int = 0) -> None:
        super().__init__()
        self.n_colors, self.n_hidden, self.level = header.channels, header.filter_hidden, level
        border = 0 if level else color_filter.REACH
        self.border = [border] * 4
        # Pixels to either side that a corrected one depends on.
        self.reach = (2 if self.n_hidden else 1) * border

    def forward(self, features: Tensor, weights: FloatWeights) -> Tensor:
        """Correct ``[n, F, H, Wc]``."""
        n = self.n_colors
        padded = F.pad(features, self.border, mode="replicate")
        linear = self._taps(weights, "linear")
        if self.n_hidden:
            # Hidden units and linear part share their inputs, hence one convolution.
            first = torch.cat([linear, self._taps(weights, "hidden.weight")])
            bias = F.pad(weights["color_filter.hidden.bias"], (n, 0))
            found = F.conv2d(padded, first, bias)
            linear, hidden = found.split([n, self.n_hidden], 1)
            hidden = F.pad(F.leaky_relu(hidden, _LEAK), self.border, mode="replicate")
            correction = linear + F.conv2d(hidden, self._taps(weights, "output"))
        else:
            correction = F.conv2d(padded, linear)
        colors, others = features.split([n, features.shape[1] - n], 1)
        return torch.cat([colors + correction, others], 1)

    def _taps(self, weights: FloatWeights, name: str) -> Tensor:
        taps = weights[f"color_filter.{name}"]
        return taps.sum((2, 3), keepdim=True) if self.level else taps


class FloatScene(NamedTuple):
    """A canonical scene.

    Attributes:
        textures: ``[n_textures, F (+ 1 visibility), Hc, Wc]``, doubled where there is geometry.
        disparities: ``[L, Hc, Wc]`` in pixels of whole views per view; None without geometry. Of
            some rows both have those rows only.
        slopes: ``[2 C, 2 Hc, 2 Wc]`` of the front layer's colors along y, then along x, doubled;
            None where there are none.
    """

    textures: Tensor
    disparities: Tensor | None
    slopes: Tensor | None = None


class Scene(Part):
    """Twin of :class:`sanrcodec.scene.scene.Scene` up to its layers.

    Args:
        header: Stream header.
        level: Of the canvas.
    """

    def __init__(self, header: StreamHeader, level: int = 0) -> None:
        super().__init__()
        self.header, self.canvas = header, level_shape(header.canvas, level)
        self.pyramid, self.trunk = Pyramid(header, "texture", level), Trunk(header, "texture")
        self.color_filter = ColorFilter(header, level)
        self.geometry_pyramid = Pyramid(header, "geometry", level)
        self.geometry_trunk = Trunk(header, "geometry")
        if header.has_slopes:
            self.slope_pyramid = Pyramid(header, "slope", level)
            self.slope_trunk = Trunk(header, "slope")

    def forward(
        self, planes: Planes, weights: FloatWeights, rows: range | None = None
    ) -> FloatScene:
        """The scene of quantized latents and weights, or some rows of it."""
        header, (height, width) = self.header, self.canvas
        rows = range(height) if rows is None else rows
        # What the steps behind look at is computed as well. Rows beyond that are missing, hence
        # wrong at the edge of what is computed, and nothing looks at them.
        wide = _widened(rows, HALF_BEFORE, HALF_AFTER, height) if header.layers else rows
        reach = self.color_filter.reach if header.color_filter else 0
        filtered = _widened(wide, reach, reach, height)
        features = self.trunk(self.pyramid(planes, filtered), weights)
        features = features.reshape(header.n_textures, header.features, len(filtered), width)
        if header.color_filter:
            features = self.color_filter(features, weights)
            features = _of_rows(features, _within(wide, filtered))
        if not header.layers:
            return FloatScene(features, None)
        geometry = self.geometry_trunk(self.geometry_pyramid(planes, wide), weights)
        geometry = geometry.reshape(-1, len(wide), width)
        disparities, visibility = geometry.split([header.layers, header.layers - 1])
        kept = _within(rows, wide)
        disparities = _of_rows(disparities, kept) * warp.DISPARITY_GAIN
        if header.layers > 1:
            visibility = clamp_inward(visibility + 0.5, 0.0, 1.0)
            visibility = torch.cat([visibility, torch.ones_like(visibility[:1])])
            features = torch.cat([features, visibility[:, None]], 1)
        slopes = None
        if header.has_slopes:
            found = self.slope_trunk(self.slope_pyramid(planes, wide), weights)
            slopes = half_samples(found.reshape(-1, len(wide), width), kept)
        return FloatScene(half_samples(features, kept), disparities, slopes)


def _widened(rows: range, before: int, after: int, height: int) -> range:
    """More rows to either side, as far as there are any."""
    return range(max(0, rows.start - before), min(height, rows.stop + after))


def _within(rows: range, window: range) -> range:
    """Rows, counted from the start of a window."""
    return range(rows.start - window.start, rows.stop - window.start)


def _of_rows(x: Tensor, rows: range) -> Tensor:
    """Some rows of ``[..., H, W]``; all of them are ``x`` itself, whose gradient is no copy."""
    return x if len(rows) == x.shape[-2] else x.narrow(-2, rows.start, len(rows))


def layer_of(weights: FloatWeights, name: str) -> tuple[Tensor, Tensor]:
    """Weights ``[n_out, n_in]`` and bias ``[n_out, 1]`` of a dense layer."""
    return weights[f"{name}.weight"], weights[f"{name}.bias"][:, None]
