# SPDX-License-Identifier: MIT
"""Maps of one real number per pixel, such as disparities: written as PFM, NPY, TIFF or PNG."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from sanrcodec.errors import LightFieldError
from sanrcodec.io import png
from sanrcodec.io.atomic import write_atomically

__all__ = ["FLOAT_MAP_SUFFIXES", "RANGE_KEY", "write_float_map"]

FLOAT_MAP_SUFFIXES = (".pfm", ".npy", ".tif", ".tiff", ".png")
RANGE_KEY = "sanr:range"  # keyword of the text chunk that tells what 0 and 65535 stand for


def write_float_map(path: str | os.PathLike[str], values: npt.NDArray[np.floating]) -> str:
    """Write a map; the ending of the name chooses the format.

    PFM, NPY and TIFF keep the numbers, as float32. PNG is for looking at: 16 bit, and the map's
    smallest and largest number become 0 and 65535, which a text chunk ``sanr:range`` tells.

    Args:
        path: File to create or to replace.
        values: ``[H, W]``, finite.

    Returns:
        A few words on how the numbers are kept.

    Raises:
        LightFieldError: the file name has another ending.
        SanrError: the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    exact = np.asarray(values, np.float32)
    if suffix == ".pfm":
        write_atomically(path, lambda file: _write_pfm(file, exact))
    elif suffix == ".npy":
        write_atomically(path, lambda file: np.save(file, exact))
    elif suffix in (".tif", ".tiff"):
        from PIL import Image

        write_atomically(path, lambda file: Image.fromarray(exact).save(file, "TIFF"))
    elif suffix == ".png":
        low, high = float(exact.min()), float(exact.max())
        scaled = (exact - low) * (65535 / (high - low) if high > low else 0)
        samples = np.rint(scaled).astype(np.uint16)[..., None]
        text = {RANGE_KEY: f"{low:.9g} {high:.9g}"}
        write_atomically(path, lambda file: png.write_png(file, [samples], len(samples), 16, text))
        return f"0 is {low:.3f}, 65535 is {high:.3f}"
    else:
        raise LightFieldError(
            f"{path}: cannot write {suffix or 'this'!r}, expected {', '.join(FLOAT_MAP_SUFFIXES)}"
        )
    return "float32"


def _write_pfm(file: BinaryIO, values: npt.NDArray[np.float32]) -> None:
    """Little endian, the last row first."""
    height, width = values.shape
    file.write(b"Pf\n%d %d\n-1.0\n" % (width, height))
    file.write(values[::-1].astype("<f4").tobytes())
