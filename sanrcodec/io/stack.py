# SPDX-License-Identifier: MIT
"""Files of many images, one per view: TIFF stacks, ImageJ, OME-TIFF, animations; reads no video."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io.image import count_frames, read_frames
from sanrcodec.io.reading import Layout, Reading, Request
from sanrcodec.lightfield import format_grid

__all__ = ["LAYOUT"]


def _read(request: Request) -> Reading:
    """Read images as views, row by row, or column by column if the user says so.

    Raises:
        LightFieldError: the file is damaged, its images differ in size or depth, or their number is
            not that of the stated grid, or none is stated.
    """
    path, grid = request.path, request.grid
    frames = read_frames(path)
    if grid is None:
        raise LightFieldError(
            f"{path}: the file holds {len(frames)} images and does not tell their grid; "
            "add --grid VxU, rows of views first"
        )
    if len(frames) != math.prod(grid):
        raise LightFieldError(
            f"{path}: the file holds {len(frames)} images, "
            f"but --grid {format_grid(grid)} needs {math.prod(grid)}"
        )
    kinds = {(frame.samples.shape, frame.bit_depth) for frame in frames}
    if len(kinds) > 1:
        raise LightFieldError(f"{path}: its images differ in size or depth: views are alike")
    for remark in frames[0].remarks:
        request.note(f"{path}: {remark}")
    order = request.order or "rows"
    samples = np.stack([frame.samples for frame in frames])
    if order == "rows":
        samples = samples.reshape(*grid, *samples.shape[1:])
    else:
        samples = samples.reshape(*grid[::-1], *samples.shape[1:]).swapaxes(0, 1)
    depth, is_sure = frames[0].bit_depth, request.order is not None
    return Reading(samples, depth, "stack of images", counted=order, is_sure=is_sure)


def _accepts(path: Path) -> bool:
    return path.is_file() and count_frames(path) > 1


LAYOUT = Layout("stack", _read, _accepts, frozenset({"grid", "order"}))
