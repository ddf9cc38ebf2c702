# SPDX-License-Identifier: MIT
"""Files of flat layers at known disparities: geometry by construction, not by a fit."""

from __future__ import annotations

import numpy as np

from sanrcodec.bitstream import container
from sanrcodec.bitstream.container import SectionType
from sanrcodec.bitstream.grids import grids
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.latents import pack_latents
from sanrcodec.bitstream.weights import pack_weights
from sanrcodec.scene.parts import default_weights

GRID = 3, 5


def plane_file(disparities: tuple[float, ...], visibility: float = 1.0, **fields: int) -> bytes:
    """A light field of textured planes, the nearest first.

    Args:
        disparities: Of each layer, the higher the nearer, in pixels per view.
        visibility: Of all layers but the last.
        fields: Header fields to change.
    """
    header = StreamHeader(**{
        "n_v": GRID[0], "n_u": GRID[1], "height": 40, "width": 56, "channels": 3, "bit_depth": 8,
        "layers": len(disparities), "margin_y": 6, "margin_x": 8, "mirrored": 0,
        "axes_reversed": 0, "transposed": 0, "gain": 16, "texture_levels": 5, "occluded_first": 1,
        "texture_hidden": 0, "features": 3, "color_filter": 0, "filter_hidden": 0, "attention": 0,
        "geometry_first": 0, "geometry_levels": 1, "geometry_hidden": 0,
        "slope_first": 0, "slope_levels": 0, "view_depth": 0,
        "view_hidden": 0, "spatial": 0, "arm_hidden": 4, "per_view": 0, "profile": 255, **fields,
    })  # fmt: skip
    defaults = default_weights(header)
    weights = {name: np.zeros_like(default) for name, default in defaults.items()}
    weights["texture.output.weight"][0] = 60
    weights["texture.output.bias"][0] = 512
    bias = weights["geometry.output.bias"]
    # Eighths of a disparity, and visibilities around one half, in 2**-10.
    bias[: len(disparities)] = np.rint(np.array(disparities) * (-1024 / 8))
    bias[len(disparities) :] = round((visibility - 0.5) * 1024)
    rng = np.random.default_rng(1)
    latents = [
        np.rint(rng.normal(0, 9, grid.shape)).astype(np.int32)
        if grid.level in (2, 3) and grid.group >= 0
        else np.zeros(grid.shape, np.int32)
        for grid in grids(header)
    ]
    return container.pack(
        [
            (SectionType.HEADER, header.pack()),
            (SectionType.WEIGHTS, pack_weights(defaults, weights)),
            (SectionType.LATENTS, pack_latents(header, weights, latents)),
        ]
    )
