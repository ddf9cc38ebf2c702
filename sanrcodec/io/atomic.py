# SPDX-License-Identifier: MIT
"""Writing a file completely or not at all; knows nothing of any file format."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from sanrcodec.errors import SanrError

__all__ = ["write_atomically"]


def write_atomically(
    path: str | os.PathLike[str],
    content: bytes | Callable[[BinaryIO], object],
    *,
    overwrite: bool = True,
) -> None:
    """Write a file under a temporary name in its own folder, then rename it.

    A reader sees the old file or the complete new one. Something that exists and is no regular
    file, such as ``/dev/null`` or a pipe, is written directly: it must not be replaced.

    Args:
        path: File to create or to replace; a symbolic link keeps pointing to its target.
        content: The bytes, or a function that writes them to the open binary file, which has no
            number for the system.
        overwrite: Replace an older file; otherwise refuse, even if it came a moment ago.

    Raises:
        SanrError: the system refuses (disk full, no permission, no such folder), or there is an
            older file that must stay. Whatever is raised, the temporary file is gone and an older
            file is as it was.
    """
    target = Path(path)
    special = target.exists() and not target.is_file()
    try:
        if special:
            with open(target, "wb") as file:
                _fill(file, content)
            return
        target = Path(os.path.realpath(target))
        temporary = target.with_name(f".sanr-{secrets.token_hex(6)}.tmp")
        try:
            with open(temporary, "xb") as file:
                _fill(file, content)
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                os.replace(temporary, target)
            else:
                _rename_to_new(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SanrError(f"{path}: cannot write: {error.strerror or error}") from error


def _rename_to_new(temporary: Path, target: Path) -> None:
    """Rename a file, or raise FileExistsError; no other process can come in between."""
    if os.name == "nt":
        os.rename(temporary, target)  # refuses there
        return
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # not every file system has links
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.replace(temporary, target)
    else:
        temporary.unlink()


class _Unnumbered:
    """A file without ``fileno``.

    Libraries write to the number of a file past Python, and pillow does not notice if the system
    takes a part only: a disk that gets full would cut the file, and nobody would know.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        if name == "fileno":
            raise AttributeError(name)
        return getattr(self._file, name)


def _fill(file: BinaryIO, content: bytes | Callable[[BinaryIO], object]) -> None:
    if callable(content):
        content(cast(BinaryIO, _Unnumbered(file)))
    else:
        file.write(content)
