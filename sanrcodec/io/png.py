# SPDX-License-Identifier: MIT
"""Strict PNG chunks, plus the 16-bit samples that pillow cannot hold; never imports pillow.

Follows "Portable Network Graphics (PNG) Specification", RFC 2083.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from sanrcodec.errors import LightFieldError
from sanrcodec.io.pixels import checked_samples

__all__ = [
    "GRID_KEY",
    "SIGNATURE",
    "Png",
    "decode_samples",
    "parse_png",
    "without_text",
    "write_png",
]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRID_KEY = "sanr:grid"  # keyword of the text chunk that tells V x U, for example "9x9"

_GRAY, _RGB, _PALETTE, _GRAY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
_CHANNELS = {_GRAY: 1, _RGB: 3, _PALETTE: 1, _GRAY_ALPHA: 2, _RGB_ALPHA: 4}
_DEPTHS = {_GRAY: (1, 2, 4, 8, 16), _PALETTE: (1, 2, 4, 8)}  # else 8 and 16
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_MAX_PIXELS = 2**30
# First row and column, and steps, of the seven passes of an interlaced image (section 2.6).
_ADAM7 = (
    (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2),
    (0, 1, 2, 2), (1, 0, 2, 1),
)  # fmt: skip
# Of ITU-T H.273: sRGB, and what a viewer shows nearly alike.
_PRIMARIES_709, _TRANSFERS_709 = 1, (1, 6, 13, 14, 15)
_USUAL_GAMMA_ERROR = 0.02  # of 1 / 2.2, which is written with more or fewer digits
_FILTERED_ROWS = 64  # filtered at once: keeps the working set in cache


@dataclass(frozen=True, slots=True)
class Png:
    """The parts of a PNG file that matter here; the samples are still compressed.

    Attributes:
        channels: Of a pixel, alpha included; 1 with a palette.
        transparent: The color, one sample per channel, whose pixels are transparent; or empty.
        exif: Body of the eXIf chunk.
        profile: Name of the color profile.
        color_space: What else says that colors are no sRGB, a few words; or empty.
    """

    width: int
    height: int
    channels: int
    bit_depth: int
    palette: bool
    significant_bits: int
    interlaced: bool
    transparent: tuple[int, ...]
    text: dict[str, str]
    exif: bytes
    profile: str
    color_space: str
    compressed: bytes


def parse_png(content: bytes) -> Png:
    """Split a PNG file into chunks and check all of them, without decompressing.

    Args:
        content: The whole file.

    Returns:
        Header, metadata and compressed samples.

    Raises:
        LightFieldError: the file is damaged or too large.
    """
    header: tuple[int, ...] = ()
    significant_bits = 0
    text: dict[str, str] = {}
    compressed: list[bytes] = []
    found: dict[bytes, bytes] = {}
    for kind, body, _ in _chunks(content):
        if not header:
            if kind != b"IHDR" or len(body) != 13:
                raise LightFieldError("the PNG is damaged: it does not start with its header")
            header = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            compressed.append(body)
        elif kind == b"sBIT":
            significant_bits = max(body, default=0)
        elif kind in (b"tRNS", b"eXIf", b"iCCP", b"sRGB", b"gAMA", b"cICP"):
            found[kind] = body
        elif kind == b"tEXt":
            key, _, value = body.partition(b"\0")
            text[key.decode("latin-1")] = value.decode("latin-1")
    width, height, bit_depth, color, compression, filtering, interlace = header
    if color not in _CHANNELS or compression or filtering or interlace > 1:
        raise LightFieldError("the PNG is damaged: its header has reserved values")
    if bit_depth not in _DEPTHS.get(color, (8, 16)):
        raise LightFieldError(f"the PNG is damaged: {bit_depth} bits per sample of color {color}")
    if not 0 < width * height <= _MAX_PIXELS:
        raise LightFieldError(f"the PNG is {width} x {height}, expected 1..{_MAX_PIXELS} pixels")
    transparent = found.get(b"tRNS", b"") if color in (_GRAY, _RGB) else b""
    if len(transparent) % 2:
        raise LightFieldError("the PNG is damaged: its transparent color is cut short")
    return Png(
        width=width,
        height=height,
        channels=_CHANNELS[color],
        bit_depth=bit_depth,
        palette=color == _PALETTE,
        significant_bits=significant_bits,
        interlaced=bool(interlace),
        transparent=struct.unpack(f">{len(transparent) // 2}H", transparent),
        text=text,
        exif=found.get(b"eXIf", b""),
        profile=found.get(b"iCCP", b"").partition(b"\0")[0].decode("latin-1"),
        color_space=_color_space(found),
        compressed=b"".join(compressed),
    )


def _color_space(chunks: dict[bytes, bytes]) -> str:
    """Say what other color space than sRGB the chunk says that counts, without a profile.

    See "Portable Network Graphics (PNG) Specification (Third Edition)", section 4.3.
    """
    points = chunks.get(b"cICP", b"")
    if len(points) == 4:
        is_usual = points[0] == _PRIMARIES_709 and points[1] in _TRANSFERS_709
        return "" if is_usual else f"color space cICP {points[0]}, {points[1]}"
    gamma = chunks.get(b"gAMA", b"")
    if len(gamma) != 4 or b"iCCP" in chunks or b"sRGB" in chunks:
        return ""
    value = int.from_bytes(gamma, "big") / 100000
    return "" if abs(value - 1 / 2.2) <= _USUAL_GAMMA_ERROR else f"gamma {value:g}"


def without_text(content: bytes) -> bytes:
    """Return a file without its text chunks, of which pillow reads a certain amount only.

    Args:
        content: A whole file that `parse_png` accepts.
    """
    kept = [content[span] for kind, _, span in _chunks(content) if kind not in _TEXT]
    return SIGNATURE + b"".join(kept)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, slice]]:
    """Yield kind, body and place of each chunk up to the last one.

    Raises:
        LightFieldError: the file is cut short, or a checksum is wrong.
    """
    position, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        if position + 12 > len(content):
            raise LightFieldError("the PNG is truncated")
        length, kind = struct.unpack_from(">I4s", content, position)
        body = content[position + 8 : position + 8 + length]
        if position + 12 + length > len(content):
            raise LightFieldError(f"the PNG is truncated inside chunk {_name(kind)}")
        (crc,) = struct.unpack_from(">I", content, position + 8 + length)
        if zlib.crc32(body, zlib.crc32(kind)) != crc:
            raise LightFieldError(f"the PNG is damaged: chunk {_name(kind)} has a wrong CRC")
        yield kind, body, slice(position, position + 12 + length)
        position += 12 + length


def decode_samples(png: Png) -> tuple[np.ndarray, int]:
    """Decompress the samples of a PNG of 8 or 16 bits without a palette.

    An ``sBIT`` chunk is believed only where dropping the low bits loses nothing.

    Returns:
        ``(samples, bit_depth)``: uint8 or uint16 array ``[H, W, C]``, alpha included.

    Raises:
        LightFieldError: a pixel has the transparent color, or the samples are damaged.
    """
    n_step = png.channels * png.bit_depth // 8
    passes = [
        (y, x, dy, dx, -(-(png.height - y) // dy), -(-(png.width - x) // dx))
        for y, x, dy, dx in (_ADAM7 if png.interlaced else ((0, 0, 1, 1),))
        if y < png.height and x < png.width
    ]
    n_expected = sum(height * (1 + width * n_step) for *_, height, width in passes)
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(png.compressed, n_expected + 1)
    except zlib.error:
        raise LightFieldError("the PNG is damaged: its samples do not decompress") from None
    if len(inflated) != n_expected:
        raise LightFieldError(
            f"the PNG is damaged: {len(inflated)} bytes of samples, expected {n_expected}"
        )
    raw = np.empty((png.height, png.width, n_step), np.uint8)
    position = 0
    for y, x, dy, dx, height, width in passes:
        n_bytes = height * (1 + width * n_step)
        lines = np.frombuffer(inflated, np.uint8, n_bytes, position).reshape(height, -1)
        filtered = lines[:, 1:].reshape(height, width, n_step)
        raw[y::dy, x::dx] = _unfilter(filtered, lines[:, 0])
        position += n_bytes
    samples = raw
    if png.bit_depth == 16:
        samples = raw.view(">u2").astype(np.uint16)
    if len(png.transparent) == png.channels and (samples == png.transparent).all(2).any():
        raise LightFieldError("pixels of the PNG have its transparent color; views are opaque")
    if png.bit_depth == 8:
        return samples, 8
    depth = png.significant_bits
    if 8 <= depth < 16:
        reduced = samples >> (16 - depth)
        if np.array_equal(_widen(reduced, depth), samples):
            return reduced.astype(np.uint8 if depth == 8 else np.uint16), depth
    return samples, 16


def write_png(
    file: BinaryIO,
    bands: Iterable[np.ndarray],
    height: int,
    bit_depth: int,
    text: dict[str, str] | None = None,
) -> None:
    """Write a PNG band by band, so that a large image is never held as a whole.

    Depths 9..15 fill all 16 bits by bit replication and are named in an ``sBIT`` chunk, as the
    specification recommends; `decode_samples` restores them exactly.

    Args:
        file: Open binary file.
        bands: Arrays ``[n, width, C]`` of uint8 or uint16, top to bottom, together ``height`` rows.
        height: Rows of the image.
        bit_depth: Significant bits of a sample, 8..16.
        text: Keyword and value of each Latin-1 text chunk.

    Raises:
        LightFieldError: samples or depth are others.
    """
    # Filtered rows hold little that strings of more than one value would find: a seventh of the
    # time, for 2 % more bytes or even fewer.
    deflater = zlib.compressobj(strategy=zlib.Z_RLE)
    above: npt.NDArray[np.uint8] | None = None
    for samples in bands:
        band, bit_depth = checked_samples(samples, bit_depth)
        n_rows, width, channels = band.shape
        if above is None:
            color = _RGB if channels == 3 else _GRAY
            stored = 8 if bit_depth == 8 else 16
            header = struct.pack(">IIBBBBB", width, height, stored, color, 0, 0, 0)
            file.write(SIGNATURE + _chunk(b"IHDR", header))
            if stored != bit_depth < 16:
                file.write(_chunk(b"sBIT", bytes([bit_depth] * channels)))
            for key, value in (text or {}).items():
                file.write(_chunk(b"tEXt", f"{key}\0{value}".encode("latin-1")))
            above = np.zeros((1, width, channels * stored // 8), np.uint8)
        wide = band if bit_depth == 8 else _widen(band, bit_depth).astype(">u2")
        raw = np.ascontiguousarray(wide).view(np.uint8).reshape(n_rows, width, -1)
        lines = np.concatenate([above, raw])
        for start in range(0, n_rows, _FILTERED_ROWS):
            packed = deflater.compress(_filter(lines[start : start + _FILTERED_ROWS + 1]))
            if packed:
                file.write(_chunk(b"IDAT", packed))
        above = raw[-1:]
    file.write(_chunk(b"IDAT", deflater.flush()) + _chunk(b"IEND", b""))


def _widen(samples: np.ndarray, bit_depth: int) -> npt.NDArray[np.uint16]:
    """Stretch samples of 8..16 bits to 16 bits; the low bits repeat the high ones."""
    wide = samples.astype(np.uint16, copy=False)
    return ((wide << (16 - bit_depth)) | (wide >> (2 * bit_depth - 16))).astype(
        np.uint16, copy=False
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _name(kind: bytes) -> str:
    return kind.decode("ascii", "replace") if kind.isalpha() else repr(kind)


def _predict(left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> tuple[np.ndarray, ...]:
    """Predictions of the five filter types 0..4 from int16 neighbors."""
    to_left, to_up = abs(up - corner), abs(left - corner)
    to_corner = abs(left + up - 2 * corner)
    paeth = np.where(to_up <= to_corner, up, corner)
    paeth = np.where((to_left <= to_up) & (to_left <= to_corner), left, paeth)
    return np.zeros_like(left), left, up, (left + up) >> 1, paeth


def _filter(raw: npt.NDArray[np.uint8]) -> bytes:
    """Filter each row but the first with the type of the smallest absolute sum.

    Args:
        raw: uint8 array ``[1 + n, width, n_step]``; its first row is the row above.
    """
    padded = np.pad(raw.astype(np.int16), ((0, 0), (1, 0), (0, 0)))
    predictions = _predict(padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1])
    filtered = np.stack([(padded[1:, 1:] - p).astype(np.uint8) for p in predictions])
    filtered = filtered.reshape(len(predictions), len(raw) - 1, -1)
    kinds = np.minimum(filtered, 0 - filtered).sum(axis=2, dtype=np.int64).argmin(axis=0)
    chosen = filtered[kinds, np.arange(len(kinds))]
    return np.concatenate([kinds[:, None].astype(np.uint8), chosen], axis=1).tobytes()


def _unfilter(
    filtered: npt.NDArray[np.uint8], kinds: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Undo the filters along anti-diagonals, on which no pixel needs another.

    Args:
        filtered: uint8 array ``[height, width, n_step]``.
        kinds: uint8 array ``[height]``, the filter type of each row.
    """
    if kinds.max() > 4:
        raise LightFieldError(f"the PNG is damaged: filter type {kinds.max()}, expected 0..4")
    height, width, n_step = filtered.shape
    raw = np.zeros((height + 1, width + 1, n_step), np.uint8)
    for diagonal in range(height + width - 1):
        y = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        x = diagonal - y
        near = (raw[y + 1, x], raw[y, x + 1], raw[y, x])
        predictions = _predict(*(neighbor.astype(np.int16) for neighbor in near))
        prediction = np.choose(kinds[y, None], predictions)
        raw[y + 1, x + 1] = filtered[y, x] + prediction.astype(np.uint8)
    return raw[1:, 1:]
