# SPDX-License-Identifier: MIT
"""Residuals of single views <-> bytes: which blocks have one, and the levels of its transform.

All directions walk the same loop. Must not know what a transform is, nor what a view shows.
See format_spec.md section 6.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sanrcodec.bitstream.coder import Coder, SymbolCounter, SymbolDecoder, SymbolEncoder
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.tables import N_SCALES
from sanrcodec.errors import CorruptSectionError, LimitError

__all__ = [
    "BLOCK",
    "DIAGONAL",
    "FINENESS_SCALES",
    "HEAD",
    "HEAD_SCALE",
    "LEVEL_MAX",
    "MAX_FLAG",
    "N_CLASSES",
    "N_STEPS",
    "Tables",
    "ViewResiduals",
    "block_grid",
    "code_residuals",
    "flag_classes",
    "level_scales",
    "n_blocks",
    "no_residuals",
    "pack_residuals",
    "residual_bits",
    "step_of",
    "unpack_residuals",
]

BLOCK = 8  # pixels along a side
MAX_FLAG = 3  # flags lie in -MAX_FLAG..MAX_FLAG; 0: the block has no residual
LEVEL_MAX = 2047  # levels lie in -LEVEL_MAX..LEVEL_MAX
N_STEPS = 48
N_CLASSES = 4  # of blocks, by how many around them have a residual in the views before
FINENESS_SCALES = 4  # a step of half the size makes levels twice as wide
_N_DIAGONALS = 2 * BLOCK - 1
DIAGONAL = np.add.outer(np.arange(BLOCK), np.arange(BLOCK)).ravel()  # of each level of a block

# What the integers of the head are expected to be, and the scale that codes what they differ by.
HEAD = (28, *N_CLASSES * (2, 2), 14, *(_N_DIAGONALS - 1) * (-1,), *_N_DIAGONALS * (0,))
HEAD_SCALE = 18
_MAX_FLAGS_PER_BYTE = 1 << 17  # a symbol of the narrowest table costs 1.1e-4 bits
_MAX_BLOCKS_PER_BYTE = 2  # with a residual: bounds what a small file can ask for

Levels = npt.NDArray[np.int32]


class ViewResiduals(NamedTuple):
    """The residuals of a view.

    Attributes:
        places: int64 ``[n]``, numbers of its blocks in raster order, ascending.
        flags: int32 ``[n]``: by the magnitude, less 1, the step is halved; negative ones have
            chroma too.
        levels: int32 ``[n, C, 64]``, of the planes Y, Cb, Cr, rows of the transform one after
            another; 0 where a block has no chroma.
    """

    places: npt.NDArray[np.int64]
    flags: npt.NDArray[np.int32]
    levels: Levels


@dataclass(frozen=True, slots=True)
class Tables:
    """What the head of the section tells.

    Attributes:
        step: Index of the step, ``0..N_STEPS - 1``.
        flags: Location in eighths, -4..3, and scale of the flags of each class.
        scales: Of the levels by diagonal, of luma and of chroma.
    """

    step: int
    flags: tuple[tuple[int, int], ...]
    scales: tuple[tuple[int, ...], tuple[int, ...]]

    def head(self) -> list[int]:
        """The integers of the head."""
        luma, chroma = self.scales
        changes = [luma[0], *np.diff(luma).tolist()]
        return [
            self.step,
            *(number for pair in self.flags for number in pair),
            *changes,
            *(c - y for y, c in zip(luma, chroma, strict=True)),
        ]

    @classmethod
    def of(cls, head: Sequence[int]) -> Tables:
        """The tables that these integers tell.

        Raises:
            CorruptSectionError: one is out of range.
        """
        n = 1 + 2 * N_CLASSES
        flags = tuple((head[i], head[i + 1]) for i in range(1, n, 2))
        luma = np.cumsum(head[n : n + _N_DIAGONALS])
        chroma = luma + head[n + _N_DIAGONALS :]
        scales = np.concatenate([[scale for _, scale in flags], luma, chroma])
        if not 0 <= head[0] < N_STEPS:
            raise CorruptSectionError(f"step is {head[0]}, allowed are 0..{N_STEPS - 1}")
        if any(not -4 <= location <= 3 for location, _ in flags):
            raise CorruptSectionError("a location of flags is out of range, allowed are -4..3")
        if scales.min() < 0 or scales.max() >= N_SCALES:
            raise CorruptSectionError(f"a scale is out of range, allowed are 0..{N_SCALES - 1}")
        return cls(head[0], flags, (tuple(luma.tolist()), tuple(chroma.tolist())))


def step_of(index: int, flag: int) -> int:
    """The step of a flag's levels, in units of 2**-12 of the peak."""
    return (4 + (index & 3)) << (index >> 2) >> (abs(flag) - 1)


def block_grid(header: StreamHeader) -> tuple[int, int]:
    """Rows and columns of the blocks of a view; the last ones may reach beyond it."""
    return -(-header.height // BLOCK), -(-header.width // BLOCK)


def n_blocks(header: StreamHeader) -> int:
    """Blocks of all views."""
    rows, columns = block_grid(header)
    return header.n_v * header.n_u * rows * columns


def no_residuals(header: StreamHeader) -> ViewResiduals:
    """Those of a view that has none."""
    empty = np.zeros(0, np.int32)
    return ViewResiduals(
        empty.astype(np.int64), empty, np.zeros((0, header.channels, BLOCK * BLOCK), np.int32)
    )


def flag_classes(before: Sequence[npt.NDArray[np.bool_]], grid: tuple[int, int]) -> Levels:
    """Classes of the blocks of a view, by those that have a residual in the views before.

    Args:
        before: bool ``[rows, columns]`` of the view to the left and of the one above, those that
            there are.
        grid: ``(rows, columns)``.

    Returns:
        int32 ``[rows, columns]``, ``0..N_CLASSES - 1``.
    """
    rows, columns = grid
    count = np.zeros(grid, np.int32)
    for has_residual in before:
        around = np.pad(has_residual, 1).astype(np.int32)
        for y in range(3):
            for x in range(3):
                count += around[y : y + rows, x : x + columns]
        count += 2 * has_residual
    classes: Levels = np.minimum(count, N_CLASSES - 1)
    return classes


def level_scales(tables: Tables, flags: npt.NDArray[np.int32], n_planes: int) -> Levels:
    """Scales of the levels of blocks, int32 ``[n, n_planes, 64]``."""
    by_plane = np.array([tables.scales[min(plane, 1)] for plane in range(n_planes)], np.int32)
    finer = FINENESS_SCALES * (np.abs(flags) - 1)
    scales = by_plane[:, DIAGONAL][None] + finer[:, None, None]
    bounded: Levels = np.minimum(scales, N_SCALES - 1).astype(np.int32)
    return bounded


def pack_residuals(header: StreamHeader, tables: Tables, views: Sequence[ViewResiduals]) -> bytes:
    """Code the residuals of all views to the payload of the RESIDUALS section.

    Args:
        header: Stream header.
        tables: Head of the section.
        views: Of each view in raster order.

    Returns:
        Range-coded words.

    Raises:
        ValueError: so many blocks in so few bytes are not allowed.
    """
    encoder = SymbolEncoder()
    code_residuals(header, encoder, tables, views)
    payload = encoder.finish()
    if sum(len(view.places) for view in views) > _most_blocks(len(payload)):
        raise ValueError("more blocks with residuals than the format allows in so few bytes")
    return payload


def residual_bits(header: StreamHeader, tables: Tables, views: Sequence[ViewResiduals]) -> float:
    """Ideal code length of the residuals of all views in bits, from the integer tables."""
    counter = SymbolCounter()
    code_residuals(header, counter, tables, views)
    return counter.bits


def unpack_residuals(header: StreamHeader, payload: bytes) -> tuple[Tables, list[ViewResiduals]]:
    """Decode the payload of the RESIDUALS section.

    Returns:
        Its head, and the residuals of each view in raster order.

    Raises:
        CorruptSectionError: the payload does not decode, or a value is out of range.
        LimitError: it claims more blocks than its bytes can hold.
    """
    if n_blocks(header) > (len(payload) + 8) * _MAX_FLAGS_PER_BYTE:
        raise LimitError(f"{n_blocks(header)} flags in {len(payload)} bytes; the file is damaged")
    decoder = SymbolDecoder(payload)
    found = code_residuals(header, decoder, None, None, _most_blocks(len(payload)))
    decoder.finish()
    return found


def _most_blocks(n_bytes: int) -> int:
    return _MAX_BLOCKS_PER_BYTE * n_bytes


def code_residuals(
    header: StreamHeader,
    coder: Coder,
    tables: Tables | None,
    given: Sequence[ViewResiduals] | None,
    most_blocks: int | None = None,
) -> tuple[Tables, list[ViewResiduals]]:
    """Pass head, flags and levels of all views through a coder.

    Args:
        header: Stream header.
        coder: Writes, counts or reads them.
        tables: Head; None where it is read.
        given: Residuals of each view in raster order; None where they are read.
        most_blocks: With a residual, where they are read.

    Returns:
        Head and residuals.

    Raises:
        CorruptSectionError: what is read does not decode, or is out of range.
    """
    tables = _code_head(coder, tables)
    grid = block_grid(header)
    location, scale = np.array(tables.flags, np.int32).T
    views: list[ViewResiduals] = []
    above = [np.zeros(grid, np.bool_)] * header.n_u  # of the latest view of each column
    total = 0
    for i in range(header.n_v * header.n_u):
        column = i % header.n_u
        before = [above[column]] if i >= header.n_u else []
        before += [above[column - 1]] if column else []
        classes = flag_classes(before, grid).ravel()
        wanted = None
        if given is not None:
            wanted = np.zeros(classes.size, np.int32)
            wanted[given[i].places] = given[i].flags
        flags = coder.code(wanted, location[classes], scale[classes])
        places = np.flatnonzero(flags)
        found = flags[places]
        total += len(places)
        if given is None:
            _check_flags(header, found)
            if most_blocks is not None and total > most_blocks:
                raise CorruptSectionError(f"more than {most_blocks} blocks; the file is damaged")
        levels = _code_levels(header, coder, tables, found, given[i].levels if given else None)
        views.append(ViewResiduals(places, found, levels))
        above[column] = (flags != 0).reshape(grid)
    return tables, views


def _code_head(coder: Coder, tables: Tables | None) -> Tables:
    """Pass the head through a coder, as what it differs from the usual one."""
    head = None if tables is None else np.array(tables.head(), np.int32)
    location = 8 * np.array(HEAD, np.int32)
    coded = coder.code(head, location, np.full(len(HEAD), HEAD_SCALE, np.int32))
    return Tables.of(coded.tolist())


def _check_flags(header: StreamHeader, flags: npt.NDArray[np.int32]) -> None:
    if np.abs(flags).max(initial=0) > MAX_FLAG:
        raise CorruptSectionError(f"a flag exceeds +-{MAX_FLAG}; the file is damaged")
    if header.channels == 1 and flags.min(initial=0) < 0:
        raise CorruptSectionError("a block of a gray view has chroma; the file is damaged")


def _code_levels(
    header: StreamHeader,
    coder: Coder,
    tables: Tables,
    flags: npt.NDArray[np.int32],
    given: Levels | None,
) -> Levels:
    """Pass the levels of a view's blocks through a coder."""
    levels = np.zeros((len(flags), header.channels, BLOCK * BLOCK), np.int32)
    if not len(flags):
        return levels
    coded = np.broadcast_to(np.arange(header.channels) == 0, levels.shape[:2]).copy()
    coded[flags < 0] = True
    scale = level_scales(tables, flags, header.channels)[coded].ravel()
    wanted = None if given is None else given[coded].ravel()
    found = coder.code(wanted, np.zeros(scale.size, np.int32), scale)
    if given is None and np.abs(found).max() > LEVEL_MAX:
        raise CorruptSectionError(f"a level exceeds +-{LEVEL_MAX}; the file is damaged")
    levels[coded] = found.reshape(-1, BLOCK * BLOCK)
    return levels
