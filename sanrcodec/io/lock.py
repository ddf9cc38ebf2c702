# SPDX-License-Identifier: MIT
"""A lock between processes for one file; never opens that file itself."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from sanrcodec.errors import SanrError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["locked"]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file: another one beside it, named like it with ``.lock`` at the end.

    The system frees the lock when the process ends, in whatever way. A file system that knows no
    locks is used without.

    Raises:
        SanrError: another process, or another thread of this one, holds it, or the lock file
            cannot be written.
    """
    name = path.with_name(f"{path.name}.lock")
    try:
        file = _taken(name)
    except OSError as error:
        raise SanrError(f"{name}: cannot write: {error.strerror or error}") from None
    if file is None:
        raise SanrError(
            f"{path}: another encoding works with this file; wait for its end, or choose another"
        )
    try:
        yield
    finally:
        if sys.platform == "win32":  # an open file cannot be removed there
            file.close()
        with suppress(OSError):
            name.unlink()
        file.close()


def _taken(name: Path) -> IO[bytes] | None:
    """Open and lock a file; None if somebody else holds it."""
    while True:
        file = open(name, "ab")
        try:
            _lock(file)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                file.close()
                return None
            return file
        # Who held it before removes it: what was locked here may be a file without a name.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(name), os.fstat(file.fileno())):
                return file
        file.close()


def _lock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
