# SPDX-License-Identifier: MIT
"""Integers -> canonical scene -> views, in exact integer arithmetic carried by floats.

The latents are upsampled scale by scale, fused, and turned by the trunks into layers of features
and disparities on the canonical canvas; a view samples every layer along its disparity, composites
front to back, and lets a small MLP correct the colour. Written against the few operations of
:class:`~sanrcodec.fixedpoint.NumpyOps`, so that another array library gives the same integers.
Must not contain an operation that rounds. See format_spec.md sections 7 and 8.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sanrcodec import modelspec
from sanrcodec.fixedpoint import Dense, NumpyOps, leaky_relu, round_shift
from sanrcodec.header import StreamHeader
from sanrcodec.modelspec import LATENT_MAX
from sanrcodec.weights import Weights

__all__ = ["Scene", "finest_level", "least_around"]

LATENT_BITS = 7  # fraction bits of an upsampled latent in latent steps
_LATENT_MAX_Q = 65535
LATENT_SHIFT = 4  # one latent step is 2**-4 at the trunk's input
_HIDDEN_BITS = LATENT_BITS + LATENT_SHIFT  # inside a trunk, its inputs included
_HIDDEN_MAX = 65535
FEATURE_BITS = 12
_FEATURE_MAX = 32767
ALPHA_ONE = 1 << FEATURE_BITS
DISPARITY_GAIN = 8  # the geometry trunk's outputs are eighths of the disparity
# Fraction bits of a disparity in pixels per view: those eighths as they are.
DISPARITY_BITS = FEATURE_BITS - 3
_DISPARITY_MAX = 32767
ANGULAR_BITS = 8
POSITION_BITS = 5  # fraction bits of a sampling position in canvas pixels
N_DISPARITY_STEPS = 3  # of the search for a position, after one to the nearest disparity
# Doubles a latent plane along one axis, in 1/128: the sample a quarter to the right of the fourth
# tap, mirrored the one to its left. As fits of single pictures learned it: smoother than
# interpolation, since it also spreads the noise of quantization.
UPSAMPLING_TAPS = (8, 8, -3, 73, 30, -2, 10, 4)
# What doubling does to the means of the pairs it makes, in 1/256, by distance: the mean of both
# filters. Smaller views, which double less often, would be too sharp without it.
SMOOTHING_TAPS = (146, 27, 6, 18, 4)
# Half-sample interpolation filter of HEVC (ITU-T H.265, 8.5.3.3.3), in 1/64.
HALF_SAMPLE_TAPS = (-1, 4, -11, 40, 40, -11, 4, -1)
# BT.709 YCbCr (full range) to RGB, in 2**-12: rows R, G, B; columns Y, Cb, Cr.
_RGB_FROM_YCC_Q12 = ((4096, 0, 6450), (4096, -767, -1917), (4096, 7601, 0))
# Positions are found for so many blocks at once: their few integers per pixel fill a cache later.
_POSITION_BLOCKS = 4
_HALF = 1 << (POSITION_BITS - 1)  # half a canvas pixel: what whole and half samples are apart


# Angular offsets v, u (Q8 views), shifts y, x (1/32 pixel) and colour offset (Q12) of a view.
Pose = tuple[int, int, int, int, int]


def finest_level(level: int) -> int:
    """Finest level of the grids that a scene of a level is made from.

    Grids somewhat finer than the canvas are averaged to its size: the means of their latents are
    not zero, and a fit relies on them.
    """
    return level // 2


class Scene:
    """A decoded scene, from which views are synthesized.

    Planes of the canvas have their pixels along the last axis, ``[n, Hc * Wc]``, and so have blocks
    of pixels of a view. Only textures, of which single pixels are gathered, are ``[Hc * Wc, n]``.

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
        latents: list[npt.NDArray[np.int32]],
        ops: Any = NumpyOps,
        level: int = 0,
    ) -> None:
        self.header, self.ops, self.level = header, ops, level
        self._size = modelspec.level_shape((header.height, header.width), level)
        self._canvas = modelspec.level_shape(header.canvas, level)
        self._per_view = weights.get("per_view")
        self._view_layers = _view_layers(header, weights, ops)
        # The peak is folded into the colour matrix, and so is its shift.
        self._peak = (1 << header.bit_depth) - 1
        if header.channels == 3:
            matrix = np.array(_RGB_FROM_YCC_Q12) * (self._peak * 2.0 ** (-2 * FEATURE_BITS))
        else:
            matrix = np.array([[self._peak * 2.0**-FEATURE_BITS]])
        self._colour_matrix = ops.asarray(matrix, ops.float64)
        by_group: dict[int, list[npt.NDArray[np.int32]]] = {
            group: [] for group in (*range(header.n_textures), modelspec.GEOMETRY)
        }
        for grid in modelspec.grids(header):
            if grid.level >= finest_level(level):
                by_group[grid.group].append(latents[grid.index])
        # What a layer hides costs bits, what it shares with the layer in front does not.
        stacks = [by_group[0]]
        for i in range(1, header.n_textures):
            stack = list(stacks[-1])
            for k, plane in enumerate(by_group[i]):
                stack[k] = np.clip(stack[k] + plane, -LATENT_MAX, LATENT_MAX)
            stacks.append(stack)

        trunk = _Trunk(header, weights, "texture", header.features, ops, level)
        correct: Any = None
        if header.color_filter:
            correct = _ColorFilter(header, weights, self._canvas, ops, level)

        def texture(stack: list[npt.NDArray[np.int32]]) -> Any:
            features = trunk(stack)
            return correct(features) if correct else features

        if not header.layers:
            self._features = ops.cast(texture(stacks[0]), ops.int16)
            return
        n_geometry = 2 * header.layers - 1
        geometry = _Trunk(header, weights, "geometry", n_geometry, ops, level)
        planes = geometry(by_group[modelspec.GEOMETRY])
        disparity = ops.clip(planes[: header.layers], -_DISPARITY_MAX, _DISPARITY_MAX)
        self._disparity = ops.cast(disparity, ops.int32)
        # Where the search for a position starts: where a pixel could see two places, it sees the
        # nearer one.
        reach = -(-header.margin_y >> level), -(-header.margin_x >> level)
        self._nearest = [
            least_around(d.reshape(self._canvas), reach, ops).reshape(-1) for d in self._disparity
        ]
        alpha = ops.clip(planes[header.layers :] + ALPHA_ONE // 2, 0, ALPHA_ONE)
        # Rows of 2, 4, 8, ... values: numpy gathers such rows several times faster.
        n_lanes = 1 << header.features.bit_length()
        self._texture: list[list[Any]] = []
        for i, stack in enumerate(stacks):
            lanes = ops.zeros((math.prod(self._canvas), n_lanes), ops.int16)
            lanes[:, : header.features] = texture(stack).T
            if i < len(alpha):
                lanes[:, header.features] = alpha[i]
            self._texture.append(_half_samples(lanes.reshape(*self._canvas, n_lanes), ops))
        self._weights = _bilinear_weights(n_lanes, ops)

    def render(self, v: float, u: float, region: tuple[int, int, int, int] | None = None) -> Any:
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
        dtype = ops.uint8 if header.bit_depth == 8 else ops.int32
        samples = ops.zeros((y1 - y0, x1 - x0, header.channels), dtype)
        pose = self._pose(v, u)
        width = x1 - x0
        step = max(1, ops.block_pixels // width)
        for first in range(y0, y1, _POSITION_BLOCKS * step):
            last = min(first + _POSITION_BLOCKS * step, y1)
            positions = self._positions(pose, first, last, x0, x1)
            for start in range(first, last, step):
                stop = min(start + step, last)
                if header.layers:
                    pixels = slice((start - first) * width, (stop - first) * width)
                    features = self._composite(positions[:, :, pixels])
                else:
                    features = self._cut(start, stop, x0, x1)
                block = self._colour(pose, features, start, stop, x0, x1)
                samples[start - y0 : stop - y0] = block.T.reshape(stop - start, width, -1)
        return samples

    def _pose(self, v: float, u: float) -> Pose:
        """Place of a view among the others."""
        header = self.header
        one = 1 << ANGULAR_BITS
        v_q, u_q = round(v * one), round(u * one)
        extra = np.zeros(5, np.int64)
        if self._per_view is not None:
            # Between views the corrections are interpolated.
            v0, u0 = min(v_q >> 8, max(header.n_v - 2, 0)), min(u_q >> 8, max(header.n_u - 2, 0))
            fv, fu = v_q - (v0 << 8), u_q - (u0 << 8)
            for i, wv in ((0, one - fv), (1, fv)):
                for j, wu in ((0, one - fu), (1, fu)):
                    if wv and wu:
                        extra += (
                            wv
                            * wu
                            * self._per_view[(v0 + i) * header.n_u + u0 + j].astype(np.int64)
                        )
            extra = (extra + (one * one >> 1)) >> (2 * ANGULAR_BITS)
        a_v = v_q - (header.n_v - 1) * one // 2
        a_u = u_q - (header.n_u - 1) * one // 2
        if header.mirrored:
            a_u = -a_u
        if header.reversed:
            a_v, a_u = -a_v, -a_u
        a_v, a_u = a_v + int(extra[0]), a_u + int(extra[1])
        return a_v, a_u, int(extra[2]), int(extra[3]), int(extra[4]) << 2

    def _positions(self, pose: Pose, y0: int, y1: int, x0: int, x1: int) -> Any:
        """Find where the pixels of a block see each layer: fixed point of ``q = p - a * d(q)``.

        From the nearest disparity around, so that of two fixed points the nearer one is found.

        Returns:
            int32 ``[layers, 5, n]``: number of the bilinear weights, then of the sample of each
            kind. Empty without geometry.
        """
        ops, header, (height, width) = self.ops, self.header, self._canvas
        a_v, a_u, shift_y, shift_x, _ = pose
        base_y = (ops.arange(y0, y1) << POSITION_BITS) + self._origin(header.margin_y, shift_y)
        base_x = (ops.arange(x0, x1) << POSITION_BITS) + self._origin(header.margin_x, shift_x)
        base_y = base_y[:, None]
        shift = ANGULAR_BITS + DISPARITY_BITS - POSITION_BITS + self.level
        out = ops.zeros((header.layers, 5, (y1 - y0) * (x1 - x0)), ops.int32)
        for layer in range(header.layers):
            q_y, q_x = base_y, base_x
            for disparity in (self._nearest[layer], *N_DISPARITY_STEPS * [self._disparity[layer]]):
                row = ops.clip((q_y + _HALF) >> POSITION_BITS, 0, height - 1)
                column = ops.clip((q_x + _HALF) >> POSITION_BITS, 0, width - 1)
                d = ops.take(disparity, row * width + column)
                q_y, q_x = _displaced(base_y, d, a_v, shift), _displaced(base_x, d, a_u, shift)
            q_y = ops.clip(q_y, 0, (height - 1) << POSITION_BITS, out=q_y).reshape(-1)
            q_x = ops.clip(q_x, 0, (width - 1) << POSITION_BITS, out=q_x).reshape(-1)
            # Of the four samples around a position, one is of each kind: whole or half in y and x.
            whole_y, whole_x = (q_y + _HALF) >> POSITION_BITS, (q_x + _HALF) >> POSITION_BITS
            f_y = abs(q_y - (whole_y << POSITION_BITS))
            f_x = abs(q_x - (whole_x << POSITION_BITS))
            out[layer, 0] = f_y * (_HALF + 1) + f_x
            whole_y *= width
            half_y = (q_y >> POSITION_BITS) * width
            half_x = q_x >> POSITION_BITS
            out[layer, 1] = whole_y + whole_x
            out[layer, 2] = whole_y + half_x
            out[layer, 3] = half_y + whole_x
            out[layer, 4] = half_y + half_x
        return out

    def _origin(self, margin: int, shift: int) -> int:
        """Canvas position, Q5, of the first pixel of a view without parallax.

        A sample of level k is the centre of ``2**k`` pixels, so that positions scale without offset
        when they are told from the edges of the first sample.
        """
        origin = (margin << POSITION_BITS) + shift
        return (origin + ((1 << self.level) >> 1)) >> self.level

    def _composite(self, positions: Any) -> Any:
        """Features, integer-valued float32 ``[features, n]``: the layers, back to front."""
        ops, n = self.ops, self.header.features
        features: Any = None
        for layer in reversed(range(self.header.layers)):
            sampled = self._sample(layer, positions[layer])
            near = sampled[:n]
            if features is None:
                features = near
            else:
                # Each nearer layer covers what is behind it with its visibility.
                alpha = round_shift(sampled[n], FEATURE_BITS - 8, ops)
                ops.clip(alpha, 0, 256, out=alpha)
                near -= features
                near *= alpha
                features += round_shift(near, 8, ops)
        return features

    def _sample(self, layer: int, positions: Any) -> Any:
        """Sample a layer, bilinear between half samples.

        Returns:
            Integer-valued float32 ``[lanes, n]``: features, visibility where the layer has one.
        """
        ops = self.ops
        total: Any = None
        for weights, texture, numbers in zip(
            self._weights, self._texture[layer], positions[1:], strict=True
        ):
            part = ops.take(weights, positions[0])
            part *= ops.take(texture, numbers)
            if total is None:
                total = part
            else:
                total += part
        total += 0.5
        total = ops.contiguous(total.T)
        return ops.floor(total, out=total)

    def _cut(self, y0: int, y1: int, x0: int, x1: int) -> Any:
        """Features, integer-valued float32 ``[features, n]``, of a block without geometry."""
        planes = self._features.reshape(-1, *self._canvas)
        top, left = (
            (2 * margin + (1 << self.level)) >> (self.level + 1)
            for margin in (self.header.margin_y, self.header.margin_x)
        )
        cut = planes[:, y0 + top : y1 + top, x0 + left : x1 + left]
        return self.ops.cast(cut, self.ops.float32).reshape(len(planes), -1)

    def _colour(self, pose: Pose, features: Any, y0: int, y1: int, x0: int, x1: int) -> Any:
        """Samples of a block, float64 ``[C, n]``, saturated.

        Their fractions, exact too, are still to be cut off, which a cast to integers does.
        """
        ops = self.ops
        colour = features[: self.header.channels]
        if self._view_layers:
            y, x = ops.arange(y0, y1)[:, None], ops.arange(x0, x1)[None, :]
            h = self._view_inputs(pose, features, y, x)
            *hidden, output = self._view_layers
            for dense in hidden:
                h = leaky_relu(dense(h), ops)
            colour = colour + output(h)
        colour = ops.cast(colour, ops.float64)
        colour[0] += pose[4]
        samples = ops.matmul(self._colour_matrix, colour)
        samples += 0.5
        return ops.clip(samples, 0, self._peak, out=samples)

    def _view_inputs(self, pose: Pose, features: Any, y: Any, x: Any) -> Any:
        """Inputs of the view MLP, integer-valued float32 ``[n_in, n]``, Q12."""
        ops, header = self.ops, self.header
        n = header.features
        h = ops.zeros((n + header.n_coordinates, features.shape[1]), ops.float32)
        ops.clip(features, -_FEATURE_MAX, _FEATURE_MAX, out=h[:n])
        span = max(header.n_v - 1, header.n_u - 1, 1)
        limit = 2 << FEATURE_BITS
        for row, a in zip(h[n:], pose[:2], strict=False):
            row[:] = max(-limit, min(limit, (a << (FEATURE_BITS - ANGULAR_BITS + 1)) // span))
        if header.spatial:
            one = 1 << FEATURE_BITS
            for row, p, size in ((h[n + 2], y, header.height), (h[n + 3], x, header.width)):
                centre = ((2 * p + 1) << (FEATURE_BITS + self.level)) // size - one
                # The last pixels of a smaller view may reach beyond the view.
                row.reshape(y.shape[0], x.shape[1])[:] = ops.clip(centre, -one, one - 1)
        return h


class _Trunk:
    """Latents of one group -> planes on the canvas; the integer twin of SceneModel._trunk."""

    def __init__(
        self, header: StreamHeader, weights: Weights, name: str, n_out: int, ops: Any, level: int
    ) -> None:
        self.header, self.level, self.ops = header, level, ops
        self.first = header.geometry_first if name == "geometry" else 0
        self.n_in = header.geometry_levels if name == "geometry" else header.texture_levels

        def dense(layer: str, **kwargs: Any) -> Dense | None:
            if f"{name}.{layer}.weight" not in weights:
                return None
            return Dense(
                weights[f"{name}.{layer}.weight"], weights[f"{name}.{layer}.bias"],
                weight_bits=7, name=f"{name}.{layer}", ops=ops, **kwargs,
            )  # fmt: skip

        one = 1 << 8
        # Hard-sigmoid gates in 0..256, here less 256; at zero weights they keep a scale as it is.
        self.attention = dense(
            "attention", in_bits=_HIDDEN_BITS, out_bits=8, in_max=_LATENT_MAX_Q, low=-one, high=0
        )
        self.hidden = dense(
            "hidden",
            in_bits=_HIDDEN_BITS,
            out_bits=_HIDDEN_BITS,
            in_max=_LATENT_MAX_Q,
            low=-_HIDDEN_MAX,
            high=_HIDDEN_MAX,
        )
        output = dense(
            "output", in_bits=_HIDDEN_BITS, out_bits=FEATURE_BITS,
            in_max=_HIDDEN_MAX, low=-_FEATURE_MAX, high=_FEATURE_MAX,
        )  # fmt: skip
        assert output is not None  # the only layer that every trunk has
        self.output, self.n_out = output, n_out

    def __call__(self, latents: list[npt.NDArray[np.int32]]) -> Any:
        """Grids coarse to fine -> integer-valued float32 ``[n_out, Hc * Wc]``, Q12."""
        ops = self.ops
        planes = [plane.reshape(-1) for plane in self._planes(latents)]
        n_pixels = math.prod(modelspec.level_shape(self.header.canvas, self.level))
        out = ops.zeros((self.n_out, n_pixels), ops.float32)
        for start in range(0, n_pixels, ops.block_pixels):
            block = slice(start, min(start + ops.block_pixels, n_pixels))
            x = ops.stack([plane[block] for plane in planes])
            if self.attention:
                gate = self.attention(x)
                gate += 256
                gate *= x
                x = round_shift(gate, 8, ops)
            if self.hidden:
                x = ops.concatenate([x, leaky_relu(self.hidden(x), ops)])
            out[:, block] = self.output(x)
        return out

    def _planes(self, latents: list[npt.NDArray[np.int32]]) -> list[Any]:
        """Bring all scales to the size of the canvas: float32 ``[Hc, Wc]``, coarse to fine, Q7.

        They are doubled level by level, or averaged if finer; those that are not given are zero.
        """
        ops = self.ops
        coarsest = self.first + self.n_in - 1
        planes: list[Any] = []
        for level in range(coarsest, self.level - 1, -1):
            shape = modelspec.level_shape(self.header.canvas, level)
            for i, plane in enumerate(planes):
                tall = _double_axis(plane, 0, ops)[: shape[0]]
                planes[i] = _double_axis(tall, 1, ops)[:, : shape[1]]
            if level >= self.first:
                latent = latents[coarsest - level]
                planes.append(ops.asarray(latent << LATENT_BITS, ops.float32))
        if self.level:
            planes = [_smooth_axis(_smooth_axis(plane, 0, ops), 1, ops) for plane in planes]
        for i in range(len(planes), len(latents)):
            shift = self.level - (coarsest - i)
            mean_q = _block_sums(latents[i], 1 << shift) << (LATENT_BITS - 2 * shift)
            planes.append(ops.asarray(mean_q, ops.float32))
        zeros = ops.zeros(modelspec.level_shape(self.header.canvas, self.level), ops.float32)
        return planes + [zeros] * (self.n_in - len(planes))


class _ColorFilter:
    """A small network on 3 x 3 pixels of all features, whose result corrects a layer's colours.

    A linear part and, where ``filter_hidden``, leaky units with 3 x 3 pixels of them once more.

    Args:
        header: Stream header.
        weights: All weights of the file.
        canvas: Size ``(Hc, Wc)``.
        ops: Array backend.
        level: As that of the scene. Smaller canvases are too smooth for the filter to see more
            than their values: its taps are summed.
    """

    def __init__(
        self, header: StreamHeader, weights: Weights, canvas: tuple[int, int], ops: Any, level: int
    ) -> None:
        self.canvas, self.ops, self.n_colors = canvas, ops, header.channels
        self.reach = 0 if level else 1

        def taps(name: str) -> npt.NDArray[np.int32]:
            weight = weights[f"color_filter.{name}"]
            if level:
                weight = weight.sum(axis=(2, 3), keepdims=True)
            return weight.reshape(len(weight), -1)

        last, self.hidden = taps("linear"), None
        if header.filter_hidden:
            bias = weights["color_filter.hidden.bias"]
            self.hidden = _feature_layer(taps("hidden.weight"), bias, "color_filter.hidden", ops)
            last = np.concatenate([last, taps("output")], axis=1)
        no_bias = np.zeros(self.n_colors, np.int32)
        self.output = _feature_layer(last, no_bias, "color_filter", ops)

    def __call__(self, features: Any) -> Any:
        """Correct ``[features, Hc * Wc]``, integer-valued float32, in place."""
        ops, (height, width), reach = self.ops, self.canvas, self.reach
        planes = features.reshape(-1, height, width)
        padded = [_padded(_padded(p, 0, reach, reach, ops), 1, reach, reach, ops) for p in planes]
        step = max(1, ops.block_pixels // width)
        for start in range(0, height, step):
            stop = min(start + step, height)
            near = self._columns(padded, start, stop)
            if self.hidden:
                # Hidden rows beyond the block, but none beyond the canvas: these are repeated.
                first, end = max(start - reach, 0), min(stop + reach, height)
                hidden = leaky_relu(self.hidden(self._columns(padded, first, end)), ops)
                repeat = reach - (start - first), reach - (end - stop)
                hidden = [
                    _padded(_padded(h, 0, *repeat, ops), 1, reach, reach, ops)
                    for h in hidden.reshape(-1, end - first, width)
                ]
                near = ops.concatenate([near, self._columns(hidden, 0, stop - start)])
            correction = self.output(near)
            colors = planes[: self.n_colors, start:stop]
            colors += correction.reshape(colors.shape)
            ops.clip(colors, -_FEATURE_MAX, _FEATURE_MAX, out=colors)
        return features

    def _columns(self, padded: list[Any], start: int, stop: int) -> Any:
        """What surrounds the pixels of some rows, plane by plane and tap by tap: ``[., n]``."""
        width, taps = self.canvas[1], range(2 * self.reach + 1)
        near = [
            plane[start + dy : stop + dy, dx : dx + width]
            for plane in padded for dy in taps for dx in taps
        ]  # fmt: skip
        return self.ops.stack(near).reshape(len(near), -1)


def _block_sums(x: npt.NDArray[np.int32], size: int) -> npt.NDArray[np.int32]:
    """Sums of ``size x size`` samples; last rows and columns are repeated to fill a block."""
    height, width = (-(-n // size) for n in x.shape)
    x = np.pad(
        x, [(0, size * m - n) for m, n in zip((height, width), x.shape, strict=True)], "edge"
    )
    sums: npt.NDArray[np.int32] = x.reshape(height, size, width, size).sum((1, 3), np.int32)
    return sums


def _view_layers(header: StreamHeader, weights: Weights, ops: Any) -> list[Dense]:
    """The view MLP: leaky layers, then a linear one that gives the colour's correction in Q12."""
    names = [f"view.hidden{i}" for i in range(header.view_depth)] + ["view.output"] * bool(
        header.view_depth
    )
    return [
        _feature_layer(weights[f"{name}.weight"], weights[f"{name}.bias"], name, ops)
        for name in names
    ]


def _feature_layer(
    weight: npt.NDArray[np.int32], bias: npt.NDArray[np.int32], name: str, ops: Any
) -> Dense:
    """A dense layer from features to values of their precision."""
    return Dense(
        weight, bias, weight_bits=7, in_bits=FEATURE_BITS, out_bits=FEATURE_BITS,
        in_max=_FEATURE_MAX, low=-_FEATURE_MAX, high=_FEATURE_MAX, name=name, ops=ops,
    )  # fmt: skip


def _padded(x: Any, axis: int, before: int, after: int, ops: Any) -> Any:
    """``x`` with copies of its first and last samples along an axis, 0 or 1."""
    first, last = (x[:1], x[-1:]) if axis == 0 else (x[:, :1], x[:, -1:])
    return ops.concatenate([first] * before + [x] + [last] * after, axis)


def _along(axis: int, start: int | None, stop: int | None, step: int = 1) -> tuple[slice, ...]:
    """Index of a range along an axis, 0 or 1."""
    return (slice(None),) * axis + (slice(start, stop, step),)


def _double_axis(x: Any, axis: int, ops: Any) -> Any:
    """Double one axis of a plane with UPSAMPLING_TAPS; see format_spec.md section 7.2."""
    n = x.shape[axis]
    padded = _padded(x, axis, 4, 4, ops)
    shape = list(x.shape)
    shape[axis] *= 2
    out = ops.zeros(tuple(shape), ops.float32)
    for odd in (0, 1):
        total: Any = 0.5
        for k, tap in enumerate(UPSAMPLING_TAPS):
            start = k + 1 if odd else 7 - k
            part = padded[_along(axis, start, start + n)] * (tap * 2.0**-7)
            part += total
            total = part
        ops.floor(total, out=total)
        out[_along(axis, odd, None, 2)] = ops.clip(total, -_LATENT_MAX_Q, _LATENT_MAX_Q, out=total)
    return out


def _smooth_axis(x: Any, axis: int, ops: Any) -> Any:
    """Smooth one axis of a plane with SMOOTHING_TAPS; see format_spec.md section 8.5."""
    n, reach = x.shape[axis], len(SMOOTHING_TAPS) - 1
    padded = _padded(x, axis, reach, reach, ops)
    total = x * (SMOOTHING_TAPS[0] * 2.0**-8) + 0.5
    for k, tap in enumerate(SMOOTHING_TAPS[1:], start=1):
        pair = padded[_along(axis, reach - k, reach - k + n)]
        pair = pair + padded[_along(axis, reach + k, reach + k + n)]
        pair *= tap * 2.0**-8
        total += pair
    ops.floor(total, out=total)
    return ops.clip(total, -_LATENT_MAX_Q, _LATENT_MAX_Q, out=total)


def _half_samples(x: Any, ops: Any) -> list[Any]:
    """Texture int16 ``[Hc, Wc, n]`` -> the four kinds of its samples, each ``[Hc * Wc, n]``.

    Kind 0 are the samples themselves, kind 1 those half a pixel to the right, kind 2 those half a
    pixel below, kind 3 those half a pixel to the right of kind 2. See format_spec.md section 7.3.
    """
    below = _half_axis(x, 0, ops)
    kinds = x, _half_axis(x, 1, ops), below, _half_axis(below, 1, ops)
    return [kind.reshape(-1, x.shape[-1]) for kind in kinds]


def _half_axis(x: Any, axis: int, ops: Any) -> Any:
    """The samples half way to the next one along an axis, by HALF_SAMPLE_TAPS."""
    n_rows, n_columns, _ = x.shape
    before, after = 3, 4
    padded = _padded(x, axis, before, after, ops)
    out = ops.zeros(x.shape, ops.int16)
    step = max(1, ops.block_pixels // n_columns)
    for start in range(0, n_rows, step):
        stop = min(start + step, n_rows)
        n = (stop - start, n_columns)[axis]
        rows = padded[start : stop + (before + after if axis == 0 else 0)]
        near = ops.cast(rows, ops.float32)
        total: Any = 0.5
        # The taps are symmetric.
        for k in range(4):
            pair = near[_along(axis, k, k + n)] + near[_along(axis, 7 - k, 7 - k + n)]
            pair *= HALF_SAMPLE_TAPS[k] * 2.0**-6
            pair += total
            total = pair
        ops.floor(total, out=total)
        out[start:stop] = ops.clip(total, -_FEATURE_MAX, _FEATURE_MAX, out=total)
    return out


def _bilinear_weights(n_lanes: int, ops: Any) -> list[Any]:
    """Weight of each kind of sample for every distance ``(y, x)`` from the whole one.

    Returns:
        Per kind float32 ``[17 * 17, n_lanes]``, row ``17 * f_y + f_x``. All lanes of a row are the
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


def least_around(x: Any, reach: tuple[int, int], ops: Any) -> Any:
    """The least of the samples of ``[H, W]`` that are at most ``reach`` rows and columns away."""
    for axis in (0, 1):
        n, window, size = x.shape[axis], 2 * reach[axis] + 1, 1
        least = _padded(x, axis, reach[axis], reach[axis], ops)
        while 2 * size <= window:
            least = ops.minimum(least[_along(axis, None, -size)], least[_along(axis, size, None)])
            size *= 2
        # Two windows of a power of two cover one that is shorter than both.
        last = least[_along(axis, window - size, window - size + n)]
        x = ops.minimum(least[_along(axis, 0, n)], last)
    return x


def _displaced(base: Any, disparity: Any, angle: int, shift: int) -> Any:
    """``base - round(angle * disparity / 2**shift)``, halves rounded up before the subtraction."""
    q = disparity * -angle
    q += (1 << (shift - 1)) - 1
    q >>= shift
    q += base
    return q
