# SPDX-License-Identifier: MIT
"""Integers -> canonical scene -> views, in exact integer arithmetic carried by floats.

The latents are upsampled scale by scale, fused, and turned by the trunks into layers of features
and disparities on the canonical canvas; a view samples every layer along its disparity, composites
front to back, and lets a small MLP correct the colour. Written against the few operations of
:class:`~sanrcodec.fixedpoint.NumpyOps`, so that another array library gives the same integers.
Must not contain an operation that rounds. See format_spec.md sections 7 and 8.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sanrcodec import modelspec
from sanrcodec.fixedpoint import Dense, NumpyOps, round_shift
from sanrcodec.header import StreamHeader
from sanrcodec.modelspec import LATENT_MAX
from sanrcodec.weights import Weights

__all__ = ["Scene"]

LATENT_BITS = 5  # fraction bits of an upsampled latent in latent steps
_LATENT_MAX_Q = 16383
LATENT_SHIFT = 4  # one latent step is 2**-4 at the trunk's input
_HIDDEN_BITS = 10
_HIDDEN_MAX = 32767
FEATURE_BITS = 12
_FEATURE_MAX = 32767
ALPHA_ONE = 1 << FEATURE_BITS
DISPARITY_BITS = 8  # fraction bits of a disparity in pixels per view
DISPARITY_GAIN = 8  # the geometry trunk's outputs are eighths of the disparity
_DISPARITY_MAX = 16383
ANGULAR_BITS = 8
POSITION_BITS = 5  # fraction bits of a sampling position in canvas pixels
N_DISPARITY_STEPS = 3
_VIEW_BITS = 8  # fraction bits inside the view MLP
_VIEW_MAX = 2047
# Catmull-Rom at a quarter-sample shift, in 1/256: doubles a latent plane along one axis.
UPSAMPLING_TAPS = (-6, 58, 222, -18)
# Half-sample interpolation filter of HEVC (ITU-T H.265, 8.5.3.3.3), in 1/64.
HALF_SAMPLE_TAPS = (-1, 4, -11, 40, 40, -11, 4, -1)
# BT.709 YCbCr (full range) to RGB, in 2**-12: rows R, G, B; columns Y, Cb, Cr.
_RGB_FROM_YCC_Q12 = ((4096, 0, 6450), (4096, -767, -1917), (4096, 7601, 0))
_BLOCK_PIXELS = 16384  # pixels per block: keeps the working set of a block in cache


class Scene:
    """A decoded scene, from which views are synthesized.

    Args:
        header: Stream header.
        weights: int32 array per tensor.
        latents: int32 ``[Hg, Wg]`` per grid in coding order.
        ops: Array backend.

    Raises:
        LimitError: a layer's sums could leave the exact range.
    """

    def __init__(
        self,
        header: StreamHeader,
        weights: Weights,
        latents: list[npt.NDArray[np.int32]],
        ops: Any = NumpyOps,
    ) -> None:
        self.header, self.ops = header, ops
        self._per_view = weights.get("per_view")
        self._view_layers = _view_layers(header, weights, ops)
        by_group: dict[int, list[npt.NDArray[np.int32]]] = {}
        for grid in modelspec.grids(header):
            by_group.setdefault(grid.group, []).append(latents[grid.index])

        n_out = header.features
        trunk = _Trunk(header, weights, "texture", n_out, ops)
        self._disparity: list[Any] = []
        alpha: list[Any] = []
        if header.layers:
            n_geometry = 2 * header.layers - 1
            planes = _Trunk(header, weights, "geometry", n_geometry, ops)(
                by_group[modelspec.GEOMETRY]
            )
            for i in range(header.layers):
                # Q12 eighths to Q8 pixels.
                d = ops.floor(
                    planes[:, i] * (DISPARITY_GAIN * 2.0 ** (DISPARITY_BITS - FEATURE_BITS)) + 0.5
                )
                self._disparity.append(
                    ops.cast(ops.clip(d, -_DISPARITY_MAX, _DISPARITY_MAX), ops.int32)
                )
            for i in range(header.layers, n_geometry):
                alpha.append(ops.clip(planes[:, i] + ALPHA_ONE // 2, 0, ALPHA_ONE))
        self._texture: list[Any] = []
        stack: list[npt.NDArray[np.int32]] = []
        for i in range(header.n_textures):
            # A layer's latents are differences to the layer in front: what a layer hides costs
            # bits, what it shares does not.
            for k, plane in enumerate(by_group[i]):
                if i == 0:
                    stack.append(plane)
                else:
                    stack[k] = np.clip(stack[k] + plane, -LATENT_MAX, LATENT_MAX)
            features = trunk(stack)
            if i < len(alpha):
                features = ops.concatenate([features, alpha[i][:, None]], 1)
            height, width = header.canvas
            features = ops.cast(features, ops.int16).reshape(height, width, -1)
            if header.layers:
                features = _double(features, ops)
            self._texture.append(features.reshape(-1, features.shape[-1]))

    def render(self, v: float, u: float, region: tuple[int, int, int, int] | None = None) -> Any:
        """Synthesize one view, or a part of it.

        Args:
            v: Row of the view, integer or fractional.
            u: Column of the view, likewise.
            region: ``(y0, y1, x0, x1)`` in pixels; the whole view by default.

        Returns:
            Integer-valued floats ``[y1 - y0, x1 - x0, C]`` in ``0..2**bit_depth - 1``.
        """
        ops, header = self.ops, self.header
        y0, y1, x0, x1 = region or (0, header.height, 0, header.width)
        step = max(1, _BLOCK_PIXELS // (x1 - x0))
        pose = self._pose(v, u)
        blocks = [
            self._render_rows(pose, y, min(y + step, y1), x0, x1) for y in range(y0, y1, step)
        ]
        return ops.concatenate(blocks, 0)

    def _pose(self, v: float, u: float) -> tuple[int, int, int, int, int]:
        """Angular offsets (Q8 views), shifts (1/32 pixel) and colour offset (Q12) of a view."""
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
        a_v = v_q - (header.n_v - 1) * one // 2 + int(extra[0])
        a_u = u_q - (header.n_u - 1) * one // 2
        a_u = (-a_u if header.mirrored else a_u) + int(extra[1])
        return a_v, a_u, int(extra[2]), int(extra[3]), int(extra[4]) << 2

    def _render_rows(
        self, pose: tuple[int, int, int, int, int], y0: int, y1: int, x0: int, x1: int
    ) -> Any:
        ops, header = self.ops, self.header
        a_v, a_u, shift_y, shift_x, offset = pose
        y = ops.arange(y0, y1)[:, None]
        x = ops.arange(x0, x1)[None, :]
        n = (y1 - y0) * (x1 - x0)
        if header.layers:
            base_y = ((y + header.margin_y) << POSITION_BITS) + shift_y
            base_x = ((x + header.margin_x) << POSITION_BITS) + shift_x
            # Back to front: each nearer layer covers what is behind it with its visibility.
            features: Any = None
            for layer in reversed(range(header.layers)):
                sampled = self._sample(layer, base_y, base_x, a_v, a_u)
                if features is None:
                    features = sampled[:, : header.features]
                else:
                    alpha = ops.clip(
                        ops.floor((sampled[:, header.features :] + 8) * 2.0**-4), 0, 256
                    )
                    near = sampled[:, : header.features]
                    features = features + round_shift(alpha * (near - features), 8, ops)
        else:
            rows = ((y + header.margin_y) * header.canvas[1] + x + header.margin_x).reshape(-1)
            features = ops.cast(ops.take(self._texture[0], rows), ops.float32)
        colour = ops.cast(features[:, : header.channels], ops.float64)
        if self._view_layers:
            h = ops.clip(ops.floor((features + 8) * 2.0**-4), -_VIEW_MAX, _VIEW_MAX)
            span = max(header.n_v - 1, header.n_u - 1, 1)
            limit = 2 << ANGULAR_BITS
            coordinates = [max(-limit, min(limit, 2 * a // span)) for a in (a_v, a_u)]
            planes = [ops.zeros((n,), ops.float32) + c for c in coordinates]
            if header.spatial:
                one = 1 << _VIEW_BITS
                for p, size in ((y + 0 * x, header.height), (x + 0 * y, header.width)):
                    planes.append(
                        ops.cast(
                            (((2 * p + 1) << _VIEW_BITS) // size - one).reshape(-1), ops.float32
                        )
                    )
            h = ops.concatenate([h, ops.stack(planes, 1)], 1)
            for dense in self._view_layers:
                h = dense(h)
            colour = colour + h
        colour[:, 0] += offset
        return self._to_samples(colour).reshape(y1 - y0, x1 - x0, header.channels)

    def _sample(self, layer: int, base_y: Any, base_x: Any, a_v: int, a_u: int) -> Any:
        """Sample a layer: fixed point of ``q = p - a * d(q)``, bilinear on the doubled grid."""
        ops, (height, width) = self.ops, self.header.canvas
        half = 1 << (POSITION_BITS - 1)
        shift = ANGULAR_BITS + DISPARITY_BITS - POSITION_BITS
        disparity = self._disparity[layer]
        q_y, q_x = base_y + 0 * base_x, base_x + 0 * base_y
        for _ in range(N_DISPARITY_STEPS):
            row = ops.clip((q_y + half) >> POSITION_BITS, 0, height - 1)
            column = ops.clip((q_x + half) >> POSITION_BITS, 0, width - 1)
            d = ops.take(disparity, (row * width + column).reshape(-1)).reshape(q_y.shape)
            q_y = base_y - ((a_v * d + (1 << (shift - 1))) >> shift)
            q_x = base_x - ((a_u * d + (1 << (shift - 1))) >> shift)
        fraction_bits = POSITION_BITS - 1
        one = 1 << fraction_bits
        q_y = ops.clip(q_y, 0, (2 * height - 2) << fraction_bits).reshape(-1)
        q_x = ops.clip(q_x, 0, (2 * width - 2) << fraction_bits).reshape(-1)
        corner = (q_y >> fraction_bits) * (2 * width) + (q_x >> fraction_bits)
        f_y = ops.cast(q_y & (one - 1), ops.float32)[:, None]
        f_x = ops.cast(q_x & (one - 1), ops.float32)[:, None]
        texture = self._texture[layer]
        total = ops.cast(ops.take(texture, corner), ops.float32) * ((one - f_y) * (one - f_x))
        total += ops.cast(ops.take(texture, corner + 1), ops.float32) * ((one - f_y) * f_x)
        total += ops.cast(ops.take(texture, corner + 2 * width), ops.float32) * (f_y * (one - f_x))
        total += ops.cast(ops.take(texture, corner + 2 * width + 1), ops.float32) * (f_y * f_x)
        return round_shift(total, 2 * fraction_bits, ops)

    def _to_samples(self, colour: Any) -> Any:
        """YCbCr in Q12 (chroma around 0) -> integer-valued floats of the file's bit depth."""
        ops, peak = self.ops, (1 << self.header.bit_depth) - 1
        if self.header.channels == 3:
            matrix = ops.asarray(np.array(_RGB_FROM_YCC_Q12, np.float64).T * peak, ops.float64)
            samples = round_shift(colour @ matrix, 2 * FEATURE_BITS, ops)
        else:
            samples = round_shift(colour * peak, FEATURE_BITS, ops)
        return ops.clip(samples, 0, peak)


class _Trunk:
    """Latents of one group -> planes on the canvas; the integer twin of SceneModel._trunk."""

    def __init__(
        self, header: StreamHeader, weights: Weights, name: str, n_out: int, ops: Any
    ) -> None:
        self.canvas, self.ops = header.canvas, ops
        self.first = header.geometry_first if name == "geometry" else 0
        self.n_in = header.geometry_levels if name == "geometry" else header.texture_levels

        def dense(layer: str, **kwargs: Any) -> Dense | None:
            if f"{name}.{layer}.weight" not in weights:
                return None
            return Dense(
                weights[f"{name}.{layer}.weight"], weights[f"{name}.{layer}.bias"],
                weight_bits=7, name=f"{name}.{layer}", ops=ops, **kwargs,
            )  # fmt: skip

        in_bits = LATENT_BITS + LATENT_SHIFT
        one = 1 << 8
        self.attention = dense(
            "attention", in_bits=in_bits, out_bits=8, in_max=_LATENT_MAX_Q, low=-one, high=one
        )
        self.hidden = dense(
            "hidden",
            in_bits=in_bits,
            out_bits=_HIDDEN_BITS,
            in_max=_LATENT_MAX_Q,
            low=0,
            high=_HIDDEN_MAX,
        )
        output = dense(
            "output", in_bits=_HIDDEN_BITS, out_bits=FEATURE_BITS,
            in_max=_HIDDEN_MAX, low=-_FEATURE_MAX, high=_FEATURE_MAX,
        )  # fmt: skip
        assert output is not None  # the only layer that every trunk has
        self.output = output

    def __call__(self, latents: list[npt.NDArray[np.int32]]) -> Any:
        """Grids coarse to fine -> ``[Hc * Wc, n_out]`` integer-valued floats, Q12."""
        ops = self.ops
        x = self._upsample(latents).reshape(self.n_in, -1)
        out = []
        for start in range(0, x.shape[1], _BLOCK_PIXELS):
            block = x[:, start : start + _BLOCK_PIXELS].T
            if self.attention:
                # Hard-sigmoid gates in 0..256; 256, at zero weights, keeps a scale as it is.
                gate = ops.clip(self.attention(block) + 256, 0, 256)
                block = round_shift(block * gate, 8, ops)
            parts = [block * 2.0 ** (_HIDDEN_BITS - LATENT_BITS - LATENT_SHIFT)]
            if self.hidden:
                parts.append(ops.cast(self.hidden(block), ops.float32))
            out.append(self.output(ops.concatenate(parts, 1)))
        return ops.concatenate([ops.cast(o, ops.float32) for o in out], 0)

    def _upsample(self, latents: list[npt.NDArray[np.int32]]) -> Any:
        """Double level by level, all scales at once: ``[n_in, Hc, Wc]``, Q5."""
        ops = self.ops
        coarsest = self.first + self.n_in - 1
        stack = None
        for level in range(coarsest, -1, -1):
            shape = modelspec.level_shape(self.canvas, level)
            if stack is not None:
                stack = self._double_axis(self._double_axis(stack, 1)[:, : shape[0]], 2)[
                    :, :, : shape[1]
                ]
            i = coarsest - level
            if i < self.n_in:
                plane = ops.asarray(latents[i] << LATENT_BITS, ops.float32)[None]
                stack = plane if stack is None else ops.concatenate([stack, plane], 0)
        return stack

    def _double_axis(self, x: Any, axis: int) -> Any:
        """Double one axis with the four taps of UPSAMPLING_TAPS; see format_spec.md section 7.2."""
        ops, n = self.ops, x.shape[axis]
        index = [ops.clip(ops.arange(0, n) + k, 0, n - 1) for k in (-2, -1, 0, 1, 2)]
        near = [x[:, i] if axis == 1 else x[:, :, i] for i in index]
        even = sum(near[k] * UPSAMPLING_TAPS[k] for k in range(4))
        odd = sum(near[4 - k] * UPSAMPLING_TAPS[k] for k in range(4))
        both = ops.stack([even, odd], axis + 1)
        shape = list(x.shape)
        shape[axis] *= 2
        both = round_shift(both.reshape(shape), 8, ops)
        return ops.clip(both, -_LATENT_MAX_Q, _LATENT_MAX_Q)


def _view_layers(header: StreamHeader, weights: Weights, ops: Any) -> list[Dense]:
    """The view MLP: ReLU layers, then a linear one that gives the colour's correction in Q12."""
    layers = []
    names = [f"view.hidden{i}" for i in range(header.view_depth)] + ["view.output"] * bool(
        header.view_depth
    )
    for name in names:
        last = name == "view.output"
        layers.append(
            Dense(
                weights[f"{name}.weight"],
                weights[f"{name}.bias"],
                weight_bits=7,
                in_bits=_VIEW_BITS,
                out_bits=FEATURE_BITS if last else _VIEW_BITS,
                in_max=_VIEW_MAX,
                low=-_FEATURE_MAX if last else 0,
                high=_FEATURE_MAX if last else _VIEW_MAX,
                name=name,
                ops=ops,
            )
        )
    return layers


def _double(x: Any, ops: Any) -> Any:
    """Double both axes of ``[H, W, C]`` int16: kept samples, and half-sample ones between them."""
    for axis in (0, 1):
        n = x.shape[axis]
        index = [ops.clip(ops.arange(0, n) + k, 0, n - 1) for k in range(-3, 5)]
        total = 0
        for i, tap in zip(index, HALF_SAMPLE_TAPS, strict=True):
            total = total + ops.cast(x[i] if axis == 0 else x[:, i], ops.int32) * tap
        half = ops.cast(ops.clip((total + 32) >> 6, -_FEATURE_MAX, _FEATURE_MAX), ops.int16)
        shape = list(x.shape)
        shape[axis] *= 2
        x = ops.stack([x, half], axis + 1).reshape(shape)
    return x
