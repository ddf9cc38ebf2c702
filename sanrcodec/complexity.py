# SPDX-License-Identifier: MIT
"""Arithmetic cost of decoding, counted from a header alone; decodes nothing.

Counts the multiply-accumulates of the decoder as it is written. Left out: clipping, rounding
shifts, the bilinear weights themselves and the range coder.
"""

from __future__ import annotations

import math
from typing import TypedDict

from sanrcodec import modelspec
from sanrcodec.header import StreamHeader
from sanrcodec.synthesis import HALF_SAMPLE_TAPS, N_DISPARITY_STEPS, UPSAMPLING_TAPS

__all__ = ["Complexity", "mac_per_pixel", "n_weights"]

_BILINEAR_TAPS = 4


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


def n_weights(header: StreamHeader) -> int:
    """Number of network weights that a file with this header holds."""
    return sum(math.prod(spec.shape) for spec in modelspec.tensor_specs(header))


def mac_per_pixel(header: StreamHeader) -> Complexity:
    """Count the multiply-accumulates that decoding takes.

    Args:
        header: Stream header.

    Returns:
        Costs by stage and their sums, see :class:`Complexity`.
    """
    sizes = {spec.name: math.prod(spec.shape) for spec in modelspec.tensor_specs(header)}
    canvas = math.prod(header.canvas)
    trunks = {"texture": header.n_textures, "geometry": 1} if header.layers else {"texture": 1}
    scene = dict.fromkeys(("entropy", "upsampling", "trunks", "filter", "doubling"), 0.0)
    for name, n_runs in trunks.items():
        scene["entropy"] += _entropy(header, name, sizes) / canvas
        scene["upsampling"] += n_runs * _upsampling(header, name) / canvas
        dense = _sum(sizes, f"{name}.", ".weight")
        if header.attention:
            dense += header.texture_levels if name == "texture" else header.geometry_levels
        scene["trunks"] += n_runs * dense
    scene["filter"] = float(header.n_textures * _filter(sizes))

    view = dict.fromkeys(("sampling", "compositing", "mlp", "color"), 0.0)
    if header.layers:
        # Every layer but the last has a visibility besides its features.
        n_planes = header.layers * (header.features + 1) - 1
        # Half-samples between rows, then between columns of twice as many rows.
        scene["doubling"] = float(3 * len(HALF_SAMPLE_TAPS) * n_planes)
        n_positions = (1 + N_DISPARITY_STEPS) * header.layers
        view["sampling"] = float(_BILINEAR_TAPS * n_planes + 2 * n_positions)
        view["compositing"] = float((header.layers - 1) * header.features)
    view["mlp"] = float(_sum(sizes, "view.", ".weight"))
    view["color"] = float(header.channels**2)

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


def _sum(sizes: dict[str, int], start: str, end: str) -> int:
    return sum(n for name, n in sizes.items() if name.startswith(start) and name.endswith(end))


def _filter(sizes: dict[str, int]) -> int:
    parts = ("linear", "hidden.weight", "output")
    return sum(sizes.get(f"color_filter.{part}", 0) for part in parts)


def _entropy(header: StreamHeader, name: str, sizes: dict[str, int]) -> int:
    """MAC of one entropy network over all of its latents."""
    model = 0 if name == "texture" else 1
    samples = sum(math.prod(g.shape) for g in modelspec.grids(header) if g.entropy_model == model)
    n_all = sum(sizes[f"arm.{name}.{part}"] for part in ("hidden", "output", "shortcut"))
    return samples * n_all // modelspec.N_KINDS


def _upsampling(header: StreamHeader, name: str) -> int:
    """MAC of doubling one pyramid level by level, all scales that exist so far together."""
    if name == "texture":
        first, n_levels = 0, header.texture_levels
    else:
        first, n_levels = header.geometry_first, header.geometry_levels
    coarsest = first + n_levels - 1
    total = 0
    for level in range(coarsest):
        n_scales = min(coarsest - level, n_levels)
        # Rows first: half of the samples of this level, then all of them.
        n_samples = 3 * math.prod(modelspec.level_shape(header.canvas, level)) // 2
        total += n_scales * len(UPSAMPLING_TAPS) * n_samples
    return total
