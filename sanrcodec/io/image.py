# SPDX-License-Identifier: MIT
"""One image file <-> samples of 8 to 16 bits, gray or RGB; knows nothing of light fields."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io import pillow_image, png, pnm, tiff
from sanrcodec.io.atomic import write_atomically
from sanrcodec.io.bombs import refuse_bomb
from sanrcodec.io.pixels import Image, orient, without_alpha

__all__ = [
    "SUFFIXES",
    "Image",
    "count_frames",
    "encode_view",
    "probe_image",
    "read_frames",
    "read_image",
    "write_view",
]

SUFFIXES = frozenset(
    ".apng .avif .bmp .dib .gif .j2c .j2k .jfif .jp2 .jpe .jpeg .jpf .jpg .jpx .pgm .png .pnm .ppm "
    ".tga .tif .tiff .webp".split()
)


def read_image(path: str | os.PathLike[str]) -> Image:
    """Read an opaque gray or RGB image as a viewer shows it, without losing a bit of any sample.

    Raises:
        LightFieldError: the file is missing, damaged, transparent or of another kind, or holds
            more than one image.
    """
    frames = read_frames(path)
    if len(frames) != 1:
        raise LightFieldError(
            f"{path}: the file holds {len(frames)} images, expected one; "
            "if they are the views, add --layout stack --grid VxU"
        )
    return frames[0]


def read_frames(path: str | os.PathLike[str]) -> list[Image]:
    """Read all images of one file, in their order; otherwise like `read_image`."""
    try:
        _check_kind(Path(path))
        return _decode(Path(path).read_bytes())
    except OSError as error:
        raise LightFieldError(f"{path}: cannot read: {error.strerror or error}") from error
    except LightFieldError as error:
        raise LightFieldError(f"{path}: {error}") from None


def count_frames(path: Path) -> int:
    """Count the images of a file, as far as its header tells without decoding; 0 if it is none."""
    try:
        with path.open("rb") as file:
            if file.read(4) in tiff.MAGICS:
                return tiff.count_images(path.read_bytes())
        with pillow_image.opened(path) as image:
            return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
    except (LightFieldError, OSError):
        return 0


def probe_image(path: Path) -> tuple[tuple[int, int], str] | None:
    """Tell size and kind of samples from the header alone; None if the file can be no view."""
    return pillow_image.probe(path)


def encode_view(samples: np.ndarray, bit_depth: int) -> bytes:
    """Return a PNG of one view ``[H, W, C]``, uint8 or uint16 of 8 to 16 significant bits."""
    packed = io.BytesIO()
    png.write_png(packed, [samples], len(samples), bit_depth)
    return packed.getvalue()


def write_view(path: str | os.PathLike[str], samples: np.ndarray, bit_depth: int) -> None:
    """Write one view as PNG, or as PPM or PGM where the file name ends so.

    Args:
        path: File to create or to replace.
        samples: uint8 or uint16 array ``[H, W, C]``, C is 1 or 3.
        bit_depth: Significant bits of a sample, 8..16.

    Raises:
        LightFieldError: the file name has another ending, or one of gray images for color, or
            samples or depth are others.
        SanrError: the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".pgm" and np.shape(samples)[2:] == (3,):
        raise LightFieldError(f"{path}: a .pgm is gray, but this view has color; name it .ppm")
    if suffix in (".ppm", ".pgm"):
        write_atomically(path, lambda file: pnm.write_pnm(file, samples, bit_depth))
    elif suffix == ".png":
        write_atomically(path, lambda file: png.write_png(file, [samples], len(samples), bit_depth))
    else:
        raise LightFieldError(f"{path}: cannot write {suffix or 'this'!r}, expected .png or .ppm")


def _check_kind(path: Path) -> None:
    """Refuse what is no image by its first bytes, before all of a large file is read."""
    with path.open("rb") as file:
        start = file.read(len(png.SIGNATURE))
    if not start:
        raise LightFieldError("the file is empty, expected an image")
    if start[:2] not in pnm.MAGICS and start[:4] not in tiff.MAGICS and start != png.SIGNATURE:
        with pillow_image.opened(path):
            pass


def _decode(content: bytes) -> list[Image]:
    if content[:2] in pnm.MAGICS:
        return [Image(*pnm.read_pnm(content))]
    if content[:4] in tiff.MAGICS:
        return tiff.read_tiff(content)
    if not content.startswith(png.SIGNATURE):
        return pillow_image.decode(content)
    parsed = png.parse_png(content)
    own = parsed.bit_depth == 16 or parsed.width * parsed.height > pillow_image.MAX_PIXELS
    if own and (parsed.palette or parsed.bit_depth < 8):
        raise LightFieldError("the image is too large; store the views in a folder")
    space = (f"{parsed.color_space} is not kept",) if parsed.color_space else ()
    if not own:
        frames = pillow_image.decode(png.without_text(content))
        return [Image(f.samples, f.bit_depth, parsed.text, f.remarks + space) for f in frames]
    n_bytes = parsed.width * parsed.height * parsed.channels * parsed.bit_depth // 8
    refuse_bomb(n_bytes, len(content))
    samples, bit_depth = png.decode_samples(parsed)
    samples = without_alpha(samples, bit_depth)
    if parsed.exif:
        samples = orient(samples, pillow_image.orientation_of_exif(parsed.exif))
    remarks = (f"color profile {parsed.profile!r} is not kept",) if parsed.profile else ()
    return [Image(samples, bit_depth, parsed.text, remarks + space)]
