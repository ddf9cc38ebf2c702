# SPDX-License-Identifier: MIT
"""Files that are no light field yet: recognized only to say what to do with them first."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sanrcodec.errors import LightFieldError
from sanrcodec.io.reading import Layout, Reading, Request

__all__ = ["LAYOUT", "describe"]


class _Kind(NamedTuple):
    """Files of one kind.

    Attributes:
        advice: What they are and what to do, after the name of the file.
        suffixes: Endings of their names.
        magics: First bytes, and where they lie.
    """

    advice: str
    suffixes: frozenset[str]
    magics: tuple[tuple[int, bytes], ...] = ()


_KINDS = (
    _Kind(
        "a file of Python objects, which is not opened since it may run code; save its array with "
        "numpy.save first",
        frozenset(".pt .pth .pkl .pickle .joblib .ckpt".split()),
    ),
    _Kind(
        "a video without a header; write its frames to a folder first, for example: ffmpeg "
        "-s WIDTHxHEIGHT -pix_fmt yuv420p -i VIDEO views/%04d.png",
        frozenset(".yuv .nv12 .i420".split()),
    ),
    _Kind(
        "a file of a microscope; export its images as TIFF first, for example with Fiji",
        frozenset(".lif .czi .nd2 .vsi .svs .oib .oif".split()),
    ),
    _Kind(
        "a three-dimensional scene; render its views to a folder of images first",
        frozenset(".blend .ply .obj .fbx .glb .gltf .usd .usda .usdc .usdz .splat .spz".split()),
    ),
    _Kind(
        "a pointer of Git LFS, not the file itself; fetch that with git lfs pull",
        frozenset(),
        ((0, b"version https://git-lfs"),),
    ),
    _Kind(
        "a page of the web, perhaps instead of a download that failed; download the file again",
        frozenset(),
        ((0, b"<!DOCTYPE html"), (0, b"<!doctype html"), (0, b"<html"), (0, b"<HTML")),
    ),
    _Kind(
        "a raw capture of a camera; decode it to views first, with LFToolbox (MATLAB), plenopticam "
        "(Python) or, for Lytro, Lytro Desktop",
        frozenset(".lfp .lfr .lfx .ray .raw .dng .arw .cr2 .cr3 .nef .orf .raf .rw2".split()),
        ((0, b"\x89LFP\r\n\x1a\n"),),
    ),
    _Kind(
        "an archive; unpack it first and give the folder",
        frozenset(".zip .tar .gz .tgz .bz2 .xz .zst .7z .rar".split()),
        (
            (0, b"PK\x03\x04"), (0, b"\x1f\x8b"), (0, b"BZh"), (0, b"\xfd7zXZ\0"),
            (0, b"7z\xbc\xaf\x27\x1c"), (0, b"Rar!\x1a\x07"), (257, b"ustar"),
        ),
    ),
    _Kind(
        "a video; write its frames to a folder first, for example: ffmpeg -i VIDEO views/%04d.png",
        frozenset(
            ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .wmv .y4m .264 .h264 .265 .h265 .hevc .ivf "
            ".obu .mxf .mts .m2ts".split()
        ),
        ((4, b"ftypisom"), (4, b"ftypmp4"), (4, b"ftypqt"), (0, b"\x1aE\xdf\xa3"), (8, b"AVI ")),
    ),
    _Kind(
        "encoded already; decode it with sanr decode",
        frozenset({".sanr"}),
        ((0, b"\x8bSANR\r\n\x1a\n"),),
    ),
    _Kind(
        "an image of floating-point samples; convert it to PNG of 8 or 16 bits first",
        frozenset(".exr .hdr .pfm".split()),
        ((0, b"\x76\x2f\x31\x01"), (0, b"#?RADIANCE"), (0, b"PF\n"), (0, b"Pf\n")),
    ),
    _Kind(
        "an image of a format that is not read; convert it to PNG or PPM first",
        frozenset(
            ".heic .heif .jxl .jxr .xcf .svg .eps .pdf .pam .ktx .ktx2 .dds .astc .basis".split()
        ),
        (
            (4, b"ftypheic"), (4, b"ftypmif1heic"), (0, b"%PDF"), (0, b"P7\n"), (0, b"DDS "),
            (0, b"\xabKTX "), (0, b"\0\0\0\x0cJXL "), (0, b"\xff\x0a"),
        ),
    ),
)  # fmt: skip
_READ_ELSEWHERE = frozenset({".npz"})  # an archive, too
_NO_INPUTS = frozenset({".html", ".htm"})  # what lies beside data, to explain it


def describe(path: Path) -> str:
    """Say what a file is and what to do with it; empty if it may be a light field."""
    kind = _kind(path)
    return f"{path.name} is {kind.advice}" if kind is not None else ""


def _kind(path: Path) -> _Kind | None:
    suffix = path.suffix.lower()
    if suffix in _READ_ELSEWHERE | _NO_INPUTS or not path.is_file():
        return None
    for kind in _KINDS:
        if not kind.magics and suffix in kind.suffixes:
            return kind
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError:
        start = b""
    for kind in _KINDS:
        if any(start[place:].startswith(magic) for place, magic in kind.magics):
            return kind
    return next((kind for kind in _KINDS if suffix in kind.suffixes), None)


def _read(request: Request) -> Reading:
    kind = _kind(request.path)
    assert kind is not None  # else this layout is not chosen
    raise LightFieldError(f"{request.path}: this is {kind.advice}")


LAYOUT = Layout("foreign", _read, lambda path: _kind(path) is not None, frozenset())
