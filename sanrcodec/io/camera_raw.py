# SPDX-License-Identifier: MIT
"""Raw files of plenoptic cameras: recognized only to name the programs that decode them."""

from __future__ import annotations

from pathlib import Path

from sanrcodec.errors import LightFieldError
from sanrcodec.io.reading import Layout, Reading, Request

__all__ = ["LAYOUT", "describe", "is_raw"]

_SUFFIXES = frozenset(".lfp .lfr .lfx .raw .dng .arw .cr2 .cr3 .nef .orf .raf .rw2".split())
_LYTRO_MAGIC = b"\x89LFP\r\n\x1a\n"


def is_raw(path: Path) -> bool:
    """Tell whether a file is a raw capture, by its ending or the signature of Lytro."""
    if not path.is_file():
        return False
    if path.suffix.lower() in _SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_LYTRO_MAGIC)) == _LYTRO_MAGIC
    except OSError:
        return False


def describe(path: Path) -> str:
    """Say what a raw file is, and what to do with it."""
    return (
        f"{path.name} is a raw capture of a camera; decode it to views first, with LFToolbox "
        "(MATLAB), plenopticam (Python) or, for Lytro, Lytro Desktop"
    )


def _read(request: Request) -> Reading:
    raise LightFieldError(f"{request.path}: {describe(request.path)}")


LAYOUT = Layout("raw", _read, is_raw, frozenset())
