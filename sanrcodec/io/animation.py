# SPDX-License-Identifier: MIT
"""Sequences of images in one file: animated pictures by pillow, videos by the user's ffmpeg."""

from __future__ import annotations

import io
import itertools
import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sanrcodec.arguments import real
from sanrcodec.errors import LightFieldError, SanrError
from sanrcodec.io.atomic import write_atomically
from sanrcodec.io.pixels import checked_samples

__all__ = ["ANIMATION_SUFFIXES", "check_animation", "write_animation"]

_BY_PILLOW = {
    ".gif": "GIF", ".webp": "WEBP", ".avif": "AVIF", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"
}  # fmt: skip
_BY_FFMPEG = (".mp4", ".mkv", ".mov")
_COLORS = (
    "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd,"
    "setparams=color_primaries=bt709:color_trc=iec61966-2-1"
)
ANIMATION_SUFFIXES = (*_BY_PILLOW, *_BY_FFMPEG)


def check_animation(path: str | os.PathLike[str]) -> None:
    """Refuse, before any work, a file that cannot be written here.

    Raises:
        LightFieldError: the ending is unknown, or what writes such files is missing.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in ANIMATION_SUFFIXES:
        raise LightFieldError(
            f"{path}: cannot write {suffix or 'this'!r}, expected {', '.join(ANIMATION_SUFFIXES)}"
        )
    if suffix in _BY_FFMPEG and not shutil.which("ffmpeg"):
        raise LightFieldError(
            f"{path}: {suffix} needs ffmpeg, which is not installed here; "
            "install it, or choose .webp or .gif"
        )
    if suffix == ".avif":
        from PIL import features

        if not features.check("avif"):
            raise LightFieldError(f"{path}: this pillow writes no AVIF; choose .webp or .gif")


def write_animation(
    path: str | os.PathLike[str],
    frames: Iterable[npt.NDArray[Any]],
    bit_depth: int,
    frames_per_second: float = 25.0,
) -> int:
    """Write images one after the other; the ending of the name chooses the format.

    Args:
        path: File to create or to replace.
        frames: Samples ``[H, W, C]`` of one shape, C is 1 or 3. A video holds one at a time.
        bit_depth: Significant bits of a sample; the file has 8.
        frames_per_second: Of the animation, which goes on without end where the format can.

    Returns:
        Number of frames.

    Raises:
        LightFieldError: as for :func:`check_animation`; or there are no frames, or they are none.
        SanrError: ffmpeg failed, or the file cannot be written.
    """
    check_animation(path)
    rate = real(frames_per_second, "frames per second")
    if not 0 < rate < math.inf:
        raise LightFieldError(f"frames per second are {rate:g}, expected more than 0")
    images = _eight_bit(frames, bit_depth)
    if Path(path).suffix.lower() in _BY_FFMPEG:
        return _write_video(Path(path), images, rate)
    return _write_picture(Path(path), images, rate)


def _eight_bit(frames: Iterable[npt.NDArray[Any]], bit_depth: int) -> Iterator[npt.NDArray[Any]]:
    shape = None
    for frame in frames:
        samples, depth = checked_samples(frame, bit_depth)
        shape = shape or samples.shape
        if samples.shape != shape:
            raise LightFieldError(f"a frame has shape {samples.shape}, the first one {shape}")
        yield samples if depth == 8 else (samples >> (depth - 8)).astype(np.uint8)
    if shape is None:
        raise LightFieldError("there are no frames to write")


def _write_picture(path: Path, images: Iterator[npt.NDArray[Any]], frames_per_second: float) -> int:
    from PIL import Image

    pictures = [Image.fromarray(i[..., 0] if i.shape[2] == 1 else i) for i in images]
    kind = _BY_PILLOW[path.suffix.lower()]
    options: dict[str, Any] = {"save_all": True, "append_images": pictures[1:]}
    if kind != "TIFF":
        options |= {"duration": round(1000 / frames_per_second), "loop": 0}
    if kind in ("WEBP", "AVIF"):
        options["quality"] = 90
    packed = io.BytesIO()  # pillow reads again what it has written
    pictures[0].save(packed, kind, **options)
    write_atomically(path, packed.getvalue())
    return len(pictures)


def _write_video(path: Path, images: Iterator[npt.NDArray[Any]], frames_per_second: float) -> int:
    first = next(images)
    height, width, channels = first.shape
    n_frames = 0
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"video{path.suffix}"
        # Pixels of H.264 come in pairs; an odd last row or column is left out. Players guess
        # colors that no tag names, each in its own way.
        command = [
            "ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo",
            "-pixel_format", "rgb24" if channels == 3 else "gray",
            "-video_size", f"{width}x{height}", "-framerate", f"{frames_per_second:g}", "-i", "-",
            "-vf", f"crop={width - width % 2}:{height - height % 2}:0:0,{_COLORS}",
            "-colorspace", "bt709", "-color_range", "tv", "-movflags", "+faststart",
            "-pix_fmt", "yuv420p", "-crf", "16", str(made),
        ]  # fmt: skip
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            try:
                for image in itertools.chain([first], images):
                    process.stdin.write(image.tobytes())
                    n_frames += 1
                process.stdin.close()
            except BrokenPipeError:
                pass  # ffmpeg has given up, and tells why
            reason = process.stderr.read().decode(errors="replace").strip().splitlines()
        if process.returncode or not made.exists():
            raise SanrError(f"{path}: ffmpeg failed ({reason[-1] if reason else 'no reason told'})")
        write_atomically(path, made.read_bytes())
    return n_frames
