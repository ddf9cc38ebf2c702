# SPDX-License-Identifier: MIT
"""All parts of the model: their weight tensors in coding order, and what decoding them costs.

Follows from a header alone; decodes nothing. Costs are counted as the decoder is written. Left out:
clipping, rounding shifts, the bilinear weights themselves and the range coder.
"""

from __future__ import annotations

import math
from typing import TypedDict

import numpy as np

from sanrcodec.arithmetic.dense import row_sums
from sanrcodec.bitstream import defaults, entropy_network
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.tensors import TensorSpec, Weights
from sanrcodec.scene import color_filter, layers, pose, trunk, view_network, warp
from sanrcodec.scene.feature_layer import WeightRows
from sanrcodec.scene.pyramid import Pyramid

__all__ = [
    "Complexity",
    "bounded_weights",
    "check_weights",
    "default_weights",
    "mac_per_pixel",
    "n_weights",
    "tensor_specs",
]


class Complexity(TypedDict):
    """Multiply-accumulates (MAC).

    ``scene`` and its sum ``scene_per_canvas_pixel`` are spent once for each pixel of the canvas,
    ``view`` and its sum ``view_per_pixel`` for each pixel of each view. ``total_per_pixel`` is
    the sum for a pixel of a view when all views are decoded, ``single_view_per_pixel`` when one
    view is.
    """

    scene: dict[str, float]
    view: dict[str, float]
    scene_per_canvas_pixel: float
    view_per_pixel: float
    total_per_pixel: float
    single_view_per_pixel: float


def tensor_specs(header: StreamHeader) -> list[TensorSpec]:
    """All weight tensors in coding order. See format_spec.md section 5.4."""
    return [
        *trunk.tensors(header, "texture"),
        *color_filter.tensors(header),
        *trunk.tensors(header, "geometry"),
        *trunk.tensors(header, "slope"),
        *view_network.tensors(header),
        *entropy_network.tensors(header),
        *pose.tensors(header),
    ]


def default_weights(header: StreamHeader) -> Weights:
    """The weights from which a file with this header codes its differences, in coding order."""
    return defaults.default_weights(tensor_specs(header), header.gain)


def check_weights(header: StreamHeader, weights: Weights) -> None:
    """Refuse weights whose sums 32 bits might not hold. See format_spec.md section 7.1.

    Raises:
        LimitError: a row of weights adds up to too much.
    """
    for rows in _weight_rows(header):
        weight, bias = rows.of(weights)
        rows.form.check(weight, bias, ", ".join(rows.weights))


def bounded_weights(header: StreamHeader, weights: Weights) -> Weights:
    """Weights that :func:`check_weights` accepts: rows that add up to too much are scaled down.

    Those of a fit that went well are far below, and stay as they are.
    """
    bounded = dict(weights)
    for rows in _weight_rows(header):
        weight, bias = rows.of(weights)
        sums, largest = row_sums(weight), rows.form.largest_row_sums(bias)
        for j in np.flatnonzero(sums > largest).tolist():
            for name in rows.weights:
                if bounded[name] is weights[name]:
                    bounded[name] = weights[name].copy()
                row = bounded[name][j].astype(np.float64) * (largest[j] / sums[j])
                bounded[name][j] = np.trunc(row).astype(np.int32)
    return bounded


def _weight_rows(header: StreamHeader) -> list[WeightRows]:
    return [
        *trunk.rows(header, "texture"),
        *color_filter.rows(header),
        *trunk.rows(header, "geometry"),
        *trunk.rows(header, "slope"),
        *view_network.rows(header),
    ]


def n_weights(header: StreamHeader) -> int:
    """Number of network weights that a file with this header holds."""
    return sum(spec.size for spec in tensor_specs(header))


def mac_per_pixel(header: StreamHeader) -> Complexity:
    """Count the multiply-accumulates that decoding takes.

    Args:
        header: Stream header.

    Returns:
        Costs by stage and their sums, see :class:`Complexity`.
    """
    canvas = math.prod(header.canvas)
    n_runs = {
        "texture": header.n_textures,
        "geometry": int(header.layers > 0),
        "slope": 2 * int(header.has_slopes),
    }
    scene = {
        "entropy": entropy_network.mac(header) / canvas,
        "upsampling": sum(
            n * Pyramid.of(header, name).mac() / canvas for name, n in n_runs.items()
        ),
        "trunks": sum(n * trunk.mac(header, name) for name, n in n_runs.items()),
        "filter": header.n_textures * color_filter.mac(header),
        "doubling": 0.0,
    }
    view = {
        "sampling": 0.0, "compositing": 0.0,
        "mlp": view_network.mac(header), "color": float(header.channels**2),
    }  # fmt: skip
    if header.layers:
        n_planes = layers.n_planes(header)
        scene["doubling"] = warp.interpolation_mac(n_planes)
        view["sampling"] = warp.sampling_mac(n_planes, header.layers)
        view["compositing"] = layers.compositing_mac(header)

    scene_sum, view_sum = sum(scene.values()), sum(view.values())
    one_view = scene_sum * canvas / (header.height * header.width)
    return Complexity(
        scene=scene,
        view=view,
        scene_per_canvas_pixel=scene_sum,
        view_per_pixel=view_sum,
        total_per_pixel=one_view / (header.n_v * header.n_u) + view_sum,
        single_view_per_pixel=one_view + view_sum,
    )
