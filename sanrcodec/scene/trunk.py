# SPDX-License-Identifier: MIT
"""The trunks: what turns the upsampled latents of a pixel into features, or into geometry.

Scale attention weighs the levels, then comes a layer of leaky units beside a linear one.
See format_spec.md section 7.3.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sanrcodec.arithmetic.dense import Dense, LayerFormat, leaky_relu, round_shift
from sanrcodec.arithmetic.ops import Array, Ops
from sanrcodec.bitstream.grids import level_shape
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.tensors import TensorSpec, Weights, dense_tensors
from sanrcodec.scene.feature_layer import WeightRows
from sanrcodec.scene.formats import FEATURE_BITS, FEATURE_MAX, LATENT_BITS, LATENT_MAX_Q
from sanrcodec.scene.pyramid import Pyramid

__all__ = ["LATENT_SHIFT", "Trunk", "mac", "rows", "tensors"]

LATENT_SHIFT = 4  # one latent step is 2**-4 at the trunk's input
_HIDDEN_BITS = LATENT_BITS + LATENT_SHIFT  # inside a trunk, its inputs included
_HIDDEN_MAX = 65535
_GATE_BITS = 8
_LAYERS = {
    # Hard-sigmoid gates in 0..256, here less 256; at zero weights they keep a scale as is.
    "attention": LayerFormat(_HIDDEN_BITS, _GATE_BITS, LATENT_MAX_Q, -1 << _GATE_BITS, 0),
    "hidden": LayerFormat(_HIDDEN_BITS, _HIDDEN_BITS, LATENT_MAX_Q, -_HIDDEN_MAX, _HIDDEN_MAX),
    "output": LayerFormat(_HIDDEN_BITS, FEATURE_BITS, _HIDDEN_MAX, -FEATURE_MAX, FEATURE_MAX),
}


def tensors(header: StreamHeader, name: str) -> list[TensorSpec]:
    """Weights of the trunk of that name: ``texture``, ``geometry`` or ``slope``.

    The last one is a linear layer, the same for slopes along both axes.
    """
    if name == "slope":
        n_in = header.slope_levels
        if not header.has_slopes:
            return []
        return dense_tensors(f"{name}.output", n_in, header.channels, 0.0, n_in)
    if name == "geometry":
        n_in, hidden, n_out = header.geometry_levels, header.geometry_hidden, 2 * header.layers - 1
        if not header.layers:
            return []
    else:
        n_in, hidden, n_out = header.texture_levels, header.texture_hidden, header.features
    specs = []
    if header.attention:
        specs += dense_tensors(f"{name}.attention", n_in, n_in, 0.0, n_in)
    if hidden:
        specs += dense_tensors(f"{name}.hidden", n_in, hidden, 1.0, n_in)
    return specs + dense_tensors(f"{name}.output", n_in + hidden, n_out, 0.2, n_in)


def rows(header: StreamHeader, name: str) -> list[WeightRows]:
    """The layers of that trunk."""
    names = [spec.name for spec in tensors(header, name)]
    return [
        WeightRows((f"{name}.{layer}.weight",), f"{name}.{layer}.bias", form)
        for layer, form in _LAYERS.items()
        if f"{name}.{layer}.weight" in names
    ]


def mac(header: StreamHeader, name: str) -> float:
    """Multiply-accumulates for each canvas pixel of one layer."""
    specs = tensors(header, name)
    n_gates = sum(spec.size for spec in specs if spec.name == f"{name}.attention.bias")
    return float(n_gates + sum(spec.size for spec in specs if spec.name.endswith("weight")))


class Trunk:
    """Latents of one group -> planes on the canvas; encoder.scene has the float twin.

    Args:
        header: Stream header.
        weights: All weights of the file.
        name: As :func:`tensors` takes it.
        ops: Array backend.
        level: Of the canvas.

    Raises:
        LimitError: a layer's sums could leave the exact range.
    """

    def __init__(
        self, header: StreamHeader, weights: Weights, name: str, ops: Ops, level: int
    ) -> None:
        self.pyramid, self.level, self.ops = Pyramid.of(header, name), level, ops

        def dense(layer: str) -> Dense:
            weight, bias = (weights[f"{name}.{layer}.{key}"] for key in ("weight", "bias"))
            return Dense(weight, bias, _LAYERS[layer], name=f"{name}.{layer}", ops=ops)

        self.attention = dense("attention") if f"{name}.attention.weight" in weights else None
        self.hidden = dense("hidden") if f"{name}.hidden.weight" in weights else None
        self.output = dense("output")
        self.n_out = len(weights[f"{name}.output.bias"])

    def __call__(self, latents: list[npt.NDArray[np.int32]]) -> Array:
        """Grids coarse to fine -> integer-valued float32 ``[n_out, Hc * Wc]``, Q12."""
        ops = self.ops
        planes = [p.reshape(-1) for p in self.pyramid.planes(latents, self.level, ops)]
        n_pixels = math.prod(level_shape(self.pyramid.canvas, self.level))
        out = ops.zeros((self.n_out, n_pixels), ops.float32)
        for start in range(0, n_pixels, ops.block_pixels):
            block = slice(start, min(start + ops.block_pixels, n_pixels))
            x = ops.stack([plane[block] for plane in planes])
            if self.attention:
                gate = self.attention(x)
                gate += 1 << _GATE_BITS
                gate *= x
                x = round_shift(gate, _GATE_BITS, ops)
            if self.hidden:
                x = ops.concatenate([x, leaky_relu(self.hidden(x), ops)])
            out[:, block] = self.output(x)
        return out
