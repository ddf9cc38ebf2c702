# SPDX-License-Identifier: MIT
"""Files of many images, one per view: TIFF stacks, ImageJ, OME-TIFF, animations; reads no video."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io import tiff
from sanrcodec.io.image import Image, count_frames, read_frames
from sanrcodec.io.reading import Layout, Reading, Request
from sanrcodec.io.scan_order import suggest_grid
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
    order = request.order or "rows"
    told = _told_grid(path, frames)
    if told is not None:
        told = told if order == "rows" else told[::-1]
        request.refuse_other_grid(told, "its description says")
        grid = told
    if len({(frame.samples.shape, frame.bit_depth) for frame in frames}) > 1:
        raise LightFieldError(
            f"{path}: its {len(frames)} images differ in size or depth, views are alike; "
            "write the views to a folder, without previews"
        )
    samples = np.stack([frame.samples for frame in frames])
    if grid is None:
        likely = suggest_grid(samples[None])
        raise LightFieldError(
            f"{path}: the file holds {len(frames)} images and does not tell their grid; "
            f"add --grid VxU, rows of views first{likely}"
        )
    if len(frames) != math.prod(grid):
        raise LightFieldError(
            f"{path}: the file holds {len(frames)} image{'s' if len(frames) > 1 else ''}, "
            f"but --grid {format_grid(grid)} needs {math.prod(grid)}"
        )
    for remark in frames[0].remarks:
        request.note(f"{path}: {remark}")
    if order == "rows":
        samples = samples.reshape(*grid, *samples.shape[1:])
    else:
        samples = samples.reshape(*grid[::-1], *samples.shape[1:]).swapaxes(0, 1)
    depth, is_sure = frames[0].bit_depth, told is not None or request.order is not None
    return Reading(samples, depth, "stack of images", counted=order, is_sure=is_sure)


def _told_grid(path: Path, frames: list[Image]) -> tuple[int, int] | None:
    content = path.read_bytes()
    if content[:4] not in tiff.MAGICS:
        return None
    height, width, _ = frames[0].samples.shape
    return tiff.told_grid(content, (height, width), len(frames))


def _accepts(path: Path) -> bool:
    return path.is_file() and count_frames(path) > 1


LAYOUT = Layout("stack", _read, _accepts, frozenset({"grid", "order"}))
