# SPDX-License-Identifier: MIT
"""Headers and files of few bytes that ask for much. Must not decode anything."""

from __future__ import annotations

import dataclasses

import numpy as np
from headers import FLAT, HEADER

from sanrcodec.bitstream import container
from sanrcodec.bitstream.container import SectionType
from sanrcodec.bitstream.grids import grids
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.latents import pack_latents
from sanrcodec.bitstream.weights import pack_weights
from sanrcodec.scene.parts import default_weights

# The smallest model, and the largest one.
LEAST = dataclasses.replace(
    FLAT, n_v=64, n_u=64, bit_depth=8, texture_levels=1, texture_hidden=0, features=3,
    color_filter=0, filter_hidden=0, attention=0, view_depth=0, view_hidden=0, spatial=0,
    arm_hidden=1,
)  # fmt: skip
MOST = dataclasses.replace(
    HEADER, n_v=64, n_u=64, bit_depth=16, layers=4, margin_y=0, margin_x=0, texture_levels=12,
    occluded_first=0, texture_hidden=128, features=64, filter_hidden=64, attention=1,
    geometry_first=0, geometry_levels=12, geometry_hidden=64, slope_first=0, slope_levels=12,
    view_depth=4, view_hidden=128, arm_hidden=64,
)  # fmt: skip


def sized(header: StreamHeader, side: int) -> StreamHeader:
    return dataclasses.replace(header, height=side, width=side)


def file_of(header: StreamHeader, n_latent_bytes: int | None = None) -> bytes:
    """A file of default weights and of latents that are 0, or of that many bytes of them."""
    weights = default_weights(header)
    if n_latent_bytes is None:
        latents = [np.zeros(grid.shape, np.int32) for grid in grids(header)]
        coded = pack_latents(header, weights, latents)
    else:
        coded = bytes(n_latent_bytes)
    return container.pack(
        [
            (SectionType.HEADER, header.pack()),
            (SectionType.WEIGHTS, pack_weights(weights, weights)),
            (SectionType.LATENTS, coded),
        ]
    )


# Header, and bytes of latents.
BOMBS = {
    "least 2048": (sized(LEAST, 2048), 4),
    "most 1024": (sized(MOST, 1024), 128),
    "least 16384": (sized(LEAST, 16384), 8192),
    "most 512": (sized(MOST, 512), 64),
    "most 2008": (sized(MOST, 2008), 256),
}
