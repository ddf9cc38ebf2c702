# SPDX-License-Identifier: MIT
"""Lenslet images ``[H*V, W*U]``, pixel-major; undoes no rotation, no hexagonal grid."""

from __future__ import annotations

from sanrcodec.errors import LightFieldError
from sanrcodec.io.mosaic import read_whole, split, stated_grid
from sanrcodec.io.reading import Layout, Reading, Request

__all__ = ["LAYOUT"]


def _read(request: Request) -> Reading:
    """Read an aligned lenslet image.

    Raises:
        LightFieldError: the image is damaged, or neither the user nor the file tells V x U.
    """
    image = read_whole(request)
    grid = stated_grid(request, image)
    if grid is None:
        raise LightFieldError(
            f"{request.path}: a lenslet image does not tell its grid; add --grid VxU"
        )
    n_v, n_u = grid
    height, width = split(request.path, image.samples, grid)
    pixels = image.samples.reshape(height, n_v, width, n_u, -1)
    return Reading(pixels.transpose(1, 3, 0, 2, 4), image.bit_depth, "lenslet image")


LAYOUT = Layout("lenslet", _read, lambda path: False, frozenset({"grid"}))
