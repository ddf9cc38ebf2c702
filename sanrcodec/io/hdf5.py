# SPDX-License-Identifier: MIT
"""HDF5 files, those of MATLAB 7.3 included, by the optional h5py (extra ``hdf5``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sanrcodec.errors import LightFieldError
from sanrcodec.io.array_file import ArrayFile
from sanrcodec.io.extras import import_extra

__all__ = ["MAGIC", "is_hdf5", "list_hdf5"]

MAGIC = b"\x89HDF\r\n\x1a\n"
_MATLAB_OFFSET = 512  # of the user block that MATLAB puts first


def is_hdf5(path: Path) -> bool:
    """Tell whether a file has the signature of HDF5, at its beginning or where MATLAB puts it."""
    with path.open("rb") as file:
        head = file.read(_MATLAB_OFFSET + len(MAGIC))
    return head.startswith(MAGIC) or head[_MATLAB_OFFSET:] == MAGIC


def list_hdf5(path: Path) -> dict[str, ArrayFile]:
    """Return the data sets of all groups by their names; a part is read when it is needed.

    MATLAB stores its arrays with the axes reversed.

    Raises:
        LightFieldError: the file is damaged, or h5py is not installed.
    """
    h5py = import_extra("h5py", f"{path}: this is an HDF5 file")
    found: dict[str, ArrayFile] = {}

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or name.startswith("#"):  # MATLAB's own
            return
        matlab = "MATLAB_class" in item.attrs
        shape = tuple(item.shape or ())
        found[name] = ArrayFile(
            shape[::-1] if matlab else shape,
            item.dtype,
            lambda: item,
            is_reversed=matlab,
            fourth="weight" if matlab else "alpha",
        )

    try:
        h5py.File(path, "r").visititems(visit)  # stays open as long as one of its data sets
    except Exception as error:  # of damaged files h5py raises several kinds
        raise LightFieldError(f"{path}: the HDF5 file is damaged: {error}") from error
    return found
