# SPDX-License-Identifier: MIT
"""What lies in a folder: images, other files, and what else may be meant; reads no image."""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from sanrcodec.errors import LightFieldError
from sanrcodec.io import foreign
from sanrcodec.io.conventions import is_no_view
from sanrcodec.io.image import SUFFIXES

__all__ = ["list_images", "name_array", "name_larger_folder"]

_ARRAYS = (".npy", ".npz", ".mat", ".h5", ".hdf5")
_MOST_LOOKED_AT = 5000  # files and folders, where the answer is only a hint


def list_images(path: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """Return images by name without ending, and the names of everything else.

    Only where the folder holds no two images with numbers that may be views, the folders in it
    count.

    Raises:
        LightFieldError: there are no images, or one that is no file.
    """
    images, others, folders = _list_folder(path, path)
    counted = [name for name in images if re.search(r"\d", name) and not is_no_view(name)]
    if len(counted) < 2 and folders:
        for folder in folders:
            inner, inner_others, _ = _list_folder(path, folder)
            for name, files in inner.items():
                images.setdefault(name, []).extend(files)
            others += inner_others
    else:
        others += [f"{folder.name}/" for folder in folders if _holds_images(folder)]
    if not images:
        raise LightFieldError(f"{path}: there are no images in this folder{_alternative(path)}")
    return images, others


def name_larger_folder(path: Path, n_images: int) -> str:
    """Name a folder in the folder that has more images, which may be meant; else nothing."""
    counts = {
        folder: sum(file.suffix.lower() in SUFFIXES for file in _entries(folder))
        for folder in _entries(path)
        if folder.is_dir()
    }
    best = max(counts, key=lambda folder: counts[folder], default=path)
    return f"; {best} holds {counts[best]} images" if counts.get(best, 0) > n_images else ""


def name_array(path: Path) -> str:
    """Name a file of arrays in the folder, which may be meant; else nothing."""
    for entry in _entries(path):
        if entry.suffix.lower() in _ARRAYS and entry.is_file():
            return f"; {entry.name} may be the light field: give it instead of the folder"
    return ""


def _list_folder(root: Path, folder: Path) -> tuple[dict[str, list[Path]], list[str], list[Path]]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise LightFieldError(f"{folder}: cannot read: {error.strerror or error}") from error
    images: dict[str, list[Path]] = {}
    others, folders = [], []
    for entry in entries:
        name = entry.relative_to(root).as_posix()
        if entry.name.startswith("."):
            if entry.suffix.lower() in SUFFIXES:
                others.append(name)
        elif entry.is_dir():
            folders.append(entry)
        elif entry.suffix.lower() in SUFFIXES:
            if not entry.is_file():
                kind = "a device or a pipe" if entry.exists() else "a link to nothing"
                raise LightFieldError(f"{entry}: {kind}, expected an image")
            images.setdefault(name[: -len(entry.suffix)], []).append(entry)
        else:
            others.append(name)
    return images, others, folders


def _holds_images(folder: Path) -> bool:
    return any(entry.suffix.lower() in SUFFIXES for entry in _entries(folder))


def _alternative(path: Path) -> str:
    """What else in a folder without images may be meant."""
    for entry in _entries(path):
        if advice := foreign.describe(entry):
            return f", but {advice}"
    for entry in itertools.islice(_walk(path), _MOST_LOOKED_AT):
        if entry.is_dir():
            continue
        if entry.suffix.lower() in SUFFIXES and not entry.name.startswith("."):
            folder, above = entry.parent, entry.parent.parent
            if above != path and sum(map(_holds_images, _entries(above))) > 1:
                folder = above  # of which each folder is a row
            return f"; the next ones lie in {folder}"
        if entry.suffix.lower() in _ARRAYS:
            return f"; give a file such as {entry} itself, if it holds all views"
    for entry in _entries(path):
        if entry.is_file() and not entry.name.startswith("."):
            return (
                f"; files such as {entry.name} have no ending of an image that is read "
                "(.png, .ppm, .tif, .jpg, ...)"
            )
    return ""


def _walk(path: Path) -> Iterator[Path]:
    """Yield what lies in a folder, in the folders in it, and so on, the nearest first."""
    waiting = deque([path])
    while waiting:
        for entry in _entries(waiting.popleft()):
            yield entry
            if entry.is_dir() and not entry.is_symlink():
                waiting.append(entry)


def _entries(folder: Path) -> list[Path]:
    """Sorted, and at most so many; none of a folder that cannot be read."""
    try:
        return sorted(itertools.islice(folder.iterdir(), _MOST_LOOKED_AT))
    except OSError:
        return []
