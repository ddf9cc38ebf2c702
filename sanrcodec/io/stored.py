# SPDX-License-Identifier: MIT
"""Samples that stay in a file, so that a light field may be larger than memory."""

from __future__ import annotations

import math
import tempfile
import threading
import weakref
from typing import BinaryIO

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.lightfield import StoredSamples

__all__ = ["IN_MEMORY_BYTES", "FileSamples", "settle"]

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


def settle(
    samples: np.ndarray | StoredSamples, name: str, dear: bool
) -> np.ndarray | StoredSamples:
    """Bring samples where reading views again and again costs little.

    Args:
        samples: Array, or stand-in, ``[V, U, H, W, C]``.
        name: Of the input, for messages.
        dear: Whether reading a view of a stand-in costs much.

    Returns:
        An array if the samples fit into memory. Else the stand-in itself, or a temporary file with
        its views, if they are dear; the file has no name and goes with the samples.

    Raises:
        LightFieldError: a view cannot be read, or the temporary file cannot be written.
    """
    if isinstance(samples, np.ndarray):
        return np.ascontiguousarray(samples)
    n_bytes = math.prod(samples.shape) * samples.dtype.itemsize
    if n_bytes <= IN_MEMORY_BYTES:
        return np.asarray(samples)
    if not dear:
        return samples
    file = tempfile.TemporaryFile()
    try:
        for index in np.ndindex(samples.shape[:2]):
            file.write(np.ascontiguousarray(samples[index]).data)
        file.flush()
    except OSError as error:
        file.close()
        raise LightFieldError(
            f"{name}: {n_bytes >> 20} MiB of samples do not fit into "
            f"{tempfile.gettempdir()} ({error.strerror or error}); set TMPDIR to another folder"
        ) from None
    return FileSamples(file, 0, samples.shape, samples.dtype, name)
