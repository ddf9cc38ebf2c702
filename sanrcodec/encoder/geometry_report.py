# SPDX-License-Identifier: MIT
"""What the plane sweep finds, in words and as a picture; holds no estimation itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from sanrcodec.arithmetic.torchops import usable_device
from sanrcodec.encoder.dead_pixels import describe_dead_pixels, find_dead_pixels
from sanrcodec.encoder.exposure import Exposure, measure_exposure
from sanrcodec.encoder.sweep import Geometry, estimate_geometry
from sanrcodec.io import (
    ORDERS_IN_WORDS,
    find_misplaced,
    find_order,
    find_twins,
    looker,
    reduce_light_field,
)
from sanrcodec.lightfield import LightField

__all__ = [
    "describe_exposure",
    "describe_geometry",
    "describe_order",
    "draw_disparity",
    "inspect_geometry",
]

_TAIL = 0.01  # share of pixels at either end that may be mismatches
_SIDE = 320  # pixels of the longer side that are looked at; the time grows with its square
_STILL = 0.01  # pixels per view


def inspect_geometry(
    light_field: LightField, device: str | None = None
) -> tuple[list[str], npt.NDArray[np.uint8] | None]:
    """Sweep a light field that is not going to be encoded.

    Args:
        light_field: With any number of views. Large ones are reduced, which is enough to look at.
        device: As torch names it; a CUDA device if there is one, else the CPU.

    Returns:
        Lines about exposure, hidden pixels and order, if these are odd, and parallax; and the
        picture of the disparity if there is one, of the reduced size.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    looked_for = light_field.grid != (1, 1)
    height, width = light_field.shape[2:4]
    factor = min(-(-max(height, width) // _SIDE), height, width)
    reduced = reduce_light_field(light_field, factor)
    # Single pixels are lost where views are reduced.
    exposure = measure_exposure(light_field)
    with torch.no_grad():
        geometry = estimate_geometry(reduced, usable_device(device), exposure)
    dead = {}
    if geometry is not None:
        dead = find_dead_pixels(light_field, exposure, factor * geometry.extent)
        geometry = replace(geometry, near=factor * geometry.near, far=factor * geometry.far)
    lines = [
        describe_exposure(exposure),
        describe_dead_pixels(dead) if dead else "",
        describe_geometry(geometry, light_field.grid, looked_for),
        describe_order(light_field),
    ]
    return [line for line in lines if line], None if geometry is None else draw_disparity(geometry)


def describe_exposure(exposure: Exposure) -> str:
    """Say in one line which views are black or far darker than the others; empty if none are."""
    if not exposure.has_light:
        return "exposure: all views are black"
    n_dark, n_dead = int(exposure.is_dark.sum()), int(exposure.is_dead.sum())
    if not n_dark or n_dark == exposure.gain.size:
        return ""
    v, u = np.argwhere(exposure.is_dark)[0]
    counts = {"black": n_dead, "less than half as bright as the others": n_dark - n_dead}
    said = " and ".join(
        f"{n} {'is' if n == 1 else 'are'} {what}" for what, n in counts.items() if n
    )
    return (
        f"exposure: of {exposure.gain.size} views, {said}, the first at {v},{u}; "
        "--views leaves rows and columns out"
    )


def describe_order(light_field: LightField) -> str:
    """Say in one line what seems wrong with the order of the views; else nothing.

    They may follow each other in another order, be doubled, or not belong where they are.
    """
    # Lines that are backwards may be rows, or columns.
    for supposed in ("rows", "columns"):
        order = find_order(light_field.samples, supposed)
        if order != supposed:
            return (
                f"order: neighbors match better if the views go on {ORDERS_IN_WORDS[order]}; give "
                f"them as counted images with --order {order}, or put them in order first"
            )
    look = looker(light_field.samples)  # each view is read once for both
    if twins := find_twins(light_field.samples, look):
        (v, u), (v_other, u_other) = twins[0]
        return f"order: view {v_other},{u_other} is the same image as view {v},{u}" + _more(twins)
    if odd := find_misplaced(light_field.samples, look):
        v, u = odd[0]
        return (
            f"order: at view {v},{u}{_more(odd)} neighbors are less alike than views farther "
            "apart; look whether one there is misplaced, turned, missing, partly dark, or of "
            "another scene"
        )
    return ""


def _more(found: Sequence[object]) -> str:
    """Say how many there are besides the first."""
    return f" (and {len(found) - 1} more)" if len(found) > 1 else ""


def describe_geometry(
    geometry: Geometry | None, grid: tuple[int, int], looked_for: bool = True
) -> str:
    """Say range and direction of the parallax in one line.

    Disparities have the sign of those of a file: the higher, the nearer.

    Args:
        geometry: As the sweep gave it.
        grid: Number of views ``(V, U)``.
        looked_for: Whether there was a sweep: not for a single view, nor for a profile without
            geometry.
    """
    if not looked_for:
        return "parallax: not looked for"
    if geometry is None:
        return (
            "parallax: not found; no order of the axes explains the views. The encoder "
            "chooses by short fits between a scene with layers and one without"
        )
    # The sweep's are the other way around, as those in the file are. Those that are 0 have no sign.
    near, far = (round(-end, 2) + 0.0 for end in _range(geometry))
    parallax = geometry.parallax
    vertical = "up" if parallax.axes_reversed else "down"
    horizontal = "left" if parallax.axes_reversed != parallax.mirrored else "right"
    ways = (horizontal, vertical) if parallax.transposed else (vertical, horizontal)
    axes = [name for name, n in zip("vu", grid, strict=True) if n > 1]
    directions = [way for way, n in zip(ways, grid, strict=True) if n > 1]
    line = f"parallax: {near:+.2f} (nearest) to {far:+.2f} pixels per view; "
    if max(abs(near), abs(far)) < _STILL:
        return line + "too little to tell how the camera moves"
    line += f"the camera moves {' and '.join(directions)} as {' and '.join(axes)} grow"
    line += "s" if len(axes) == 1 else ""
    if not geometry.is_certain:
        line += "; which end is nearest is not certain"
    if not geometry.is_checked:
        line += "; views so few or so alike do not tell whether they are in order"
    if parallax.transposed and len(axes) == 2:
        line += (
            "; rows and columns are exchanged, which the fit allows for (or add --order or --axes)"
        )
    return line


def draw_disparity(geometry: Geometry) -> npt.NDArray[np.uint8]:
    """Draw the disparity of the center view, near is white.

    Returns:
        uint8 array ``[H, W, 1]``.
    """
    near, far = _range(geometry)
    levels = (far - geometry.near.cpu().numpy()) / max(far - near, 1e-6)
    return np.rint(255 * np.clip(levels, 0, 1)).astype(np.uint8)[..., None]


def _range(geometry: Geometry) -> tuple[float, float]:
    """Disparity of the nearest and of the farthest content, but for a few pixels."""
    ends = torch.tensor([_TAIL, 1 - _TAIL], device=geometry.near.device)
    # torch.quantile takes a limited number of values.
    sample = geometry.near.flatten()[:: max(1, geometry.near.numel() // 2**20)]
    near, far = torch.quantile(sample, ends).tolist()
    return near, far
