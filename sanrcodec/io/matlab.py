# SPDX-License-Identifier: MIT
"""MATLAB files of version 5 by scipy, those of version 7.3, which are HDF5, by h5py.

Both packages are the extra ``hdf5`` and are imported while a file is read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io.array_file import ArrayFile
from sanrcodec.io.extras import import_extra
from sanrcodec.io.hdf5 import is_hdf5, list_hdf5

__all__ = ["MAGIC", "list_mat"]

MAGIC = b"MATLAB "
_DTYPES = {"uint8": np.uint8, "uint16": np.uint16, "double": np.float64, "single": np.float32}


def list_mat(path: Path) -> dict[str, ArrayFile]:
    """Return the arrays of a ``.mat`` file by their names; each is read when it is loaded.

    A fourth channel is the weight that the LFToolbox adds to the colors.

    Raises:
        LightFieldError: the file is damaged, or the packages are not installed.
    """
    if is_hdf5(path):
        return list_hdf5(path)
    scipy_io = import_extra("scipy.io", f"{path}: this is a MATLAB file")

    def load(name: str) -> np.ndarray:
        try:
            array: np.ndarray = scipy_io.loadmat(path, variable_names=[name])[name]
            return array
        except Exception as error:  # scipy raises nearly anything on damaged files
            raise LightFieldError(f"{path}: array {name} is damaged: {error}") from error

    def describe(name: str, shape: tuple[int, ...], kind: str) -> ArrayFile:
        dtype = np.dtype(_DTYPES.get(kind, object))
        return ArrayFile(shape, dtype, lambda: load(name), fourth="weight")

    try:
        return {name: describe(name, shape, kind) for name, shape, kind in scipy_io.whosmat(path)}
    except Exception as error:  # scipy raises nearly anything on damaged files
        raise LightFieldError(f"{path}: the MATLAB file is damaged: {error}") from error
