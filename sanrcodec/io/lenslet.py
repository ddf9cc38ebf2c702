# SPDX-License-Identifier: MIT
"""Lenslet images ``[H*V, W*U]``, pixel-major; undoes no rotation, no hexagonal grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io.image import read_image
from sanrcodec.io.mosaic import split, told_grid

__all__ = ["read"]


def read(
    path: Path, grid: tuple[int, int] | None, notes: Callable[[str], None]
) -> tuple[np.ndarray, int]:
    """Read samples ``[V, U, H, W, C]`` and the bit depth of an aligned lenslet image.

    Raises:
        LightFieldError: the image is damaged, or neither ``grid`` nor the file tells V x U.
    """
    image = read_image(path)
    grid = told_grid(path, image, grid)
    if grid is None:
        raise LightFieldError(f"{path}: a lenslet image does not tell its grid; add --grid VxU")
    n_v, n_u = grid
    height, width = split(path, image.samples, grid)
    macro_pixels = image.samples.reshape(height, n_v, width, n_u, -1)
    return np.ascontiguousarray(macro_pixels.transpose(1, 3, 0, 2, 4)), image.bit_depth
