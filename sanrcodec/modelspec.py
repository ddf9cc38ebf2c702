# SPDX-License-Identifier: MIT
"""Derived geometry of the scene model, shared by both sides: grids, order, contexts, tensors.

Everything here follows from a :class:`~sanrcodec.header.StreamHeader` alone. It must not hold
values (weights, latents), only their places, shapes and number formats.
See format_spec.md section 5.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from sanrcodec.header import StreamHeader

__all__ = [
    "BASE_STRIDE",
    "LATENT_MAX",
    "N_CONTEXT",
    "N_KINDS",
    "PAD",
    "Grid",
    "Pass",
    "TensorSpec",
    "cross_scale_context",
    "entropy_models",
    "grids",
    "n_latents",
    "neighbour_context",
    "passes",
    "tensor_specs",
]

LATENT_MAX = 511  # symbols lie in -LATENT_MAX..LATENT_MAX; keeps upsampling exact in float32
BASE_STRIDE = 8  # stride of the first lattice of every grid
GEOMETRY = -1  # group index of the geometry latents; texture groups are 0..n_layers-1

# Neighbour offsets in units of half the current stride: the 3 x 3 ring, then axial ones at three.
_OFFSETS = (
    (-1, -1), (-1, 1), (1, -1), (1, 1),
    (0, -1), (0, 1), (-1, 0), (1, 0),
    (0, -3), (0, 3), (-3, 0), (3, 0),
)  # fmt: skip
N_CROSS_SCALE = 5
N_CONTEXT = len(_OFFSETS) + N_CROSS_SCALE
N_KINDS = 4  # of passes
PAD = 3 * BASE_STRIDE // 2  # the farthest neighbour, in samples


@dataclass(frozen=True, slots=True)
class Grid:
    """One latent grid: ``index`` in coding order, ``group``, ``level`` (0 = finest), ``shape``.

    ``parent``, ``grandparent`` and ``cross`` are the coding-order indices of the grids that give
    cross-scale context (one and two levels up in the same group; the grid coded just before at the
    same level), or None.
    """

    index: int
    group: int
    level: int
    shape: tuple[int, int]
    parent: int | None
    grandparent: int | None
    cross: int | None

    @property
    def entropy_model(self) -> int:
        """Which entropy network codes the grid: 0 texture, 1 geometry."""
        return 1 if self.group == GEOMETRY else 0


@dataclass(frozen=True, slots=True)
class Pass:
    """The samples ``[y0::stride, x0::stride]`` of a grid, decoded together.

    ``kind`` (0 base, 1 diagonal, 2 horizontal, 3 vertical) fixes which neighbours are known.
    """

    kind: int
    y0: int
    x0: int
    stride: int

    @property
    def known(self) -> tuple[bool, ...]:
        """Which of the neighbour offsets are already decoded when this pass starts."""
        diagonal, axial, far_x, far_y = {
            0: (False, False, False, False),
            1: (True, False, False, False),
            2: (False, True, True, True),
            3: (True, True, True, True),
        }[self.kind]
        return (diagonal,) * 4 + (axial,) * 4 + (far_x,) * 2 + (far_y,) * 2


def passes(shape: tuple[int, int]) -> Iterator[Pass]:
    """Yield the non-empty passes of a grid of ``shape`` in coding order.

    A dyadic lattice refinement: the base lattice, then per halving of the stride the diagonal
    samples, the horizontal and the vertical ones. See format_spec.md section 6.2.
    """
    yield Pass(0, 0, 0, BASE_STRIDE)
    stride = BASE_STRIDE
    while stride > 1:
        half = stride // 2
        for kind, y0, x0 in ((1, half, half), (2, 0, half), (3, half, 0)):
            if y0 < shape[0] and x0 < shape[1]:
                yield Pass(kind, y0, x0, stride)
        stride = half


def neighbour_context(
    padded: npt.NDArray, shape: tuple[int, int], p: Pass
) -> list[npt.NDArray | None]:
    """Gather the same-grid neighbours of a pass.

    Args:
        padded: ``[Hg + 2 * PAD, Wg + 2 * PAD]`` grid with a border of ``PAD`` samples.
        shape: ``(Hg, Wg)``.
        p: The pass.

    Returns:
        One ``[n_rows, n_columns]`` view per offset, or None where the offset is not yet known.
    """
    half = p.stride // 2
    columns: list[npt.NDArray | None] = []
    for (dy, dx), known in zip(_OFFSETS, p.known, strict=True):
        if not known:
            columns.append(None)
            continue
        y, x = PAD + p.y0 + dy * half, PAD + p.x0 + dx * half
        columns.append(
            padded[y : y + shape[0] - p.y0 : p.stride, x : x + shape[1] - p.x0 : p.stride]
        )
    return columns


def cross_scale_context(values: list[npt.NDArray], grid: Grid) -> list[npt.NDArray | None]:
    """Co-located samples of already decoded grids for every sample of ``grid``.

    Args:
        values: Decoded grids in coding order, up to ``grid.index``.
        grid: The grid to be coded.

    Returns:
        Five ``[Hg, Wg]`` arrays or None: parent, its vertical and horizontal neighbour on the
        sample's own side, grandparent, cross.
    """
    h, w = grid.shape
    y, x = np.arange(h), np.arange(w)
    out: list[npt.NDArray | None] = [None] * N_CROSS_SCALE
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
    """All latent grids in coding order: coarse to fine; per level geometry, then texture 0, 1..."""
    first = {
        group: (0 if group == 0 else header.occluded_first) for group in range(header.n_textures)
    }
    last = {group: header.texture_levels - 1 for group in first}
    if header.layers:
        first[GEOMETRY] = header.geometry_first
        last[GEOMETRY] = header.geometry_first + header.geometry_levels - 1
    found: dict[tuple[int, int], int] = {}
    out: list[Grid] = []
    for level in range(max(last.values()), -1, -1):
        cross = None
        for group in sorted(first):
            if not first[group] <= level <= last[group]:
                continue
            grid = Grid(
                index=len(out),
                group=group,
                level=level,
                shape=level_shape(header.canvas, level),
                parent=found.get((group, level + 1)),
                grandparent=found.get((group, level + 2)),
                cross=cross,
            )
            found[group, level] = cross = grid.index
            out.append(grid)
    return out


def n_latents(header: StreamHeader) -> int:
    """Number of latents that a file with this header holds."""
    return sum(math.prod(grid.shape) for grid in grids(header))


def entropy_models(header: StreamHeader) -> tuple[str, ...]:
    """Names of the entropy networks, indexed by :attr:`Grid.entropy_model`."""
    return ("texture", "geometry") if header.layers else ("texture",)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One weight tensor: real value = (default + coded difference) * 2**-exponent."""

    name: str
    shape: tuple[int, ...]
    exponent: int
    default: npt.NDArray[np.int32]


def _seeded(
    shape: tuple[int, ...], seed: int, amplitude: float, exponent: int
) -> npt.NDArray[np.int32]:
    """Pseudo-random default weights, uniform in +-amplitude, from a 32-bit integer hash.

    Both sides know them, so a file pays only for what the fit changes (format_spec.md section 5.4).
    """
    limit = int(amplitude * (1 << exponent))
    i = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(seed * 65536 + 1)
    mask = np.uint64(0xFFFFFFFF)
    for multiplier in (0x7FEB352D, 0x846CA68B):
        i ^= i >> np.uint64(16)
        i = (i * np.uint64(multiplier)) & mask
    i ^= i >> np.uint64(15)
    return (
        ((i * np.uint64(2 * limit + 1) >> np.uint64(32)).astype(np.int64) - limit)
        .astype(np.int32)
        .reshape(shape)
    )


@cache
def _trained() -> dict[str, npt.NDArray[np.int32]]:
    """Weights that fit many scenes, in units of ``2**-exponent`` at a gain of 1."""
    path = resources.files(__package__) / "default_weights.json"
    table = json.loads(path.read_text(encoding="ascii"))
    return {name: np.array(values, np.int32) for name, values in table.items()}


def tensor_specs(header: StreamHeader) -> list[TensorSpec]:
    """All weight tensors in coding order. See format_spec.md section 5.4."""
    out: list[TensorSpec] = []

    def add(
        name: str,
        shape: tuple[int, ...],
        exponent: int,
        amplitude: float = 0.0,
        from_latents: int = 0,
        start: tuple[int, ...] = (0,),
    ) -> None:
        """Add a tensor; its first ``from_latents`` columns meet latents, whose step is the gain."""
        default = _trained().get(name)
        if default is None or default.shape != shape:
            default = _seeded(shape, len(out), amplitude, exponent) + np.array(start, np.int32)
        if from_latents:
            default = default.copy()
            default[:, :from_latents] = (default[:, :from_latents] * header.gain + 8) >> 4
        out.append(TensorSpec(name, shape, exponent, default))

    def add_dense(
        name: str, n_in: int, n_out: int, amplitude: float, from_latents: int = 0
    ) -> None:
        add(f"{name}.weight", (n_out, n_in), 7, amplitude, from_latents)
        add(f"{name}.bias", (n_out,), 10)

    def add_trunk(name: str, n_in: int, hidden: int, n_out: int) -> None:
        if header.attention:
            add_dense(f"{name}.attention", n_in, n_in, 0.0, n_in)
        if hidden:
            add_dense(f"{name}.hidden", n_in, hidden, 1.0, n_in)
        add_dense(f"{name}.output", n_in + hidden, n_out, 0.2, n_in)

    add_trunk("texture", header.texture_levels, header.texture_hidden, header.features)
    if header.color_filter:
        add("color_filter.linear", (header.channels, header.features, 3, 3), 7)
        if header.filter_hidden:
            hidden = header.filter_hidden
            add("color_filter.hidden.weight", (hidden, header.features, 3, 3), 7, 0.15)
            add("color_filter.hidden.bias", (hidden,), 10)
            add("color_filter.output", (header.channels, hidden, 3, 3), 7)
    if header.layers:
        add_trunk("geometry", header.geometry_levels, header.geometry_hidden, 2 * header.layers - 1)
    n_in = header.features + header.n_coordinates
    for i in range(header.view_depth):
        add_dense(f"view.hidden{i}", n_in, header.view_hidden, 0.5)
        n_in = header.view_hidden
    if header.view_depth:
        add_dense("view.output", n_in, header.channels, 0.0)
    all_grids = grids(header)
    for model, name in enumerate(entropy_models(header)):
        hidden = header.arm_hidden
        n_grids = sum(g.entropy_model == model for g in all_grids)
        add(f"arm.{name}.hidden", (N_KINDS, hidden, 2 * N_CONTEXT), 7, 0.25)
        add(f"arm.{name}.hidden_bias", (N_KINDS, hidden), 7)
        add(f"arm.{name}.output", (N_KINDS, 2, hidden), 7, 0.1)
        add(f"arm.{name}.shortcut", (N_KINDS, 2, 2 * N_CONTEXT), 7)
        add(f"arm.{name}.pass_bias", (N_KINDS, 2), 7)
        # Scale index 16 (a width of 0.84 steps) suits a network that knows nothing yet.
        add(f"arm.{name}.grid_bias", (n_grids, 2), 7, start=(0, 512))
    if header.per_view:
        add("per_view", (header.n_v * header.n_u, 5), 0)
    return out
