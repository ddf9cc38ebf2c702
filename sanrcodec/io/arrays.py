# SPDX-License-Identifier: MIT
"""Light fields in files of arrays; the formats themselves, and the order of axes, lie elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io import hdf5, matlab, npy, stored
from sanrcodec.io.array_file import ArrayFile
from sanrcodec.io.axes import find_axes
from sanrcodec.io.bombs import refuse_bomb
from sanrcodec.io.names import list_names
from sanrcodec.io.pixels import without_alpha
from sanrcodec.io.reading import Layout, Reading, Request
from sanrcodec.lightfield import StoredSamples, format_grid

__all__ = ["LAYOUT"]

_Lister = Callable[[Path], dict[str, ArrayFile]]
_BY_SUFFIX: dict[str, _Lister] = {
    ".npy": npy.list_npy,
    ".npz": npy.list_npz,
    ".mat": matlab.list_mat,
    ".h5": hdf5.list_hdf5,
    ".hdf": hdf5.list_hdf5,
    ".hdf5": hdf5.list_hdf5,
}
_BY_MAGIC: dict[bytes, _Lister] = {
    npy.MAGIC: npy.list_npy,
    matlab.MAGIC: matlab.list_mat,
    hdf5.MAGIC: hdf5.list_hdf5,
}
_DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16))
_CONVERT = (
    "save it as uint8 or uint16 first, for example np.rint(255 * lf).astype(np.uint8), or "
    "im2uint8(lf) in MATLAB, if it runs 0..1"
)
_JOIN = "save the views of cells or structs as one uint8 or uint16 array [V, U, H, W, C] first"
_NAMES = ("lf", "lightfield", "light_field")  # of the array, where a file holds several


class ArrayViews(StoredSamples):
    """Views of an array with any order of axes, read when they are needed.

    Args:
        array: Takes indices as numpy does.
        axes: One letter per axis of ``array``.
        grid: Number of views ``(V, U)``.
        order: How axis n counts, ``rows`` or ``columns``.
        fourth: What a fourth channel is: ``alpha`` or ``weight``.
    """

    def __init__(
        self, array: Any, axes: str, grid: tuple[int, int], order: str, fourth: str
    ) -> None:
        self._array, self._axes, self._order, self._fourth = array, axes, order, fourth
        size = dict(zip(axes, array.shape, strict=True))
        channels = size.get("c", 1)
        self.shape = (*grid, size["h"], size["w"], 3 if channels == 4 else channels)
        self.dtype = np.dtype(array.dtype).newbyteorder("=")

    def __getitem__(self, index: tuple[int, int]) -> np.ndarray:
        """Read one view.

        Raises:
            LightFieldError: it is damaged, or a pixel is transparent.
        """
        v, u = int(index[0]), int(index[1])
        number = v * self.shape[1] + u if self._order == "rows" else u * self.shape[0] + v
        place = {"v": v, "u": u, "n": number}
        chosen = tuple(place.get(axis, slice(None)) for axis in self._axes)
        try:
            view = np.asarray(self._array[chosen])
        except Exception as error:  # of the codecs of HDF5, which read only now
            raise LightFieldError(f"view {v},{u} of the array is damaged: {error}") from error
        left = [axis for axis in self._axes if axis in "hwc"]
        if "c" not in left:
            view, left = view[..., None], [*left, "c"]
        view = view.transpose([left.index(axis) for axis in "hwc"]).astype(self.dtype)
        if view.shape[2] == 4:
            view = view[..., :3] if self._fourth == "weight" else without_alpha(view, self._depth())
        return np.ascontiguousarray(view)

    def _depth(self) -> int:
        return 8 * self.dtype.itemsize


def _read(request: Request) -> Reading:
    """Read an array, by default ``[V, U, H, W, C]``; see `find_axes` for other orders.

    A large array in natural order stays in its file and is read view by view.

    Raises:
        LightFieldError: the file is damaged, it is not clear which array or which axes are meant,
            or the shape contradicts the stated grid.
    """
    path = request.path
    name, chosen = _choose(request, _lister(path)(path))
    if chosen.dtype.newbyteorder("=") not in _DTYPES:
        raise LightFieldError(f"{path}: samples are {chosen.dtype}; {_CONVERT}")
    try:
        n_bytes = math.prod(chosen.shape) * chosen.dtype.itemsize
        refuse_bomb(n_bytes, path.stat().st_size)
        axes = find_axes(chosen.shape, request.axes, request.grid)
    except LightFieldError as error:
        raise LightFieldError(f"{path}: {name and f'array {name}: '}{error}") from None
    size = dict(zip(axes, chosen.shape, strict=True))
    if "n" in size:
        grid = _grid_of_count(request, size["n"])
    else:
        grid = size["v"], size["u"]
        request.refuse_other_grid(grid, f"shape {chosen.shape} has")
        if request.order is not None:
            raise LightFieldError(
                f"{path}: --order says nothing about axes {axes}; name their order by --axes"
            )
    if size.get("c") == 4 and chosen.fourth == "weight":
        request.note(f"{path}: the fourth channel, LFToolbox's weight, is left out")
    if axes not in ("vuhwc", "vuhw") or chosen.is_reversed:
        request.note(f"{path}: shape {chosen.shape} is read as {axes}")
    bit_depth = 8 * chosen.dtype.itemsize
    source = f"array {name or path.name}, axes {axes}"
    if axes in ("vuhwc", "vuhw") and size.get("c") != 4 and chosen.offset is not None:
        shape = (*chosen.shape, 1)[:5]
        file = path.open("rb")
        samples = stored.FileSamples(file, chosen.offset, shape, chosen.dtype, str(path))
        return Reading(samples, bit_depth, source)
    stored_axes = axes[::-1] if chosen.is_reversed else axes
    order, is_sure = request.order or "rows", request.order is not None
    views = ArrayViews(chosen.load(), stored_axes, grid, order, chosen.fourth)
    counted = order if "n" in size else ""
    return Reading(views, bit_depth, source, dear=True, counted=counted, is_sure=is_sure)


def _lister(path: Path) -> _Lister:
    """Choose the format by the ending, else by the first bytes."""
    by_suffix = _BY_SUFFIX.get(path.suffix.lower())
    if by_suffix is not None:
        return by_suffix
    with path.open("rb") as file:
        head = file.read(16)
    for magic, lister in _BY_MAGIC.items():
        if head.startswith(magic):
            return lister
    raise LightFieldError(
        f"{path}: this is no file of arrays that is known, expected {', '.join(_BY_SUFFIX)}"
    )


def _accepts(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        _lister(path)
    except LightFieldError:
        return False
    return True


def _choose(request: Request, found: dict[str, ArrayFile]) -> tuple[str, ArrayFile]:
    """Choose the array that is the light field."""
    path = request.path
    listed = [f"{name} {array.shape} {array.dtype}" for name, array in found.items()]
    if not listed:
        raise LightFieldError(f"{path}: the file holds no arrays")
    if request.dataset is not None:
        if "" in found:
            raise LightFieldError(f"{path}: the file holds one array; leave out --dataset")
        if request.dataset not in found:
            raise LightFieldError(
                f"{path}: there is no array {request.dataset!r}, only {list_names(listed)}"
            )
        return request.dataset, found[request.dataset]
    if "" in found:
        return "", found[""]
    usable = {
        name: array
        for name, array in found.items()
        if array.dtype.kind == "u" and array.dtype.itemsize <= 2 and 3 <= len(array.shape) <= 5
    }
    if not usable:
        are_cells = all(array.dtype == object for array in found.values())
        raise LightFieldError(
            f"{path}: no array of 8 or 16 unsigned bits and 3 to 5 axes among "
            f"{list_names(listed)}; {_JOIN if are_cells else _CONVERT}"
        )
    named = [name for name in usable if name.lower().rsplit("/", 1)[-1] in _NAMES]
    names = list(usable) if len(usable) == 1 else named
    if len(names) != 1:
        raise LightFieldError(
            f"{path}: which array is the light field? Add --dataset and its name, "
            f"one of {list_names(listed)}; if each is a view, save them as one [V, U, H, W, C]"
        )
    others = [name for name in found if name != names[0]]
    if others:
        request.note(f"{path}: array {names[0]} is the light field; left out: {list_names(others)}")
    return names[0], usable[names[0]]


def _grid_of_count(request: Request, n_views: int) -> tuple[int, int]:
    if request.grid is None:
        raise LightFieldError(
            f"{request.path}: the array holds {n_views} views and does not tell their grid; "
            "add --grid VxU, rows of views first"
        )
    if math.prod(request.grid) != n_views:
        raise LightFieldError(
            f"{request.path}: the array holds {n_views} views, "
            f"but --grid {format_grid(request.grid)} needs {math.prod(request.grid)}"
        )
    return request.grid


LAYOUT = Layout("array", _read, _accepts, frozenset({"grid", "order", "axes", "dataset"}))
