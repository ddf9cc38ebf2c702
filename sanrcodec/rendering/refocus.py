# SPDX-License-Identifier: MIT
"""Synthetic aperture: the mean of many views, moved so that one depth falls together.

After Isaksen, McMillan and Gortler, "Dynamically reparameterized light fields", SIGGRAPH 2000.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from sanrcodec.arguments import pair, real, whole
from sanrcodec.errors import LightFieldError
from sanrcodec.lightfield import MAX_SIZE
from sanrcodec.rendering.resample import sampled, shifted
from sanrcodec.rendering.source import Progress, Source, center_of, to_samples

__all__ = ["SHAPES", "all_in_focus", "disparity_at", "disparity_range", "focal_stack", "refocus"]

SHAPES = ("disk", "square")
_SURROUNDINGS = 2  # pixels to each side whose median is the disparity of a place
_OCCLUDED = 0.5  # pixels at the view: what is that much off in depth is another thing


def refocus(
    source: Source,
    disparity: float,
    *,
    aperture: float | None = None,
    shape: str = "disk",
    center: tuple[float, float] | None = None,
    progress: Progress | None = None,
) -> npt.NDArray[Any]:
    """The scene as a lens as large as the aperture sees it, sharp at one disparity.

    Args:
        source: An opened light field.
        disparity: Where it is sharp, in pixels per view as :meth:`SanrFile.disparity` tells them.
        aperture: Radius of the aperture in views; all views by default. Of a square half its side.
        shape: ``disk`` or ``square``.
        center: Place ``(v, u)`` of its center; the middle of the grid by default.
        progress: Called after each view.

    Returns:
        Samples ``[H, W, C]``.

    Raises:
        LightFieldError: the shape is unknown, the aperture holds no view, or the disparity is no
            number within -16384..16384.
    """
    disparity = real(disparity, "disparity")
    if not abs(disparity) <= MAX_SIZE:
        raise LightFieldError(
            f"disparity is {disparity:g}, expected {-MAX_SIZE}..{MAX_SIZE} pixels per view"
        )
    total = np.zeros(source.shape[2:], np.float64)
    places = _places(source, aperture, shape, center)
    for n, (v, u) in enumerate(places, 1):
        a_v, a_u, y, x = source.offset(v, u)
        total += shifted(source.view(v, u), y - a_v * disparity, x - a_u * disparity)
        if progress:
            progress(n, len(places))
    return to_samples(total / len(places), source)


def all_in_focus(
    source: Source,
    *,
    aperture: float | None = None,
    shape: str = "disk",
    progress: Progress | None = None,
) -> npt.NDArray[Any]:
    """The view in the middle, each pixel the mean of what all views of an aperture see there.

    Less noisy than the view itself. Views in which a place is hidden are left out.

    Args:
        source: An opened light field with geometry.
        aperture: As for :func:`refocus`.
        shape: As for :func:`refocus`.
        progress: Called after each view.

    Returns:
        Samples ``[H, W, C]``.
    """
    middle = center_of(source)
    disparity = source.disparity(*middle)
    m_v, m_u, m_y, m_x = source.offset(*middle)
    rows, columns = np.mgrid[: source.shape[2], : source.shape[3]]
    total = np.zeros(source.shape[2:], np.float64)
    count = np.zeros((*source.shape[2:4], 1))
    places = _places(source, aperture, shape, None)
    for n, (v, u) in enumerate(places, 1):
        a_v, a_u, s_y, s_x = source.offset(v, u)
        y = rows + s_y - m_y - (a_v - m_v) * disparity
        x = columns + s_x - m_x - (a_u - m_u) * disparity
        theirs = sampled(source.disparity(v, u)[..., None], y, x)[..., 0]
        reach = max(abs(a_v - m_v), abs(a_u - m_u), 1e-6)
        seen = (np.abs(theirs - disparity) * reach <= _OCCLUDED)[..., None]
        total += np.where(seen, sampled(source.view(v, u), y, x), 0)
        count += seen
        if progress:
            progress(n, len(places))
    alone = count == 0
    if alone.any():
        total, count = np.where(alone, source.view(*middle), total), np.maximum(count, 1)
    return to_samples(total / count, source)


def focal_stack(
    source: Source,
    n: int,
    *,
    limits: tuple[float, float] | None = None,
    aperture: float | None = None,
    shape: str = "disk",
    progress: Progress | None = None,
) -> Iterator[npt.NDArray[Any]]:
    """Images focused at evenly spaced disparities, the farthest first.

    Args:
        source: An opened light field.
        n: Number of images.
        limits: Lowest and highest disparity; by default those that occur in the middle view.
        aperture: As for :func:`refocus`.
        shape: As for :func:`refocus`.
        progress: Called after each image.

    Yields:
        Arrays ``[H, W, C]`` of the light field's type.

    Raises:
        LightFieldError: an argument is no number of the kind, or as of :func:`refocus`.
    """
    n = whole(n, "the number of images")
    if n < 0:
        raise LightFieldError(f"the number of images is {n}, expected 0 or more")
    low, high = disparity_range(source) if limits is None else pair(limits, "limits")
    for k, disparity in enumerate(np.linspace(low, high, n).tolist(), 1):
        yield refocus(source, disparity, aperture=aperture, shape=shape)
        if progress:
            progress(k, n)


def disparity_range(source: Source) -> tuple[float, float]:
    """Disparities between which all but one in a hundred pixels of the middle view lie."""
    low, high = np.quantile(source.disparity(*center_of(source)), [0.005, 0.995]).tolist()
    return low, high


def disparity_at(source: Source, y: int, x: int) -> float:
    """Disparity of a place of the middle view: the median of the pixels around.

    Raises:
        LightFieldError: the place is outside the view, or the file has no geometry.
    """
    height, width = source.shape[2:4]
    y, x = whole(y, "y"), whole(x, "x")
    if not (0 <= y < height and 0 <= x < width):
        raise LightFieldError(
            f"place {y},{x} is outside a view of {height} rows and {width} columns of pixels"
        )
    around = source.disparity(*center_of(source))[
        max(0, y - _SURROUNDINGS) : y + _SURROUNDINGS + 1,
        max(0, x - _SURROUNDINGS) : x + _SURROUNDINGS + 1,
    ]
    return float(np.median(around))


def _places(
    source: Source, aperture: float | None, shape: str, center: tuple[float, float] | None
) -> list[tuple[float, float]]:
    """Views of an aperture, a whole number of views from its center."""
    if shape not in SHAPES:
        raise LightFieldError(f"aperture shape is {shape!r}, expected {' or '.join(SHAPES)}")
    n_v, n_u = source.shape[:2]
    c_v, c_u = center_of(source) if center is None else pair(center, "center")
    radius = max(n_v, n_u) if aperture is None else real(aperture, "aperture")
    found = []
    for v in np.arange(c_v % 1, n_v - 1 + 1e-9, 1.0).tolist():
        for u in np.arange(c_u % 1, n_u - 1 + 1e-9, 1.0).tolist():
            d_v, d_u = abs(v - c_v), abs(u - c_u)
            if (max(d_v, d_u) if shape == "square" else np.hypot(d_v, d_u)) <= radius + 1e-9:
                found.append((v, u))
    if not found:
        raise LightFieldError(
            f"an aperture of {radius:g} views around {c_v:g},{c_u:g} holds no view of {n_v} x {n_u}"
        )
    return found
