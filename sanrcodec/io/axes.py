# SPDX-License-Identifier: MIT
"""Order of the axes of an array: what the user says, else what its shape allows; reads nothing."""

from __future__ import annotations

import math

from sanrcodec.errors import LightFieldError
from sanrcodec.lightfield import MAX_GRID, MAX_SIZE, MAX_VIEWS

__all__ = ["find_axes"]

_CHANNELS = (1, 3, 4)  # the fourth one may be opaque alpha, or MATLAB's weight
_LEAST_SIDE = 16  # of views that people have
# n counts views. The first of each is what numpy's users have most.
_ORDERS = {
    3: ("nhw", "hwn"),
    4: ("vuhw", "nhwc", "nchw", "hwvu"),
    5: ("vuhwc", "hwvuc", "vuchw", "hwcvu"),
}
_SETS = tuple(frozenset(letters) for letters in ("vuhwc", "vuhw", "nhwc", "nhw"))


def find_axes(shape: tuple[int, ...], stated: str | None, grid: tuple[int, int] | None) -> str:
    """Find which axis of an array is which.

    Args:
        shape: Of the array.
        stated: What the user says, one letter per axis: v, u rows and columns of views, or n views
            in all; h, w rows and columns of pixels; c channels.
        grid: Number of views ``(V, U)``, if the user says it.

    Returns:
        One letter per axis.

    Raises:
        LightFieldError: no order fits the shape, more than one does, or the stated one does not.
    """
    if stated is not None:
        stated = stated.lower()
        if frozenset(stated) not in _SETS or len(set(stated)) != len(stated):
            raise LightFieldError(
                f"axes {stated!r} have the wrong form, expected an order of vuhwc, or of nhwc"
            )
        if len(stated) != len(shape) or not _is_valid(shape, stated):
            raise LightFieldError(f"axes {stated} do not fit shape {shape}")
        return stated
    orders = _ORDERS.get(len(shape))
    if orders is None:
        raise LightFieldError(f"shape {shape} is no light field, expected [V, U, H, W, C]")
    valid = [axes for axes in orders if _is_valid(shape, axes)]
    if any(axes[-1] == "c" for axes in valid):  # nobody has views of 3 columns
        valid = [axes for axes in valid if axes not in ("vuchw", "nchw")]
    # MATLAB writes HDF5 with the axes reversed, and only its own files tell that. Nobody has more
    # views in a row than a view has columns.
    if "vuhwc" in valid and 1 < shape[0] and shape[3] < shape[1] and _is_valid(shape, "cwhuv"):
        valid.append("cwhuv")
    # A mosaic of gray views, its axes parted, has the rows of views where others have columns.
    if "vuhw" in valid and 1 < shape[0] and shape[2] < _LEAST_SIDE <= min(shape[1], shape[3]):
        valid.append("vhuw")
    if not valid:
        raise LightFieldError(
            f"shape {shape} is no light field, expected [V, U, H, W, C]; "
            "for another order add --axes, for example --axes hwvuc"
        )
    if grid is not None:
        valid = [axes for axes in valid if _has_grid(shape, axes, grid)] or valid
    likely = [axes for axes in valid if _is_likely(shape, axes)]
    if len(valid) == 1:
        return valid[0]
    if likely in ([orders[0]], ["vuchw"]):
        return likely[0]
    if len(shape) == 3 and shape[2] in _CHANNELS[1:]:
        raise LightFieldError(
            f"shape {shape} looks like one image [H, W, C]; save it as PNG, and say --grid, "
            "or add --axes nhw if the views are gray"
        )
    example = (likely or valid)[0]
    more = " --grid VxU" if "n" in example and grid is None else ""
    raise LightFieldError(
        f"shape {shape} may be {' or '.join(valid)}; add --axes, for example --axes {example}{more}"
    )


def _sizes(shape: tuple[int, ...], axes: str) -> dict[str, int]:
    return dict(zip(axes, shape, strict=True))


def _is_valid(shape: tuple[int, ...], axes: str) -> bool:
    size = _sizes(shape, axes)
    n_views = size["n"] if "n" in size else size["v"] * size["u"]
    return (
        1 <= n_views <= MAX_VIEWS
        and all(size.get(axis, 1) <= MAX_GRID for axis in "vu")
        and all(1 <= size[axis] <= MAX_SIZE for axis in "hw")
        and size.get("c", 1) in _CHANNELS
    )


def _is_likely(shape: tuple[int, ...], axes: str) -> bool:
    """Whether a view has as many pixels as there are views."""
    size = _sizes(shape, axes)
    n_views = size["n"] if "n" in size else size["v"] * size["u"]
    return n_views <= size["h"] * size["w"]


def _has_grid(shape: tuple[int, ...], axes: str, grid: tuple[int, int]) -> bool:
    size = _sizes(shape, axes)
    return size["n"] == math.prod(grid) if "n" in size else (size["v"], size["u"]) == grid
