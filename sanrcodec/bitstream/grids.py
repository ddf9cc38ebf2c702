# SPDX-License-Identifier: MIT
"""Latent grids: their sizes, their order, and the samples that each may look at.

Everything here follows from a :class:`~sanrcodec.bitstream.header.StreamHeader` alone. It must not
hold values, only their places. See format_spec.md sections 5 and 6.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from sanrcodec.bitstream.header import StreamHeader

__all__ = [
    "BASE_STRIDE",
    "GEOMETRY",
    "LATENT_MAX",
    "N_CONTEXT",
    "PAD",
    "SLOPES",
    "Grid",
    "Pass",
    "PassKind",
    "cross_scale_context",
    "grids",
    "level_shape",
    "n_latents",
    "neighbor_context",
    "passes",
]

LATENT_MAX = 511  # symbols lie in -LATENT_MAX..LATENT_MAX; keeps upsampling exact in float32
BASE_STRIDE = 8  # stride of the first lattice of every grid
GEOMETRY = -1  # group index of the geometry latents; texture groups are 0..n_layers-1
SLOPES = -2, -3  # of how the front layer's color changes with the place of a view: along y, x

# Neighbor offsets in units of half the current stride: the 3 x 3 ring, then axial ones at three.
_OFFSETS = (
    (-1, -1), (-1, 1), (1, -1), (1, 1),
    (0, -1), (0, 1), (-1, 0), (1, 0),
    (0, -3), (0, 3), (-3, 0), (3, 0),
)  # fmt: skip
_N_CROSS_SCALE = 5
N_CONTEXT = len(_OFFSETS) + _N_CROSS_SCALE  # of a latent: neighbors, then samples of other grids
PAD = 3 * BASE_STRIDE // 2  # the farthest neighbor, in samples


class PassKind(IntEnum):
    """What the samples of a pass are within their lattice; each kind knows other neighbors."""

    BASE = 0
    DIAGONAL = 1
    HORIZONTAL = 2
    VERTICAL = 3


@dataclass(frozen=True, slots=True)
class Grid:
    """One latent grid: ``index`` in coding order, ``group``, ``level`` (0 = finest), ``shape``.

    ``parent``, ``grandparent`` and ``cross`` are the coding-order indices of the grids that give
    cross-scale context (one and two levels up in the same group; at the same level the grid coded
    just before, of slopes the front layer's texture), or None.
    """

    index: int
    group: int
    level: int
    shape: tuple[int, int]
    parent: int | None
    grandparent: int | None
    cross: int | None

    @property
    def network(self) -> str:
        """Name of the entropy network that codes the grid."""
        if self.group in SLOPES:
            return "slope"
        return "geometry" if self.group == GEOMETRY else "texture"


@dataclass(frozen=True, slots=True)
class Pass:
    """The samples ``[y0::stride, x0::stride]`` of a grid, decoded together.

    ``kind`` fixes which neighbors are known.
    """

    kind: PassKind
    y0: int
    x0: int
    stride: int

    @property
    def known(self) -> tuple[bool, ...]:
        """Which of the neighbor offsets are already decoded when this pass starts."""
        diagonal, axial, far_x, far_y = {
            PassKind.BASE: (False, False, False, False),
            PassKind.DIAGONAL: (True, False, False, False),
            PassKind.HORIZONTAL: (False, True, True, True),
            PassKind.VERTICAL: (True, True, True, True),
        }[self.kind]
        return (diagonal,) * 4 + (axial,) * 4 + (far_x,) * 2 + (far_y,) * 2


def passes(shape: tuple[int, int]) -> Iterator[Pass]:
    """Yield the non-empty passes of a grid of ``shape`` in coding order.

    A dyadic lattice refinement: the base lattice, then per halving of the stride the diagonal
    samples, the horizontal and the vertical ones. See format_spec.md section 6.2.
    """
    yield Pass(PassKind.BASE, 0, 0, BASE_STRIDE)
    stride = BASE_STRIDE
    while stride > 1:
        half = stride // 2
        for kind, y0, x0 in (
            (PassKind.DIAGONAL, half, half),
            (PassKind.HORIZONTAL, 0, half),
            (PassKind.VERTICAL, half, 0),
        ):
            if y0 < shape[0] and x0 < shape[1]:
                yield Pass(kind, y0, x0, stride)
        stride = half


def neighbor_context(
    padded: npt.NDArray[Any], shape: tuple[int, int], p: Pass
) -> list[npt.NDArray[Any] | None]:
    """Gather the same-grid neighbors of a pass.

    Args:
        padded: ``[Hg + 2 * PAD, Wg + 2 * PAD]`` grid with a border of ``PAD`` samples.
        shape: ``(Hg, Wg)``.
        p: The pass.

    Returns:
        One ``[n_rows, n_columns]`` view per offset, or None where the offset is not yet known.
    """
    half = p.stride // 2
    columns: list[npt.NDArray[Any] | None] = []
    for (dy, dx), known in zip(_OFFSETS, p.known, strict=True):
        if not known:
            columns.append(None)
            continue
        y, x = PAD + p.y0 + dy * half, PAD + p.x0 + dx * half
        columns.append(
            padded[y : y + shape[0] - p.y0 : p.stride, x : x + shape[1] - p.x0 : p.stride]
        )
    return columns


def cross_scale_context(
    values: list[npt.NDArray[Any]], grid: Grid
) -> list[npt.NDArray[Any] | None]:
    """Co-located samples of already decoded grids for every sample of ``grid``.

    Args:
        values: Decoded grids in coding order, up to ``grid.index``.
        grid: The grid to be coded.

    Returns:
        Five ``[Hg, Wg]`` arrays or None: parent, its vertical and horizontal neighbor on the
        sample's own side, grandparent, cross.
    """
    h, w = grid.shape
    y, x = np.arange(h), np.arange(w)
    out: list[npt.NDArray[Any] | None] = [None] * _N_CROSS_SCALE
    if grid.parent is not None:
        parent = values[grid.parent]
        near_y = np.clip((y >> 1) + 2 * (y & 1) - 1, 0, parent.shape[0] - 1)
        near_x = np.clip((x >> 1) + 2 * (x & 1) - 1, 0, parent.shape[1] - 1)
        out[0] = parent[np.ix_(y >> 1, x >> 1)]
        out[1] = parent[np.ix_(near_y, x >> 1)]
        out[2] = parent[np.ix_(y >> 1, near_x)]
    if grid.grandparent is not None:
        out[3] = values[grid.grandparent][np.ix_(y >> 2, x >> 2)]
    if grid.cross is not None:
        out[4] = values[grid.cross]
    return out


def level_shape(canvas: tuple[int, int], level: int) -> tuple[int, int]:
    """Grid size at a level: the canvas size halved ``level`` times, rounding up."""
    return -(-canvas[0] >> level), -(-canvas[1] >> level)


def grids(header: StreamHeader) -> list[Grid]:
    """All latent grids in coding order, coarse to fine.

    Of a level first the geometry, then texture 0, 1..., then the slopes.
    """
    first = {
        group: (0 if group == 0 else header.occluded_first) for group in range(header.n_textures)
    }
    last = {group: header.texture_levels - 1 for group in first}
    if header.layers:
        first[GEOMETRY] = header.geometry_first
        last[GEOMETRY] = header.geometry_first + header.geometry_levels - 1
    order = sorted(first)
    if header.has_slopes:
        # Last, so that the others' context does not depend on whether they are there.
        order += SLOPES
        first |= dict.fromkeys(SLOPES, header.slope_first)
        last |= dict.fromkeys(SLOPES, header.slope_first + header.slope_levels - 1)
    found: dict[tuple[int, int], int] = {}
    out: list[Grid] = []
    for level in range(max(last.values()), -1, -1):
        cross = None
        for group in order:
            if not first[group] <= level <= last[group]:
                continue
            grid = Grid(
                index=len(out),
                group=group,
                level=level,
                shape=level_shape(header.canvas, level),
                parent=found.get((group, level + 1)),
                grandparent=found.get((group, level + 2)),
                cross=found.get((0, level)) if group in SLOPES else cross,
            )
            found[group, level] = cross = grid.index
            out.append(grid)
    return out


def n_latents(header: StreamHeader) -> int:
    """Number of latents that a file with this header holds."""
    return sum(math.prod(grid.shape) for grid in grids(header))
