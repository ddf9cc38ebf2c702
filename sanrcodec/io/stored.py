# SPDX-License-Identifier: MIT
"""Samples that stay in a file, so that a light field may be larger than memory."""

from __future__ import annotations

import math
import tempfile
import threading
import weakref
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.lightfield import StoredSamples

__all__ = ["IN_MEMORY_BYTES", "FileSamples", "spool"]

IN_MEMORY_BYTES = 2**28  # what has more is read view by view


class FileSamples(StoredSamples):
    """Views in an open file, in C order without gaps.

    Args:
        file: Binary file, owned from now on.
        offset: Of the first sample.
        shape: ``(V, U, H, W, C)``.
        dtype: In the file; what is read has the same in native byte order.
        name: For messages.
    """

    def __init__(
        self, file: BinaryIO, offset: int, shape: tuple[int, ...], dtype: np.dtype, name: str
    ) -> None:
        self.shape, self.dtype = shape, dtype.newbyteorder("=")
        self._file, self._offset, self._stored_dtype, self._name = file, offset, dtype, name
        self._lock = threading.Lock()
        weakref.finalize(self, file.close)

    def __getitem__(self, index: tuple[int, int]) -> np.ndarray:
        """Read one view.

        Raises:
            LightFieldError: the file cannot be read, or was cut short meanwhile.
        """
        view = np.empty(self.shape[2:], self._stored_dtype)
        number = index[0] * self.shape[1] + index[1]
        try:
            with self._lock:
                self._file.seek(self._offset + number * view.nbytes)
                content = self._file.read(view.nbytes)
        except OSError as error:
            raise LightFieldError(f"{self._name}: cannot read: {error.strerror or error}") from None
        if len(content) != view.nbytes:
            raise LightFieldError(f"{self._name}: the file was cut short while it was read")
        view.reshape(-1).view(np.uint8)[:] = np.frombuffer(content, np.uint8)
        return view.astype(self.dtype, copy=False)


def spool(
    views: Iterable[np.ndarray], grid: tuple[int, int], like: np.ndarray, name: str
) -> np.ndarray | FileSamples:
    """Collect views ``[H, W, C]`` in memory, or in a temporary file if that takes too much.

    Args:
        views: Row by row, all of one shape and dtype.
        grid: Their number ``(V, U)``.
        like: Array of that shape and dtype.
        name: For messages.

    Returns:
        Samples ``[V, U, H, W, C]``. The temporary file has no name and goes with them.

    Raises:
        LightFieldError: the temporary file cannot be written.
    """
    shape = (*grid, *like.shape)
    if math.prod(grid) * like.nbytes <= IN_MEMORY_BYTES:
        samples = np.empty(shape, like.dtype)
        for index, view in zip(np.ndindex(grid), views, strict=True):
            samples[index] = view
        return samples
    file = tempfile.TemporaryFile()
    try:
        for view in views:
            file.write(np.ascontiguousarray(view).data)
        file.flush()
    except OSError as error:
        file.close()
        raise LightFieldError(
            f"{name}: {math.prod(grid) * like.nbytes >> 20} MiB of samples do not fit into "
            f"{tempfile.gettempdir()} ({error.strerror or error}); set TMPDIR to another folder"
        ) from None
    return FileSamples(file, 0, shape, like.dtype, name)
