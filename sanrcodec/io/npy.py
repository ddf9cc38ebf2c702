# SPDX-License-Identifier: MIT
"""Arrays of numpy, ``.npy`` and ``.npz``; never unpickles."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io.array_file import ArrayFile

__all__ = ["MAGIC", "ZIP_MAGIC", "list_npy", "list_npz"]

MAGIC, ZIP_MAGIC = b"\x93NUMPY", b"PK\x03\x04"


def list_npy(path: Path) -> dict[str, ArrayFile]:
    """Return the array of a ``.npy`` file, mapped, under an empty name.

    Raises:
        LightFieldError: the file is damaged or holds objects.
    """
    try:
        samples = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise LightFieldError(f"{path}: cannot read: {error.strerror or error}") from error
    except Exception as error:  # numpy raises nearly anything on damaged headers
        raise LightFieldError(f"{path}: the .npy file is damaged or holds objects") from error
    if not isinstance(samples, np.memmap):
        raise LightFieldError(f"{path}: this is an archive of arrays; name it .npz")
    offset = samples.offset if samples.flags.c_contiguous else None
    return {"": ArrayFile(samples.shape, samples.dtype, lambda: samples, offset=offset)}


def list_npz(path: Path) -> dict[str, ArrayFile]:
    """Return the arrays of a ``.npz`` file by their names; each is read when it is loaded.

    Raises:
        LightFieldError: the file is damaged or holds objects.
    """

    def header(name: str) -> ArrayFile:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
            version = np.lib.format.read_magic(member)
            if version == (1, 0):
                shape, _, dtype = np.lib.format.read_array_header_1_0(member)
            else:
                shape, _, dtype = np.lib.format.read_array_header_2_0(member)
        return ArrayFile(shape, dtype, lambda: load(name))

    def load(name: str) -> np.ndarray:
        try:
            with np.load(path, allow_pickle=False) as arrays:
                array: np.ndarray = arrays[name]
                return array
        except Exception as error:  # of numpy, zipfile and its codecs
            raise LightFieldError(f"{path}: array {name} is damaged or holds objects") from error

    try:
        with zipfile.ZipFile(path) as archive:
            names = [n[: -len(".npy")] for n in archive.namelist() if n.endswith(".npy")]
        return {name: header(name) for name in names}
    except Exception as error:  # of numpy, zipfile and its codecs
        raise LightFieldError(f"{path}: the .npz file is damaged") from error
