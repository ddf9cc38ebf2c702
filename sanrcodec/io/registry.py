# SPDX-License-Identifier: MIT
"""Choice of the reader for a path; decodes nothing itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io import lenslet, mosaic, npy, viewdir
from sanrcodec.lightfield import MAX_GRID, LightField, StoredSamples, format_grid

__all__ = ["LAYOUTS", "read_light_field"]

Reader = Callable[
    [Path, "tuple[int, int] | None", Callable[[str], None]],
    "tuple[np.ndarray | StoredSamples, int]",
]
_READERS: dict[str, Reader] = {
    "mosaic": mosaic.read,
    "lenslet": lenslet.read,
    "views": viewdir.read,
    "npy": npy.read,
}
LAYOUTS = tuple(_READERS)


def read_light_field(
    path: str | os.PathLike[str],
    grid: tuple[int, int] | None = None,
    layout: str | None = None,
    bit_depth: int | None = None,
    notes: Callable[[str], None] | None = None,
) -> LightField:
    """Read a light field from a folder of views, a ``.npy`` file or one image.

    Args:
        path: A folder is read as views, ``.npy`` as an array, any other file as a mosaic.
        grid: Number of views ``(V, U)``; needed only where the input does not tell it.
        layout: ``mosaic``, ``lenslet``, ``views`` or ``npy``. A mosaic and a lenslet image look
            alike from outside, so that lenslet is never chosen without being asked for.
        bit_depth: Significant bits of a sample, if the file does not know it; rescales nothing.
        notes: Called with one line for each thing that was concluded and not told.

    Returns:
        The validated light field.

    Raises:
        LightFieldError: the input is missing, damaged, ambiguous or no light field.
    """
    path = Path(path)
    notes = notes or (lambda line: None)
    if not path.exists():
        raise LightFieldError(f"{path}: no such file or folder")
    if layout is None:
        layout = "views" if path.is_dir() else "npy" if path.suffix == ".npy" else "mosaic"
    if layout not in _READERS:
        raise LightFieldError(f"layout {layout!r} is unknown, expected {', '.join(LAYOUTS)}")
    if path.is_dir() != (layout == "views"):
        kind = "folder" if path.is_dir() else "file"
        raise LightFieldError(f"{path}: layout {layout!r} cannot be read from a {kind}")
    if grid is not None and not all(1 <= size <= MAX_GRID for size in grid):
        raise LightFieldError(f"grid {format_grid(grid)}: V and U run 1..{MAX_GRID}")
    samples, stored_depth = _READERS[layout](path, grid, notes)
    try:
        light_field = LightField(samples, bit_depth or stored_depth)
    except LightFieldError as error:
        raise LightFieldError(f"{path}: {error}") from None
    if bit_depth is None and stored_depth == 16:
        needed = light_field.largest_sample().bit_length()
        if 8 < needed < 16:
            notes(f"{path}: read as 16 bit, but no sample needs more than {needed} bits")
    return light_field
