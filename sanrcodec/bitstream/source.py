# SPDX-License-Identifier: MIT
"""The bytes of a file, from a path, a stream or memory; looks at the signature, and no further.

What is no .sanr file is refused by its first bytes, so that a pipe, a device or a large file of
another kind costs nothing.
"""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from sanrcodec.bitstream.container import SIGNATURE, check_signature
from sanrcodec.errors import LimitError, located

__all__ = ["MAX_FILE_BYTES", "Source", "read_source"]

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO

# Beyond any useful rate of the largest canvas that the limits allow.
MAX_FILE_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20


def read_source(source: Source) -> tuple[bytes, str]:
    """Read a whole file, if it begins as a .sanr file does.

    Args:
        source: Path, bytes, or a binary stream. A pipe is read while somebody writes to it; one
            without a writer is empty.

    Returns:
        The bytes, and a name for messages.

    Raises:
        NotSanrError: the signature is missing; no more than its bytes were read.
        LimitError: the file has more than :data:`MAX_FILE_BYTES`.
        OSError: the file cannot be read.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), "<bytes>"
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        with open(source, "rb", buffering=0, opener=_open_at_once) as file, located(name):
            status = os.fstat(file.fileno())
            return _read(file, status.st_size if stat.S_ISREG(status.st_mode) else 0), name
    name = str(getattr(source, "name", "<stream>"))
    with located(name):
        return _read(source, 0), name


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; unlike by default, opening a pipe does not wait for a writer."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(descriptor, True)
    return descriptor


def _read(stream: BinaryIO, n_known: int) -> bytes:
    """Read to the end of a stream that is known to have some number of bytes."""
    content = bytearray()
    while len(content) < len(SIGNATURE):
        chunk = stream.read(len(SIGNATURE) - len(content))
        if not chunk:
            break
        content += chunk
    check_signature(bytes(content))
    n_bytes = n_known
    while n_bytes <= MAX_FILE_BYTES:
        chunk = stream.read(_CHUNK_BYTES)
        if not chunk:
            return bytes(content)
        content += chunk
        n_bytes = len(content)
    raise LimitError(f"more than {MAX_FILE_BYTES} bytes, the limit of a file")
