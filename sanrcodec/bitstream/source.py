# SPDX-License-Identifier: MIT
"""The bytes of a file, from a path, a stream or memory; looks at the signature, and no further.

What is no .sanr file is refused by its first bytes, so that a pipe, a device or a large file of
another kind costs nothing.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from typing import Any, Protocol

import numpy.typing as npt

from sanrcodec.bitstream.container import SIGNATURE, check_signature
from sanrcodec.errors import LimitError, SanrError, located

__all__ = ["MAX_FILE_BYTES", "Readable", "Source", "read_source"]


class Readable(Protocol):
    """What is read from: a file opened with ``"rb"``, a member of an archive, an HTTP response."""

    def read(self, n_bytes: int, /) -> bytes | None:
        """Up to as many of the next bytes; none at the end."""


Source = str | os.PathLike[str] | bytes | bytearray | memoryview | npt.NDArray[Any] | Readable

# Beyond any useful rate of the largest canvas that the limits allow.
MAX_FILE_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20
_TEXT = "this stream gives text, expected bytes; open it in mode 'rb'"


def read_source(source: Source) -> tuple[bytes, str]:
    """Read a whole file, if it begins as a .sanr file does.

    Args:
        source: Path, bytes or whatever else has its bytes in memory, or a binary stream. A pipe is
            read while somebody writes to it; one without a writer is empty.

    Returns:
        The bytes, and a name for messages.

    Raises:
        NotSanrError: the signature is missing; no more than its bytes were read.
        LimitError: the file has more than :data:`MAX_FILE_BYTES`.
        SanrError: the source is of another kind, or a stream of text.
        OSError: the file cannot be read.
    """
    if isinstance(source, bytes):
        return source, "<bytes>"
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        if os.path.isdir(source):
            raise IsADirectoryError(errno.EISDIR, "a folder, expected a .sanr file", name)
        with open(source, "rb", buffering=0, opener=_open_at_once) as file, located(name):
            status = os.fstat(file.fileno())
            return _read(file, status.st_size if stat.S_ISREG(status.st_mode) else 0), name
    stream: Any = source
    try:
        return memoryview(stream).tobytes(), "<bytes>"
    except TypeError:  # it has no bytes in memory
        pass
    name = str(getattr(stream, "name", "<stream>"))
    if isinstance(stream, io.TextIOBase):
        raise SanrError(f"{name}: {_TEXT}")
    if not hasattr(stream, "read"):
        raise SanrError(
            f"source is of type {type(stream).__name__}, expected a path, bytes or a binary file"
        )
    with located(name):
        return _read(stream, 0), name


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; unlike by default, opening a pipe does not wait for a writer."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(descriptor, True)
    return descriptor


def _read(stream: Readable, n_known: int) -> bytes:
    """Read to the end of a stream that is known to have some number of bytes."""
    content = bytearray()
    while len(content) < len(SIGNATURE):
        chunk = _next(stream, len(SIGNATURE) - len(content))
        if not chunk:
            break
        content += chunk
    check_signature(bytes(content))
    n_bytes = n_known
    while n_bytes <= MAX_FILE_BYTES:
        chunk = _next(stream, _CHUNK_BYTES)
        if not chunk:
            return bytes(content)
        content += chunk
        n_bytes = len(content)
    raise LimitError(f"more than {MAX_FILE_BYTES} bytes, the limit of a file")


def _next(stream: Readable, n_bytes: int) -> bytes:
    """Read some more."""
    chunk = stream.read(n_bytes)
    if isinstance(chunk, str):
        raise SanrError(_TEXT)
    if chunk is None:
        raise SanrError("this stream has no data yet and does not wait; make it a blocking one")
    return chunk
