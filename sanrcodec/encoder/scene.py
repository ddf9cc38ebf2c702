# SPDX-License-Identifier: MIT
"""The canonical scene in torch: the differentiable float twins of the parts in sanrcodec.scene.

Each part has the name of its integer form, in the same order; those of views are in views.py. All
of it can be computed for some rows of the canvas alone. Must not quantize, nor know of rates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sanrcodec.arithmetic.dense import LEAK_BITS
from sanrcodec.bitstream.grids import GEOMETRY, LATENT_MAX, SLOPES, level_shape
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.encoder.bands import of_rows, rows_of_each, widened, within
from sanrcodec.encoder.functions import clamp, clamp_inward, dense, smooth_axis, upsample_axis
from sanrcodec.encoder.kernels import runs_on
from sanrcodec.encoder.parameters import Planes
from sanrcodec.encoder.part import FloatWeights, Part
from sanrcodec.encoder.warp import HALF_AFTER, HALF_BEFORE, half_samples
from sanrcodec.scene import color_filter, pyramid, trunk, warp

__all__ = ["ColorFilter", "FloatScene", "Known", "Pyramids", "Scene", "Trunk", "layer_of"]

T = TypeVar("T")

_LEAK = 2.0**-LEAK_BITS
# A pair of filters: a quarter to either side.
_QUARTER_TAPS = (
    (*(t / 128 for t in reversed(pyramid.UPSAMPLING_TAPS)), 0.0),
    (0.0, *(t / 128 for t in pyramid.UPSAMPLING_TAPS)),
)
_QUARTER_REACH = len(pyramid.UPSAMPLING_TAPS) // 2  # samples to either side
_MAX_WEIGHTS = 96  # of a tap of the color filter: a kernel has their gradients in registers
# By the group of a tensor, the parts of a scene that follow from it.
_BEHIND = {
    "texture": ("texture", "color_filter", "scene"),
    "color_filter": ("color_filter", "scene"),
    "geometry": ("geometry", "scene"),
    "slope": ("slope", "scene"),
}
_SMOOTHING_TAPS = tuple(t / 256 for t in pyramid.SMOOTHING_TAPS)


class Pyramids(Part):
    """Twins of :class:`sanrcodec.scene.pyramid.Pyramid`, of all layers of all trunks at once.

    Args:
        header: Stream header.
        level: Of the canvas. Finer latents are taken to be zero, as they are at the start of a fit.
    """

    def __init__(self, header: StreamHeader, level: int = 0) -> None:
        super().__init__()
        self.level, self.canvas = level, header.canvas
        # Of each trunk the groups of its layers, front to back.
        self.groups: dict[str, Sequence[int]] = {"texture": range(header.n_textures)}
        if header.layers:
            self.groups["geometry"] = [GEOMETRY]
        if header.has_slopes:
            self.groups["slope"] = SLOPES
        twins = {name: pyramid.Pyramid.of(header, name) for name in self.groups}
        self.levels = {name: range(p.first, p.first + p.n_levels) for name, p in twins.items()}

    def forward(self, planes: Planes, rows: range | None = None) -> dict[str, Tensor]:
        """By trunk ``[n_layers, n_levels, len(rows), Wc]``: all levels on rows of the canvas."""
        rows = range(level_shape(self.canvas, self.level)[0]) if rows is None else rows
        windows = self._windows(rows)
        planes = _seen(planes, windows)
        # Of each layer what comes next to each other, coarse to fine.
        layers: dict[tuple[str, int], list[Tensor]] = {}
        for level in range(max(windows), self.level, -1):
            for name in self.groups:
                for i, plane in enumerate(self._planes(planes, name, level)):
                    layers.setdefault((name, i), []).append(plane[None])
            if level > self.level + 1:
                whole = self._doubled(layers.values(), level - 1, windows)
                parts = whole.split([sum(map(len, layer)) for layer in layers.values()])
                layers = {key: [part] for key, part in zip(layers, parts, strict=True)}
        found = {}
        # Trunk by trunk: the gradient of taking them apart is a copy, at the finest level a large
        # one.
        for name, groups in self.groups.items():
            stacks = []
            if own := [layer for key, layer in layers.items() if key[0] == name]:
                whole = self._doubled(own, self.level, windows)
                stacks.append(whole.unflatten(0, (len(groups), -1)))
            if finest := self._planes(planes, name, self.level):
                stacks.append(torch.stack(finest)[:, None])
            found[name] = stacks[0] if len(stacks) == 1 else torch.cat(stacks, 1)
            if self.level:
                for axis in (-2, -1):
                    found[name] = smooth_axis(found[name], _SMOOTHING_TAPS, axis)
                smooth = of_rows(found[name], within(rows, windows[self.level]))
                n_zero = len(self.levels[name]) - smooth.shape[1]
                found[name] = F.pad(smooth, (0, 0, 0, 0, 0, n_zero))
        return found

    def _windows(self, rows: range) -> dict[int, range]:
        """Rows of each level that some rows of the canvas depend on."""
        reach = len(_SMOOTHING_TAPS) - 1 if self.level else 0
        windows = {}
        for level in range(self.level, max(levels.stop for levels in self.levels.values())):
            windows[level] = widened(rows, reach, reach, level_shape(self.canvas, level)[0])
            below, reach = windows[level], _QUARTER_REACH
            rows = range(below.start // 2, (below.stop + 1) // 2)
        return windows

    def _planes(self, planes: Planes, name: str, level: int) -> list[Tensor]:
        """The latents of a trunk's layers at a level, if it has that."""
        if level not in self.levels[name]:
            return []
        layers: list[Tensor] = []
        for group in self.groups[name]:
            if (group, level) not in planes:  # nothing new behind the front layer
                layers.append(layers[-1])
                continue
            own = planes[group, level]
            # A layer's texture latents are differences to those of the layer in front.
            if layers and name == "texture":
                own = clamp(layers[-1] + own, -LATENT_MAX, LATENT_MAX)
            layers.append(own)
        return layers

    def _doubled(
        self, layers: Iterable[list[Tensor]], level: int, windows: dict[int, range]
    ) -> Tensor:
        """All planes of some layers ``[n, H, W]``, from the next coarser level to this one."""
        whole = torch.cat(list(chain.from_iterable(layers)))
        first = windows[level].start - 2 * windows[level + 1].start
        size = len(windows[level]), level_shape(self.canvas, level)[1]
        whole = upsample_axis(whole, _QUARTER_TAPS, -2, _QUARTER_REACH, size[0], first)
        return upsample_axis(whole, _QUARTER_TAPS, -1, _QUARTER_REACH, size[1])


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
        name, scale = self.name, 2.0**-trunk.LATENT_SHIFT
        x = x.flatten(2)
        if runs_on(x, x.shape[1], len(weights[f"{name}.output.bias"])):
            from sanrcodec.encoder.kernels.perceptron import perceptron

            attention, hidden, output = (
                (weights[f"{name}.{layer}.weight"], weights[f"{name}.{layer}.bias"])
                if f"{name}.{layer}.weight" in weights
                else None
                for layer in ("attention", "hidden", "output")
            )
            assert output is not None
            return perceptron(x, attention, hidden, output, scale, _LEAK)
        x = x * scale
        if f"{name}.attention.weight" in weights:
            gate = dense(*layer_of(weights, f"{name}.attention"), x)
            x = x * clamp_inward(1 + gate, 0.0, 1.0)
        weight, bias = layer_of(weights, f"{name}.output")
        if f"{name}.hidden.weight" not in weights:
            return dense(weight, bias, x)
        units = F.leaky_relu(dense(*layer_of(weights, f"{name}.hidden"), x), _LEAK, inplace=True)
        # Instead of one product with both, which would copy them side by side.
        of_x, of_hidden = weight.split([x.shape[1], units.shape[1]], 1)
        return dense(of_hidden, dense(of_x, bias, x), units)


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
        is_small = features.shape[1] * (n + self.n_hidden) <= _MAX_WEIGHTS
        if self.n_hidden and not self.level and is_small and runs_on(features):
            from sanrcodec.encoder.kernels.color_filter import color_filter as filtered

            names = "linear", "hidden.weight", "hidden.bias", "output"
            linear, hidden, bias, output = (weights[f"color_filter.{name}"] for name in names)
            return filtered(features, linear, hidden, bias, output, _LEAK)
        padded = F.pad(self._by_pixels(features), self.border, mode="replicate")
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
        return torch.cat([colors + correction.contiguous(), others], 1)

    def _taps(self, weights: FloatWeights, name: str) -> Tensor:
        taps = weights[f"color_filter.{name}"]
        return taps.sum((2, 3), keepdim=True) if self.level else self._by_pixels(taps)

    def _by_pixels(self, x: Tensor) -> Tensor:
        """The same ``[n, C, H, W]``, with all channels of a pixel side by side.

        So a CPU takes half the time for convolutions of more than single pixels.
        """
        return x if self.level or x.is_cuda else x.contiguous(memory_format=torch.channels_last)


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


class Known:
    """What parts of a scene have given, for weights that change one tensor at a time.

    Attributes:
        found: By the name of a part, which is that of its tensors; ``scene`` is the whole.
    """

    def __init__(self, found: dict[str, Any] | None = None) -> None:
        self.found = found or {}

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What a part has given, or gives now."""
        if name not in self.found:
            self.found[name] = make()
        result: T = self.found[name]
        return result

    def without(self, group: str) -> Known:
        """What stays true when a tensor of a group changes."""
        behind = _BEHIND.get(group, ())
        return Known({name: x for name, x in self.found.items() if name not in behind})


class Scene(Part):
    """Twin of :class:`sanrcodec.scene.scene.Scene` up to its layers.

    Args:
        header: Stream header.
        level: Of the canvas.
    """

    def __init__(self, header: StreamHeader, level: int = 0) -> None:
        super().__init__()
        self.header, self.canvas = header, level_shape(header.canvas, level)
        self.pyramids = Pyramids(header, level)
        self.trunk = Trunk(header, "texture")
        self.color_filter = ColorFilter(header, level)
        self.geometry_trunk = Trunk(header, "geometry")
        if header.has_slopes:
            self.slope_trunk = Trunk(header, "slope")

    def forward(
        self,
        planes: Planes,
        weights: FloatWeights,
        rows: range | None = None,
        known: Known | None = None,
    ) -> FloatScene:
        """The scene of quantized latents and weights, or some rows of it.

        Args:
            planes: Quantized latents.
            weights: Real weights per tensor.
            rows: Of the canvas.
            known: What an earlier call with the same latents and rows has found.
        """
        header, (height, width) = self.header, self.canvas
        known = Known() if known is None else known
        rows = range(height) if rows is None else rows
        # What the steps behind look at is computed as well. Rows beyond that are missing, hence
        # wrong at the edge of what is computed, and nothing looks at them.
        wide = widened(rows, HALF_BEFORE, HALF_AFTER, height) if header.layers else rows
        reach = self.color_filter.reach if header.color_filter else 0
        filtered = widened(wide, reach, reach, height)
        inner = within(wide, filtered)
        upsampled = known.once("pyramids", lambda: self.pyramids(planes, filtered))
        features = known.once("texture", lambda: self.trunk(upsampled["texture"], weights))
        features = features.reshape(header.n_textures, header.features, len(filtered), width)
        if header.color_filter:
            uncorrected = features
            features = known.once("color_filter", lambda: self.color_filter(uncorrected, weights))
            features = of_rows(features, inner)
        if not header.layers:
            return FloatScene(features, None)
        geometry = known.once(
            "geometry",
            lambda: self.geometry_trunk(of_rows(upsampled["geometry"], inner), weights),
        )
        geometry = geometry.reshape(-1, len(wide), width)
        disparities, visibility = geometry.split([header.layers, header.layers - 1])
        kept = within(rows, wide)
        disparities = of_rows(disparities, kept) * warp.DISPARITY_GAIN
        if header.layers > 1:
            visibility = clamp_inward(visibility + 0.5, 0.0, 1.0)
            visibility = torch.cat([visibility, torch.ones_like(visibility[:1])])
            features = torch.cat([features, visibility[:, None]], 1)
        slopes = None
        if header.has_slopes:
            found = known.once(
                "slope", lambda: self.slope_trunk(of_rows(upsampled["slope"], inner), weights)
            )
            slopes = half_samples(found.reshape(-1, len(wide), width), kept)
        return FloatScene(half_samples(features, kept), disparities, slopes)


def _seen(planes: Planes, windows: dict[int, range]) -> Planes:
    """The rows of latents that some rows of the canvas depend on, at the levels that have any."""
    own = {key: plane for key, plane in planes.items() if key[1] in windows}
    rows = [windows[level] for _, level in own]
    return dict(zip(own, rows_of_each(list(own.values()), rows), strict=True))


def layer_of(weights: FloatWeights, name: str) -> tuple[Tensor, Tensor]:
    """Weights ``[n_out, n_in]`` and bias ``[n_out, 1]`` of a dense layer."""
    return weights[f"{name}.weight"], weights[f"{name}.bias"][:, None]
