# SPDX-License-Identifier: MIT
"""The scene model in torch: the differentiable float twin of latents.Arm and synthesis.Scene.

Holds two flat parameter vectors, one of all latents and one of all weights, so that quantization,
rate and optimizer are a handful of large operations. Must not write files or schedule a fit.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sanrcodec import modelspec, synthesis
from sanrcodec.encoder.functions import ClampInward, dense, double
from sanrcodec.encoder.quantize import laplace_bits, straight_through
from sanrcodec.fixedpoint import LEAK_BITS
from sanrcodec.header import StreamHeader
from sanrcodec.latents import CONTEXT_MAX
from sanrcodec.modelspec import LATENT_MAX, N_CONTEXT, N_KINDS, PAD
from sanrcodec.torchops import TorchOps
from sanrcodec.weights import SHIFT_MAX, WEIGHT_MAX

__all__ = ["SceneModel"]

Quantizer = Callable[[Tensor], Tensor]

_FUSED = ("quantized_weights", "latent_bits", "_trunk", "views")
_N_ZEROS = 1 << 16
_LEAK = 2.0**-LEAK_BITS
_COARSEN_FAILURES = 2  # doublings of a step that did not pay, after which no more are tried
# Pairs of filters: a sample itself and the one halfway to the next; a quarter to either side.
_HALF_TAPS = (
    (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0),
    tuple(t / 64 for t in synthesis.HALF_SAMPLE_TAPS),
)
_QUARTER_TAPS = (
    (*(t / 128 for t in reversed(synthesis.UPSAMPLING_TAPS)), 0.0),
    (0.0, *(t / 128 for t in synthesis.UPSAMPLING_TAPS)),
)
_LUMA_WEIGHTS = (0.75, 0.125, 0.125)  # PSNR-YUV = (6 Y + Cb + Cr) / 8


@functools.cache
def _compiled(name: str) -> Callable[..., Any]:
    return torch.compile(getattr(SceneModel, name), fullgraph=True, dynamic=False)


class SceneModel(nn.Module):
    """Scene of one light field: latents, networks, and how they become views and bits.

    Args:
        header: Shape of the scene.
        device: Where the parameters live.
        share: ``(i, n)``: the bits of all latents are estimated from the i-th of n parts of them.
            The mean over models with all n shares is exact.
    """

    def __init__(
        self,
        header: StreamHeader,
        device: torch.device | str = "cpu",
        share: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__()
        self.header, self.share = header, share
        self.grids = modelspec.grids(header)
        sizes = [g.shape[0] * g.shape[1] for g in self.grids]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        self._slices = [slice(int(a), int(b)) for a, b in itertools.pairwise(starts)]
        self.latents = nn.Parameter(torch.zeros(int(starts[-1]), device=device))

        self.specs = modelspec.tensor_specs(header)
        weight_sizes = [int(np.prod(s.shape)) for s in self.specs]
        weight_starts = np.concatenate([[0], np.cumsum(weight_sizes)])
        self._weight_slices = [slice(int(a), int(b)) for a, b in itertools.pairwise(weight_starts)]
        self.weights = nn.Parameter(torch.zeros(int(weight_starts[-1]), device=device))

        def constant(name: str, values: np.ndarray, dtype: torch.dtype = torch.float32) -> None:
            self.register_buffer(
                name, torch.as_tensor(values, dtype=dtype, device=device), persistent=False
            )

        segment = np.repeat(np.arange(len(self.specs)), weight_sizes)
        constant("_segment", segment, torch.int64)
        constant("_segment_size", np.array(weight_sizes))
        # A parameter of 1 is one real unit, but at least 2**7 steps of tensors with coarse steps.
        constant(
            "_weight_unit", np.repeat([2.0 ** max(7, s.exponent) for s in self.specs], weight_sizes)
        )
        constant("_weight_step", np.repeat([2.0**-s.exponent for s in self.specs], weight_sizes))
        # Differences are rounded to multiples of this: coarsen() finds it at the end of a fit.
        constant("coarseness", np.ones(len(segment)))
        constant("_weight_default", np.concatenate([s.default.ravel() for s in self.specs]))
        self._build_context(constant)
        h, w = header.height, header.width
        constant("_y", np.arange(h)[:, None] + np.zeros((1, w)))
        constant("_x", np.arange(w)[None, :] + np.zeros((h, 1)))

    def fuse(self, on: bool = True) -> bool:
        """Compile the parts of a step to few kernels, which give the same up to rounding.

        Models share the compiled code.

        Returns:
            Whether they were compiled before.
        """
        before = _FUSED[0] in self.__dict__
        for name in _FUSED:
            self.__dict__.pop(name, None)
            if on:
                setattr(self, name, functools.partial(_compiled(name), self))
        return before

    # ---------------------------------------------------------------- parameters

    def _build_context(self, constant) -> None:  # type: ignore[no-untyped-def]
        """Index tables of the ARM contexts: the decoder's own functions, on arrays of indices."""
        # Unknown neighbours point at zeros behind the latents: many, or the atomic additions of the
        # backward pass would all queue for one address.
        n_total = self.latents.numel()
        index = [
            np.arange(self._slices[g.index].start, self._slices[g.index].stop).reshape(g.shape)
            for g in self.grids
        ]
        self._kind_sizes: list[list[int]] = []
        for model, name in enumerate(modelspec.entropy_models(self.header)):
            mine = [g for g in self.grids if g.entropy_model == model]
            tables, kinds, numbers, places = [], [], [], []
            for number, grid in enumerate(mine):
                h, w = grid.shape
                table = np.full((h, w, N_CONTEXT), n_total)
                kind = np.zeros((h, w), np.int64)
                padded = np.full((h + 2 * PAD, w + 2 * PAD), n_total)
                padded[PAD : PAD + h, PAD : PAD + w] = index[grid.index]
                cross = modelspec.cross_scale_context(index, grid)
                for p in modelspec.passes(grid.shape):
                    rows = np.s_[p.y0 :: p.stride, p.x0 :: p.stride]
                    kind[rows] = p.kind
                    columns = modelspec.neighbour_context(padded, grid.shape, p)
                    columns += [None if c is None else c[rows] for c in cross]
                    for i, column in enumerate(columns):
                        if column is not None:
                            table[(*rows, i)] = column
                tables.append(table.reshape(-1, N_CONTEXT))
                kinds.append(kind.ravel())
                numbers.append(np.full(h * w, number))
                places.append(index[grid.index].ravel())
            # Kind by kind, since each kind of pass has weights of its own.
            all_kinds = np.concatenate(kinds)
            first, n_shares = self.share
            order = np.argsort(all_kinds, kind="stable")[first::n_shares]
            self._kind_sizes.append(np.bincount(all_kinds[order], minlength=N_KINDS).tolist())
            table = np.concatenate(tables)[order].ravel()
            unknown = np.flatnonzero(table == n_total)
            table[unknown] += np.arange(len(unknown)) % _N_ZEROS
            constant(f"_context_{name}", table, torch.int32)
            constant(f"_coded_{name}", np.concatenate(places)[order], torch.int32)
            constant(f"_number_{name}", np.eye(len(mine))[np.concatenate(numbers)[order]])

    def _coded_weights(self) -> Tensor:
        """Differences to the defaults as they are coded, in steps of ``coarseness``, flat."""
        limit = torch.floor(WEIGHT_MAX / self.coarseness)
        steps = straight_through(self.weights * self._weight_unit / self.coarseness)
        return torch.minimum(torch.maximum(steps, -limit), limit)

    def quantized_weights(self) -> tuple[dict[str, Tensor], Tensor]:
        """Real weights after rounding (straight-through), per tensor, and their bits."""
        steps = self._coded_weights()
        real = (steps * self.coarseness + self._weight_default) * self._weight_step
        magnitude = steps.detach().abs()
        mean = (
            torch.zeros_like(self._segment_size).index_add(0, self._segment, magnitude)
            / self._segment_size
        )
        scale = mean.clamp(0.0526, 45.0)[self._segment]
        bits = laplace_bits(steps, torch.zeros_like(steps), scale).sum()
        parts = real.split([p.stop - p.start for p in self._weight_slices])
        return {
            s.name: part.reshape(s.shape) for s, part in zip(self.specs, parts, strict=True)
        }, bits

    # ---------------------------------------------------------------- rate

    def latent_bits(self, latents: Tensor, weights: dict[str, Tensor]) -> Tensor:
        """Estimated bits of quantized latents ``[N]``, summed; see ``share``."""
        padded = torch.cat([latents, latents.new_zeros(_N_ZEROS)])
        total = latents.new_zeros(())
        for name, sizes in zip(
            modelspec.entropy_models(self.header), self._kind_sizes, strict=True
        ):
            # index_select, since the backward pass of fancy indexing sorts its indices.
            context = padded.index_select(0, getattr(self, f"_context_{name}")).reshape(
                -1, N_CONTEXT
            )
            near = context.clamp(-CONTEXT_MAX, CONTEXT_MAX)
            inputs = torch.cat([near, torch.log2(1 + near.abs())], 1)
            part = {
                key: weights[f"arm.{name}.{key}"]
                for key in ("hidden", "hidden_bias", "output", "shortcut", "pass_bias", "grid_bias")
            }
            # Hidden units and shortcut share their inputs, hence one product.
            first = torch.cat([part["hidden"], part["shortcut"]], 1)
            bias = torch.cat([part["hidden_bias"], part["pass_bias"]], 1)
            n_hidden = part["hidden"].shape[1]
            outputs = []
            for kind, x in enumerate(inputs.split(sizes)):
                h, y = torch.addmm(bias[kind], x, first[kind].T).tensor_split([n_hidden], 1)
                outputs.append(torch.addmm(y, F.relu(h), part["output"][kind].T))
            y = torch.cat(outputs) + getattr(self, f"_number_{name}") @ part["grid_bias"]
            # Scale index = 4 * output, width = 2**(index / 4 - 4.25).
            location, log_scale = y.unbind(1)
            scale = torch.exp2(log_scale.clamp(0.0, 9.75) - 4.25)
            coded = latents.index_select(0, getattr(self, f"_coded_{name}"))
            total = total + laplace_bits(coded, location, scale).sum()
        return total * self.share[1]

    # ---------------------------------------------------------------- scene

    def _grid_values(self, latents: Tensor) -> dict[tuple[int, int], Tensor]:
        parts = latents.split([g.shape[0] * g.shape[1] for g in self.grids])
        return {
            (g.group, g.level): part.reshape(g.shape)
            for g, part in zip(self.grids, parts, strict=True)
        }

    def _upsample(
        self, planes: dict[tuple[int, int], Tensor], groups: list[int], first: int, n_levels: int
    ) -> Tensor:
        """All levels of some groups on the canvas: ``[n_groups, n_levels, Hc, Wc]``."""
        stack: Tensor | None = None
        for level in range(first + n_levels - 1, -1, -1):
            shape = modelspec.level_shape(self.header.canvas, level)
            if stack is not None:
                for axis in (-2, -1):
                    stack = double(stack, _QUARTER_TAPS, axis, 4, shape[axis])
            if level >= first:
                # A layer's latents are differences to the layer in front.
                shared = [planes[groups[0], level]]
                for group in groups[1:]:
                    own = planes.get((group, level))
                    shared.append(
                        shared[-1]
                        if own is None
                        else (shared[-1] + own).clamp(-LATENT_MAX, LATENT_MAX)
                    )
                plane = torch.stack(shared)[:, None]
                stack = plane if stack is None else torch.cat([stack, plane], 1)
        assert stack is not None
        return stack

    def _trunk(self, name: str, x: Tensor, weights: dict[str, Tensor]) -> Tensor:
        """``[n, n_in, Hc, Wc]`` upsampled latents -> ``[n, n_out, Hc * Wc]``."""
        x = x.flatten(2) * 2.0**-synthesis.LATENT_SHIFT
        if self.header.attention:
            attention = dense(*_layer(weights, f"{name}.attention"), x)
            x = x * ClampInward.apply(1 + attention, 0.0, 1.0)
        weight, bias = _layer(weights, f"{name}.output")
        if f"{name}.hidden.weight" not in weights:
            return dense(weight, bias, x)
        hidden = F.leaky_relu(dense(*_layer(weights, f"{name}.hidden"), x), _LEAK, inplace=True)
        # Instead of one product with both, which would copy them side by side.
        of_x, of_hidden = weight.tensor_split([x.shape[1]], 1)
        return dense(of_hidden, dense(of_x, bias, x), hidden)

    def scene(self, latents: Tensor, weights: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Canonical scene.

        Returns:
            Features ``[n_textures, F (+ 1 visibility), Hc, Wc]`` (doubled where there is geometry)
            and disparities ``[L, Hc, Wc]`` in pixels per view, None without geometry.
        """
        header, planes = self.header, self._grid_values(latents)
        groups = list(range(header.n_textures))
        up = self._upsample(planes, groups, 0, header.texture_levels)
        features = self._trunk("texture", up, weights).reshape(
            len(groups), header.features, *header.canvas
        )
        if header.color_filter:
            features = self._filter_color(features, weights)
        if not header.layers:
            return features, None
        up = self._upsample(
            planes, [modelspec.GEOMETRY], header.geometry_first, header.geometry_levels
        )
        geometry = self._trunk("geometry", up, weights)[0].reshape(-1, *header.canvas)
        disparity = geometry[: header.layers] * synthesis.DISPARITY_GAIN
        if header.layers > 1:
            visibility = ClampInward.apply(geometry[header.layers :] + 0.5, 0.0, 1.0)
            visibility = torch.cat([visibility, torch.ones_like(visibility[:1])])
            features = torch.cat([features, visibility[:, None]], 1)
        return self._double(features), disparity

    def _filter_color(self, features: Tensor, weights: dict[str, Tensor]) -> Tensor:
        """Correct the colours of ``[n_textures, F, Hc, Wc]`` by what is around them."""
        n = self.header.channels
        padded = F.pad(features, (1, 1, 1, 1), mode="replicate")
        linear = weights["color_filter.linear"]
        if self.header.filter_hidden:
            # Hidden units and linear part share their inputs, hence one convolution.
            first = torch.cat([linear, weights["color_filter.hidden.weight"]])
            bias = F.pad(weights["color_filter.hidden.bias"], (n, 0))
            linear, hidden = F.conv2d(padded, first, bias).tensor_split([n], 1)
            hidden = F.pad(F.leaky_relu(hidden, _LEAK), (1, 1, 1, 1), mode="replicate")
            correction = linear + F.conv2d(hidden, weights["color_filter.output"])
        else:
            correction = F.conv2d(padded, linear)
        colour, others = features.tensor_split([n], 1)
        return torch.cat([colour + correction, others], 1)

    def _double(self, x: Tensor) -> Tensor:
        """Half-sample interpolation along both axes, as synthesis._half_samples."""
        # Columns first: along them a CPU interleaves samples one by one.
        for axis in (-1, -2):
            x = double(x, _HALF_TAPS, axis, 3, 2 * x.shape[axis])
        return x

    # ---------------------------------------------------------------- views

    def _poses(self, index: Tensor, weights: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Angular offsets ``[B, 2]``, shifts ``[B, 2]`` in pixels, colour offsets ``[B]``."""
        header = self.header
        v = torch.div(index, header.n_u, rounding_mode="floor").float() - (header.n_v - 1) / 2
        u = (index % header.n_u).float() - (header.n_u - 1) / 2
        angular = torch.stack([v, -u if header.mirrored else u], 1)
        if header.reversed:
            angular = -angular
        if not header.per_view:
            return angular, torch.zeros_like(angular), torch.zeros_like(v)
        extra = weights["per_view"].index_select(0, index)
        return angular + extra[:, :2] / 256, extra[:, 2:4] / 32, extra[:, 4] / 1024

    def views(
        self, scene: tuple[Tensor, Tensor | None], weights: dict[str, Tensor], index: Tensor
    ) -> Tensor:
        """Synthesize views.

        Args:
            scene: From :meth:`scene`.
            weights: Real weights per tensor.
            index: int64 ``[B]``, ``v * U + u``.

        Returns:
            Colours ``[B, C, H, W]``, YCbCr with chroma around 0 (or grey), range about 0..1.
        """
        header, (texture, disparity) = self.header, scene
        n, h, w = len(index), header.height, header.width
        angular, shift, offset = self._poses(index, weights)
        if disparity is None:
            my, mx = header.margin_y, header.margin_x
            features = texture[:, :, my : my + h, mx : mx + w].expand(n, -1, -1, -1)
        else:
            # Row by row, so that the gradients of the few poses are summed along rows first: summed
            # over all pixels at once they would leave most of a GPU idle.
            parallax = angular[:, None, None].expand(-1, h, 1, -1)
            shift = shift[:, None, None].expand(-1, h, 1, -1)
            pixels = torch.stack([self._y + header.margin_y, self._x + header.margin_x], -1)
            base = pixels + shift
            features = None
            # Unbound, since the gradient of each indexing would be a stack of its own.
            for layer in reversed(list(zip(texture.unbind(), disparity.unbind(), strict=True))):
                sampled = self._sample(*layer, base, parallax)
                near, visibility = sampled.tensor_split([header.features], 1)
                if features is None:
                    features = near
                else:
                    features = features + visibility.clamp(0, 1) * (near - features)
        colour = features[:, : header.channels]
        if header.view_depth:
            z = features.flatten(2)
            span = max(header.n_v - 1, header.n_u - 1, 1)
            place = (angular * (2 / span)).clamp(-2, 2)
            for i in range(header.view_depth):
                weight, bias = _layer(weights, f"view.hidden{i}")
                if i == 0:
                    of_z, of_place, of_yx = weight.tensor_split(
                        [header.features, header.features + 2], 1
                    )
                    y = dense(of_z, (place @ of_place.T)[..., None] + bias, z)
                    if header.spatial:
                        yx = torch.stack(
                            [(2 * self._y + 1) / h - 1, (2 * self._x + 1) / w - 1]
                        ).flatten(1)
                        y = y + of_yx @ yx
                else:
                    y = dense(weight, bias, z)
                z = F.leaky_relu(y, _LEAK, inplace=True)
            correction = dense(*_layer(weights, "view.output"), z)
            colour = colour + correction.reshape(n, header.channels, h, w)
        if header.per_view:
            luma = torch.zeros_like(colour[:1, :, :1, :1])
            luma[:, 0] = 1
            colour = colour + offset[:, None, None, None] * luma
        return colour

    def _sample(self, texture: Tensor, disparity: Tensor, base: Tensor, angular: Tensor) -> Tensor:
        """One layer as seen from some views.

        Args:
            texture: ``[F, 2Hc, 2Wc]``.
            disparity: ``[Hc, Wc]`` in pixels per view.
            base: ``[B, H, W, 2]``, canvas positions (y, x) of the views' pixels without parallax.
            angular: ``[B, H, 1, 2]``, the views' angular offsets.

        Returns:
            ``[B, F, H, W]``.
        """
        height, width = disparity.shape
        flat = disparity.flatten()

        def pixel_of(q: Tensor) -> Tensor:
            row = (q[..., 0] + 0.5).floor().clamp(0, height - 1)
            column = (q[..., 1] + 0.5).floor().clamp(0, width - 1)
            return (row * width + column).long()

        with torch.no_grad():
            q = base.detach()
            margins = self.header.margin_y, self.header.margin_x
            nearest = synthesis.least_around(disparity, margins, TorchOps).flatten()
            # The last of the steps is the one that has a gradient.
            steps = (synthesis.N_DISPARITY_STEPS - 1) * [flat]
            for plane in (nearest, *steps):
                q = base - angular * plane[pixel_of(q)][..., None]
            pixel = pixel_of(q)
        d = flat.index_select(0, pixel.flatten()).reshape(pixel.shape)
        q = base - angular * d[..., None]
        n, h, w, _ = q.shape
        y, x = q.unbind(-1)
        y = 2 * (2 * y.clamp(0, height - 1)) / (2 * height - 1) - 1
        x = 2 * (2 * x.clamp(0, width - 1)) / (2 * width - 1) - 1
        grid = torch.stack([x, y], -1).reshape(1, n * h, w, 2)
        sampled = F.grid_sample(
            texture[None], grid, mode="bilinear", padding_mode="border", align_corners=True
        )
        return sampled.reshape(-1, n, h, w).transpose(0, 1)

    # ---------------------------------------------------------------- loss

    def loss(
        self,
        index: Tensor,
        target: Tensor,
        quantize: Quantizer,
        lmbda: float | Tensor,
        importance: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor], tuple]:
        """Rate-distortion cost ``D + lmbda * R`` of some views.

        D is the mean squared error of which PSNR-YUV is the decibel: the geometric mean of the
        planes' errors, weighted 6 : 1 : 1. R is the estimated bits of the whole file per pixel of
        one view.

        Args:
            index: int64 ``[B]``.
            target: ``[B, C, H, W]``, as :meth:`views` gives.
            quantize: Latents ``[N]`` -> quantized latents.
            lmbda: Weight of the rate.
            importance: ``[B]``, factor of each view's error in the cost; 1 by default.

        Returns:
            Cost, figures (``bits``, ``mse``, and ``view_mse`` of each view), and the scene.
        """
        weights, weight_bits = self.quantized_weights()
        latents = quantize(self.latents).clamp(-LATENT_MAX, LATENT_MAX)
        bits = self.latent_bits(latents, weights) + weight_bits
        scene = self.scene(latents, weights)
        errors = _plane_errors(self.views(scene, weights, index), target)
        weighted = errors if importance is None else errors * importance[:, None]
        cost = _mse_yuv(weighted.mean(0)) + lmbda * self._rate(bits)
        errors = errors.detach()
        figures = {
            "bits": bits.detach(), "mse": _mse_yuv(errors.mean(0)), "view_mse": _mse_yuv(errors)
        }  # fmt: skip
        return cost, figures, scene

    def _rate(self, bits: Tensor) -> Tensor:
        return bits / (self.header.height * self.header.width)

    # ---------------------------------------------------------------- integers

    @torch.no_grad()
    def coarsen(
        self,
        index: Tensor,
        target: Tensor,
        lmbda: float,
        average_: Callable[[Tensor], None] = lambda _: None,
    ) -> None:
        """Choose how coarsely each tensor's differences are coded, one after the other.

        How finely a weight must be known follows neither from its size nor from its gradient, but
        can be tried: the step is doubled as long as the cost of the rounded scene falls.

        Args:
            index: int64 ``[B]``, the views by which to judge.
            target: ``[B, C, H, W]``, as :meth:`views` gives.
            lmbda: Weight of the rate.
            average_: Replaces figures by their means over all processes, which must agree.
        """
        latents = torch.round(self.latents).clamp(-LATENT_MAX, LATENT_MAX)

        def evaluate(mse: Tensor | None = None, latent_bits: Tensor | None = None) -> Tensor:
            """Cost, distortion and bits of the latents; either of these may be known already."""
            weights, weight_bits = self.quantized_weights()
            if mse is None:
                views = self.views(self.scene(latents, weights), weights, index)
                mse = _mse_yuv(_plane_errors(views, target).mean(0))
            if latent_bits is None:
                latent_bits = self.latent_bits(latents, weights)
            cost = mse + lmbda * self._rate(latent_bits + weight_bits)
            figures = torch.stack([cost, mse, latent_bits])
            average_(figures)
            return figures

        best, mse, latent_bits = evaluate()
        for spec, part in zip(self.specs, self._weight_slices, strict=True):
            # The entropy networks' tensors cannot change a sample, and no others the latents' rate.
            entropy_only = spec.name.startswith("arm.")
            kept, failures = 1.0, 0
            for shift in range(1, SHIFT_MAX + 1):
                self.coarseness[part] = 2.0**shift
                found = evaluate(mse) if entropy_only else evaluate(latent_bits=latent_bits)
                if found[0] < best:
                    best, mse, latent_bits = found
                    kept, failures = 2.0**shift, 0
                elif (failures := failures + 1) == _COARSEN_FAILURES:
                    break
            self.coarseness[part] = kept

    @torch.no_grad()
    def integers(self) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
        """Weights and latents as the file holds them."""
        flat = self._coded_weights() * self.coarseness + self._weight_default
        flat_weights = flat.cpu().numpy().astype(np.int32)
        weights = {
            s.name: flat_weights[p].reshape(s.shape)
            for s, p in zip(self.specs, self._weight_slices, strict=True)
        }
        flat = (
            torch.round(self.latents).clamp(-LATENT_MAX, LATENT_MAX).cpu().numpy().astype(np.int32)
        )
        return weights, [flat[self._slices[g.index]].reshape(g.shape) for g in self.grids]


def _layer(weights: dict[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Weights ``[n_out, n_in]`` and bias ``[n_out, 1]`` of a dense layer."""
    return weights[f"{name}.weight"], weights[f"{name}.bias"][:, None]


def _plane_errors(views: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each plane, of two stacks ``[B, C, H, W]``: ``[B, C]``."""
    return (views - target).square().mean((2, 3)) * 255.0**2


def _mse_yuv(errors: Tensor) -> Tensor:
    """The error of which PSNR-YUV is the decibel, of the errors of the planes ``[..., C]``."""
    if errors.shape[-1] == 1:
        return errors[..., 0]
    log_errors = torch.log(errors + 1e-3)
    return torch.exp(sum(k * log_errors[..., i] for i, k in enumerate(_LUMA_WEIGHTS)))
