# SPDX-License-Identifier: MIT
"""Outputs: refused before any work if they cannot be written, rescued if they cannot be later."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click

from sanrcodec.cli.interrupt import Stop
from sanrcodec.errors import SanrError
from sanrcodec.io import write_atomically
from sanrcodec.io.image import SUFFIXES

__all__ = ["check_image", "check_images", "check_output", "check_space", "write_or_rescue"]

_RETRY_SECONDS = 10.0
_CHUNK = bytes(1 << 20)


def check_output(path: Path, force: bool, *inputs: Path) -> None:
    """Refuse an output that cannot or must not be written.

    Args:
        path: The output.
        force: An older file may be overwritten.
        inputs: Files that must not be, whatever ``force`` says.

    Raises:
        click.UsageError: says what is in the way.
    """
    if path.is_file():
        if any(one.exists() and path.samefile(one) for one in inputs):
            raise click.UsageError(f"{path} is the input; choose another output")
        if not force:
            raise click.UsageError(f"{path} exists; add --force to overwrite it")
    elif path.is_dir():
        raise click.UsageError(f"{path} is a folder, expected a file")
    elif path.exists():
        return  # a device or pipe, which is written in place
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise click.UsageError(f"{path} is a link that leads back to itself; remove it first")
    what = "" if not path.is_symlink() else f"{path} is a link into "
    if not target.parent.is_dir():
        raise click.UsageError(f"{what}{target.parent}: no such folder; create it first")
    _check_folder(target.parent, what)


def _check_folder(folder: Path, what: str = "") -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise click.UsageError(f"{what}{folder}: no permission to write to this folder")


def check_space(path: Path, n_bytes: int) -> None:
    """Refuse an output for which there is no room, by writing a file of that size beside it.

    Only writing tells: a quota, a limit of this process and a read-only disk show up nowhere else.

    Raises:
        click.UsageError: says what the system said.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        return
    trial = target.with_name(f".sanr-{secrets.token_hex(6)}.tmp")
    try:
        target.exists()  # a name that is too long
        try:
            with open(trial, "xb") as file:
                for start in range(0, n_bytes, len(_CHUNK)):
                    file.write(_CHUNK[: n_bytes - start])
                file.flush()
                os.fsync(file.fileno())
        finally:
            trial.unlink(missing_ok=True)
    except OSError as error:
        raise click.UsageError(
            f"{path}: cannot write {n_bytes / 1e6:.1f} MB to {target.parent}: "
            f"{error.strerror or error}; make room, or choose another output"
        ) from None


def write_or_rescue(
    path: Path, content: bytes, *, force: bool, stop: Stop, note: Callable[[str], None]
) -> tuple[Path, SanrError | None]:
    """Write the result of long work; where that fails, write it elsewhere rather than lose it.

    A rescue file lies beside the output or in the folder for temporary files. While nothing can
    be written at all, the content is kept in memory and all places are tried again and again.

    Args:
        path: The output.
        content: Of the file.
        force: Overwrite the output. Without it a file that has come meanwhile stays as it is.
        stop: A request ends the waiting.
        note: Called with a line when the waiting begins.

    Returns:
        Where the content is, and if that is not the output, why not.

    Raises:
        SanrError: nothing could be written and the waiting was ended; the content is lost.
    """
    waiting = False
    while True:
        reason: SanrError | None = None
        for place in (path, *_rescue_places(path)):
            try:
                write_atomically(place, content, overwrite=force and place == path)
            except SanrError as error:
                reason = reason or error
            else:
                return place, reason
        if waiting and stop():
            raise SanrError(f"{reason}; given up, the result is lost")
        if not waiting:
            waiting = True
            stop.reset("the waiting ends with a last try")
            note(
                f"{reason}; nor can another file be written beside it or in "
                f"{_temporary_folder() or 'any folder for temporary files'}. The result "
                f"({len(content)} bytes) is kept in memory, and all of them are tried again every "
                f"{_RETRY_SECONDS:g} s: make room there. Ctrl-C gives it up"
            )
        deadline = time.monotonic() + _RETRY_SECONDS
        while time.monotonic() < deadline and not stop():
            time.sleep(0.1)


def check_image(path: Path, suffixes: tuple[str, ...], force: bool, *inputs: Path) -> None:
    """Like :func:`check_output`, for an image whose suffix chooses its format."""
    if path.suffix.lower() not in suffixes:
        raise click.UsageError(f"{path} must end in {' or '.join(suffixes)}")
    check_output(path, force, *inputs)


def check_images(folder: Path, paths: Iterable[Path], force: bool) -> None:
    """Refuse a folder that is none or cannot be written, or that has one of these images already.

    A folder that is not there is not created yet, and must not have the name of an image.
    """
    if not folder.exists() and folder.suffix.lower() in SUFFIXES:
        raise click.UsageError(f"{folder} is named like one image, expected a folder")
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise click.UsageError(f"{there} is a file, expected a folder")
    _check_folder(there)
    existing = [path for path in paths if path.exists()]
    if existing and not force:
        raise click.UsageError(f"{existing[0]} exists; add --force to overwrite it")


def _rescue_places(path: Path) -> Iterator[Path]:
    """Names that nothing has, beside the output and in the folder for temporary files."""
    name = f"{path.stem[:100]}.rescued-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    special = path.exists() and not (path.is_file() or path.is_dir())  # as /dev/full
    for folder in (None if special else path.parent, _temporary_folder()):
        if folder is not None:
            yield folder / f"{name}{path.suffix[:20]}"


def _temporary_folder() -> Path | None:
    try:
        return Path(tempfile.gettempdir())
    except OSError:  # no folder can be written to
        return None
