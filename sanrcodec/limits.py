# SPDX-License-Identifier: MIT
"""What a file may cost its reader: compared with its header before anything is decoded.

A file of a hundred bytes can ask for minutes and gigabytes. In the spirit of Pillow's
``Image.MAX_IMAGE_PIXELS``: above a limit that no usual file reaches comes a warning, above twice
that an error. Must not know what is in a file beyond its header and its size.
"""

from __future__ import annotations

import math
import warnings

from sanrcodec.arguments import real
from sanrcodec.bitstream.grids import grids, level_shape, n_latents
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.errors import LargeFileWarning, LightFieldError, LimitError
from sanrcodec.scene.parts import mac_per_pixel
from sanrcodec.scene.pyramid import finest_level

__all__ = ["MAX_PIXELS", "MAX_WORK", "check", "given_limit", "pixels", "work"]

MAX_PIXELS: float = 1 << 26
"""Pixels of the canvases of all layers: two layers of 8K. ``math.inf`` lifts the limit."""
MAX_WORK: float | None = None
"""Multiply-accumulates up to the first view; ``math.inf`` lifts the limit. None stands for what a
core does in a minute or two, and for files of few bytes for less."""

_MOST_WORK, _WORK_OF_ANY, _WORK_PER_BYTE = 1 << 38, 1 << 33, 1 << 27
# What a pixel costs beside products: rounding, clipping, gathering, and its latent's decoding.
_WORK_PER_PIXEL = 500
_WORK_PER_FLAG = 500  # range coding it


def given_limit(value: float | None, name: str) -> float | None:
    """A limit as a caller gives it, for :func:`check`.

    Args:
        value: The limit; None stands for the usual one.
        name: Of the argument, for the message.

    Raises:
        LightFieldError: it is negative, or no number: none would be above it.
    """
    if value is None:
        return None
    limit = real(value, name)
    if not limit >= 0:
        raise LightFieldError(f"{name} is {value}, expected 0 or more; math.inf lifts the limit")
    return limit


def pixels(header: StreamHeader, level: int = 0) -> int:
    """Pixels of the canvases of all layers, for views that are smaller by ``2**level``."""
    return header.n_textures * math.prod(level_shape(header.canvas, level))


def work(header: StreamHeader, level: int = 0) -> float:
    """Multiply-accumulates, about, up to the first view that is smaller by ``2**level``."""
    cost = mac_per_pixel(header)
    canvas = math.prod(level_shape(header.canvas, level))
    view = math.prod(level_shape((header.height, header.width), level))
    used = sum(math.prod(g.shape) for g in grids(header) if g.level >= finest_level(level))
    entropy = cost["scene"]["entropy"] * math.prod(header.canvas) * used / n_latents(header)
    synthesis = cost["scene_per_canvas_pixel"] - cost["scene"]["entropy"]
    return (
        entropy
        + canvas * (synthesis + _WORK_PER_PIXEL * header.n_textures)
        + view * cost["view_per_pixel"]
    )


def check(
    header: StreamHeader,
    n_bytes: int,
    level: int,
    max_pixels: float | None,
    max_work: float | None,
    n_flags: int = 0,
) -> None:
    """Refuse a scene that costs too much, or warn of it.

    Args:
        header: Stream header.
        n_bytes: Size of the file.
        level: Views are smaller by ``2**level``.
        max_pixels: Limit of :func:`pixels`; None stands for MAX_PIXELS, above which a warning comes
            first and an error at twice as much.
        max_work: Likewise, of :func:`work` and MAX_WORK.
        n_flags: Blocks of all views, where the file says which of them have a residual.

    Raises:
        LimitError: a limit is exceeded.
    """
    usual_work = MAX_WORK
    if usual_work is None:
        usual_work = min(_MOST_WORK, _WORK_OF_ANY + _WORK_PER_BYTE * n_bytes)
    cost = work(header, level) + _WORK_PER_FLAG * n_flags
    for what, found, given, usual, name in (
        ("pixels on all layers", pixels(header, level), max_pixels, MAX_PIXELS, "max_pixels"),
        ("multiply-accumulates", cost, max_work, usual_work, "max_work"),
    ):
        advice = f"if you trust the file, raise {name} (sanr: --{name.replace('_', '-')})"
        told = f"a file of {n_bytes} bytes asks for {found:.2g} {what}"
        limit = 2 * usual if given is None else given
        if found > limit:
            raise LimitError(f"{told}, the limit is {limit:.2g}; {advice}")
        if given is None and found > usual:
            message = f"{told}, unusual are more than {usual:.2g}; {advice}"
            warnings.warn(message, LargeFileWarning, stacklevel=2)
