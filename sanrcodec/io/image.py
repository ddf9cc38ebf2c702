# SPDX-License-Identifier: MIT
"""One image file <-> samples of 8 to 16 bits, grey or RGB; knows nothing of light fields."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io import png, pnm
from sanrcodec.io.atomic import write_atomically

__all__ = ["SUFFIXES", "Image", "read_image", "write_view"]

SUFFIXES = frozenset(".bmp .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split())
_PILLOW_PIXELS = 2**26  # pillow warns, and later refuses, somewhat above this size


@dataclass(frozen=True, slots=True)
class Image:
    """Samples of one image file.

    Attributes:
        samples: uint8 or uint16 array ``[H, W, C]``.
        bit_depth: Significant bits of a sample, 8..16.
        text: Text chunks of a PNG.
    """

    samples: np.ndarray
    bit_depth: int
    text: dict[str, str] = field(default_factory=dict)


def read_image(path: str | os.PathLike[str]) -> Image:
    """Read an opaque grey or RGB image without converting any sample.

    Raises:
        LightFieldError: the file is missing, damaged, or has alpha, a palette or another mode.
    """
    try:
        return _decode(Path(path).read_bytes())
    except OSError as error:
        raise LightFieldError(f"{path}: cannot read: {error.strerror or error}") from error
    except LightFieldError as error:
        raise LightFieldError(f"{path}: {error}") from None


def write_view(path: str | os.PathLike[str], samples: np.ndarray, bit_depth: int) -> None:
    """Write one view as PNG, or as PPM or PGM where the file name ends so.

    Args:
        path: File to create or to replace.
        samples: uint8 or uint16 array ``[H, W, C]``, C is 1 or 3.
        bit_depth: Significant bits of a sample, 8..16.

    Raises:
        LightFieldError: the file name has another ending.
        SanrError: the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix in (".ppm", ".pgm"):
        write_atomically(path, lambda file: pnm.write_pnm(file, samples, bit_depth))
    elif suffix == ".png":
        write_atomically(path, lambda file: png.write_png(file, [samples], len(samples), bit_depth))
    else:
        raise LightFieldError(f"{path}: cannot write {suffix or 'this'!r}, expected .png or .ppm")


def _decode(content: bytes) -> Image:
    if content[:2] in pnm.MAGICS:
        return Image(*pnm.read_pnm(content))
    if not content.startswith(png.SIGNATURE):
        return Image(*_decode_with_pillow(content))
    parsed = png.parse_png(content)
    if parsed.bit_depth == 16 or parsed.width * parsed.height > _PILLOW_PIXELS:
        return Image(*png.decode_samples(parsed), parsed.text)
    return Image(*_decode_with_pillow(content), parsed.text)


def _decode_with_pillow(content: bytes) -> tuple[np.ndarray, int]:
    from PIL import Image as PillowImage
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)
            with PillowImage.open(io.BytesIO(content)) as image:
                _check_mode(image.mode, image.info, getattr(image, "n_frames", 1))
                samples = np.asarray(image)
    except LightFieldError:
        raise
    except UnidentifiedImageError:
        raise LightFieldError("this is no image that pillow can read") from None
    except PillowImage.DecompressionBombError:
        raise LightFieldError("the image is too large; store the views in a folder") from None
    except Exception as error:  # pillow's readers raise nearly anything on damaged files
        raise LightFieldError(f"the image is damaged: {error}") from error
    if samples.dtype.kind == "u" and samples.dtype.itemsize == 2:
        samples = samples.astype(np.uint16)
    return samples.reshape(*samples.shape[:2], -1), 8 * samples.dtype.itemsize


def _check_mode(mode: str, info: dict, n_frames: int) -> None:
    if n_frames != 1:
        raise LightFieldError(f"the file holds {n_frames} images, expected one")
    if mode == "P":
        raise LightFieldError("the image has a palette; convert it to RGB or grey first")
    if mode.endswith(("A", "a")) or "transparency" in info:
        raise LightFieldError("the image has an alpha channel; remove it, views are opaque")
    if mode not in ("L", "RGB") and not mode.startswith("I;16"):
        raise LightFieldError(f"the image has mode {mode}, expected 8- or 16-bit grey or RGB")
