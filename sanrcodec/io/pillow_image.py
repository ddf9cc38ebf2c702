# SPDX-License-Identifier: MIT
"""Images that pillow reads exactly; refuses those of which pillow would drop bits.

Pillow is imported while an image is read. Nothing here knows PNG text, PNM or 16-bit PNG.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io.bombs import refuse_bomb
from sanrcodec.io.extras import silent_log
from sanrcodec.io.pixels import Image, orient, without_alpha

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

__all__ = ["MAX_PIXELS", "decode", "opened", "orientation_of_exif", "probe"]

MAX_PIXELS = 2**26  # pillow warns, and later refuses, somewhat above this size
_ORIENTATION = 0x0112
_PHOTOMETRIC = 0x0106
_BITS_PER_SAMPLE = 0x0102
# Modes that are shown as they are, or as what they convert to without loss.
_CONVERTED = {
    "L": "L", "RGB": "RGB", "LA": "LA", "RGBA": "RGBA", "1": "L", "P": "RGB", "PA": "RGBA",
    "La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "YCbCr": "RGB",
}  # fmt: skip

_CONVERTERS = {  # both keep all bits
    "AVIF": "avifdec --depth 16 view.avif view.png",
    "JPEG2000": "opj_decompress -i view.jp2 -o view.ppm",
}


@contextmanager
def opened(content: bytes | Path) -> Iterator[PillowImage]:
    """Open an image; errors of pillow become one clear line.

    Raises:
        LightFieldError: this is no image, too large for pillow, or damaged.
    """
    from PIL import Image as PillowModule
    from PIL import UnidentifiedImageError

    source = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        with warnings.catch_warnings(), silent_log("PIL"):
            warnings.simplefilter("ignore")  # of large images, and of odd metadata
            with PillowModule.open(source) as image:
                yield image
    except LightFieldError:
        raise
    except UnidentifiedImageError:
        raise LightFieldError(
            "this is no image that pillow can read; convert it to PNG first, or give views in a "
            "folder, or an array"
        ) from None
    except PillowModule.DecompressionBombError:
        raise LightFieldError("the image is too large; store the views in a folder") from None
    except Exception as error:  # pillow's readers raise nearly anything on damaged files
        raise LightFieldError(f"the image is damaged: {error}") from error


def decode(content: bytes) -> list[Image]:
    """Decode all frames of a file.

    Args:
        content: The whole file.

    Raises:
        LightFieldError: the file is damaged, too large, or far too small for its size in pixels;
            its mode is none of gray and RGB, a pixel is transparent, or pillow would drop bits.
    """
    with opened(content) as image:
        _refuse_hidden_depth(image, content)
        n_frames = getattr(image, "n_frames", 1)
        remarks = _remarks(image)
        if image.format == "MPO" and n_frames > 1:  # previews, or what else a phone adds
            more = f"{n_frames - 1} further pictures" if n_frames > 2 else "another picture"
            verb = "are" if n_frames > 2 else "is"
            remarks += (f"{more} in the JPEG file {verb} left out",)
            n_frames = 1
        n_bytes = 2 if image.mode.startswith("I;16") else len(_CONVERTED.get(image.mode, "I;32"))
        refuse_bomb(n_frames * image.width * image.height * n_bytes, len(content))
        frames = []
        for number in range(n_frames):
            if n_frames > 1:
                image.seek(number)
            frames.append(Image(*_samples(image, content), remarks=remarks))
        return frames


def probe(path: Path) -> tuple[tuple[int, int], str] | None:
    """Tell size and mode of an image from its header; None if it can be no view."""
    with suppress(LightFieldError), opened(path) as image:
        if image.mode in _CONVERTED or image.mode.startswith("I;16"):
            return image.size, image.mode
    return None


def orientation_of_exif(exif: bytes) -> int:
    """Read the orientation tag, 1..8, of an EXIF block; 1 if there is none."""
    from PIL import Image as PillowModule

    tags = PillowModule.Exif()
    with suppress(Exception):  # damaged metadata change no sample
        tags.load(b"Exif\0\0" + exif)
        return int(tags.get(_ORIENTATION, 1))
    return 1


def _samples(image: PillowImage, content: bytes) -> tuple[np.ndarray, int]:
    image.load()
    orientation = 1
    if image.format != "TIFF":  # which pillow turns while loading
        with suppress(Exception):  # damaged metadata change no sample
            orientation = int(image.getexif().get(_ORIENTATION, 1))
    if image.mode.startswith("I;16"):
        samples = np.asarray(image).astype(np.uint16)[..., None]
        samples, bit_depth = _restore_depth(image, samples, content)
        return orient(samples, orientation), bit_depth
    if image.mode not in _CONVERTED:
        raise LightFieldError(
            f"the image has mode {image.mode}; convert it to 8- or 16-bit gray or RGB first"
        )
    mode = _CONVERTED[image.mode]
    if "transparency" in image.info and not mode.endswith("A"):
        mode = "RGBA" if mode == "RGB" else "LA"
    shown = image if image.mode == mode else image.convert(mode)
    samples = np.asarray(shown)
    samples = samples.reshape(*samples.shape[:2], -1)
    return orient(without_alpha(samples, 8), orientation), 8


def _restore_depth(
    image: PillowImage, samples: np.ndarray, content: bytes
) -> tuple[np.ndarray, int]:
    """Undo what pillow does to gray images of more than 8 bits; return them and their depth."""
    tags: dict[int, Any] = getattr(image, "tag_v2", {})
    if tags:
        bits = int(np.max(tags.get(_BITS_PER_SAMPLE, 16)))
        if tags.get(_PHOTOMETRIC) == 0:  # white is zero; pillow inverts 8 bits only
            samples = np.uint16((1 << bits) - 1) - samples
        return samples, bits
    bits = _jpeg2000_depth(content) if image.format == "JPEG2000" else 16
    if bits < 16:  # pillow shifts to the upper end
        shifted = samples >> (16 - bits)
        if np.array_equal(shifted << (16 - bits), samples):
            return shifted, bits
    return samples, 16


def _refuse_hidden_depth(image: PillowImage, content: bytes) -> None:
    """Refuse a color image of more than 8 bits, of which pillow would keep 8.

    TIFF is looked at elsewhere, since there is another reader for it.
    """
    if image.mode.startswith("I;16"):
        return
    depth = 8
    if image.format == "JPEG2000":
        depth = _jpeg2000_depth(content)
    elif image.format == "AVIF":
        start = content.find(b"av1C")  # AV1 Codec ISO Media File Format Binding, section 2.3
        if 0 <= start < len(content) - 6 and content[start + 6] & 0x40:
            depth = 12 if content[start + 6] & 0x20 else 10
    if depth > 8:
        raise LightFieldError(
            f"this {image.format} holds color of {depth} bits per sample, of which pillow would "
            f"keep 8; convert it first, for example: {_CONVERTERS[str(image.format)]}"
        )


def _jpeg2000_depth(content: bytes) -> int:
    """Bits of the first component, from the SIZ marker (ISO/IEC 15444-1, A.5.1)."""
    start = content.find(b"\xff\x4f\xff\x51")
    if start < 0 or start + 42 >= len(content):
        return 16
    return (content[start + 42] & 0x7F) + 1


def _remarks(image: PillowImage) -> tuple[str, ...]:
    profile = image.info.get("icc_profile")
    if not profile:
        return ()
    name = "without a name"
    with suppress(Exception):  # pillow may be built without the library
        from PIL import ImageCms

        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    return () if "srgb" in name.lower() else (f"color profile {name!r} is not kept",)
