# SPDX-License-Identifier: MIT
"""TIFF files of one image or many; pillow where it is exact, else the optional tifffile.

Knows no light field. tifffile is the extra ``tiff`` and is imported while a file is read.
"""

from __future__ import annotations

import io
import json
import math
import re
import warnings
from typing import Any

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io import pillow_image
from sanrcodec.io.bombs import refuse_bomb
from sanrcodec.io.extras import import_extra, silent_log
from sanrcodec.io.pixels import Image, orient, without_alpha

__all__ = ["MAGICS", "count_images", "read_tiff", "told_grid"]

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # classic and BigTIFF
_DESCRIPTION, _ORIENTATION, _SAMPLE_FORMAT = 0x010E, 0x0112, 0x0153
_BITS_PER_SAMPLE, _SAMPLES_PER_PIXEL = 0x0102, 0x0115
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2


def read_tiff(content: bytes) -> list[Image]:
    """Decode all images of a TIFF file, in their order.

    Dimensions of ImageJ and OME-TIFF follow each other as the file has them; a dimension of
    channels counts as color if it has 3, or 1.

    Args:
        content: The whole file.

    Raises:
        LightFieldError: the file is damaged, holds no 8- to 16-bit gray or RGB, or needs tifffile,
            which is not installed.
    """
    reason = _why_not_pillow(content)
    if not reason:
        return pillow_image.decode(content)
    tifffile = import_extra("tifffile", f"this TIFF {reason}")
    try:
        with warnings.catch_warnings(), silent_log("tifffile"):
            warnings.simplefilter("ignore")
            with tifffile.TiffFile(io.BytesIO(content)) as file:
                return _decode(file, len(content))
    except LightFieldError:
        raise
    except Exception as error:  # of damaged files, and of codecs that are not installed
        raise LightFieldError(f"the TIFF is damaged or compressed unusually: {error}") from error


def count_images(content: bytes) -> int:
    """Count the images of a TIFF file, those included that only ImageJ's description names."""
    with pillow_image.opened(content) as image:
        tags: dict[int, Any] = getattr(image, "tag_v2", {})
        match = re.search(r"^images=(\d+)", str(tags.get(_DESCRIPTION, "")), re.MULTILINE)
        return max(int(getattr(image, "n_frames", 1)), int(match[1]) if match else 0)


def told_grid(content: bytes, size: tuple[int, int], n_images: int) -> tuple[int, int] | None:
    """Return the two axes of images in the shape that tifffile wrote into the description.

    Args:
        content: The whole file.
        size: Rows and columns of an image.
        n_images: In the file.

    Returns:
        Their lengths; None if there is no such shape, or it has another number of axes.
    """
    with pillow_image.opened(content) as image:
        tags: dict[int, Any] = getattr(image, "tag_v2", {})
        description = str(tags.get(_DESCRIPTION, ""))
    try:
        shape = [int(length) for length in json.loads(description)["shape"]]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    is_image = shape[2:4] == [*size] and len(shape) in (4, 5)
    return (shape[0], shape[1]) if is_image and shape[0] * shape[1] == n_images else None


def _why_not_pillow(content: bytes) -> str:
    """Say why pillow does not read this file exactly; an empty string if it does."""
    try:
        with pillow_image.opened(content) as image:
            tags: dict[int, Any] = getattr(image, "tag_v2", {})
            description = str(tags.get(_DESCRIPTION, ""))
            channels = tags.get(_SAMPLES_PER_PIXEL, 1)
            depth = int(np.max(tags.get(_BITS_PER_SAMPLE, 1)))
            if channels > 1 and depth > 8:
                return f"holds {channels} channels of {depth} bits"
            if description.startswith("ImageJ=") or "<OME " in description:
                return "holds a stack of ImageJ or OME"
            if set(np.ravel(tags.get(_SAMPLE_FORMAT, 1))) != {1}:
                return ""  # refused by its mode
    except LightFieldError:
        return "is of a kind that pillow cannot read"
    return ""


def _decode(file: Any, n_file_bytes: int) -> list[Image]:
    if len(file.series) != 1:
        raise LightFieldError(
            f"the TIFF holds {len(file.series)} series of images of different kinds, expected one"
        )
    series, page = file.series[0], file.pages[0]
    if page.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
        raise LightFieldError(
            f"the TIFF is {getattr(page.photometric, 'name', page.photometric)}; "
            "convert it to gray or RGB first"
        )
    if series.dtype not in (np.uint8, np.uint16):
        raise LightFieldError(
            f"TIFF samples are {series.dtype}, expected 8 to 16 unsigned bits; convert the images "
            "first, for example by numpy: np.rint(255 * image).astype(np.uint8), if it runs 0..1"
        )
    refuse_bomb(math.prod(series.shape) * series.dtype.itemsize, n_file_bytes)
    # Of what lies in one piece, pages need not be listed; else they and their parts are read alone.
    if series.dataoffset is None and any(
        page is None or 0 in page.databytecounts for page in series.pages
    ):
        raise LightFieldError("the TIFF is damaged: parts of its images are missing")
    array, axes = series.asarray(), series.axes
    color = "S" if "S" in axes else "C" if "C" in axes and array.shape[axes.index("C")] <= 3 else ""
    order = [i for i, axis in enumerate(axes) if axis not in ("Y", "X", color)]
    order += [axes.index(axis) for axis in ("Y", "X", *color)]
    array = array.transpose(order)
    if not color:
        array = array[..., None]
    bit_depth = max(8, int(np.max(page.bitspersample)))
    if page.photometric == _WHITE_IS_ZERO:
        array = array.dtype.type((1 << bit_depth) - 1) - array
    tag = page.tags.get(_ORIENTATION)
    orientation = int(tag.value) if tag is not None else 1
    frames = array.reshape(-1, *array.shape[-3:])
    return [Image(orient(without_alpha(f, bit_depth), orientation), bit_depth) for f in frames]
