# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from headers import FLAT, HEADER
from hypothesis import given
from hypothesis import strategies as st

from sanrcodec.bitstream import grids as latent_grids
from sanrcodec.bitstream.grids import GEOMETRY, N_CONTEXT, PAD, grids, passes
from sanrcodec.bitstream.header import StreamHeader

shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(shapes)
def test_every_sample_is_in_exactly_one_pass(shape: tuple[int, int]) -> None:
    n_passes = np.zeros(shape, int)
    for p in passes(shape):
        rows = n_passes[p.y0 :: p.stride, p.x0 :: p.stride]
        assert rows.size
        rows += 1
    assert (n_passes == 1).all()


@given(shapes)
def test_context_holds_decoded_samples_only(shape: tuple[int, int]) -> None:
    """Samples not yet decoded are marked; none of the marks may appear in a context."""
    undecoded = 7
    padded = np.zeros((shape[0] + 2 * PAD, shape[1] + 2 * PAD), np.int32)
    inner = padded[PAD : PAD + shape[0], PAD : PAD + shape[1]]
    inner[...] = undecoded
    for p in passes(shape):
        samples = inner[p.y0 :: p.stride, p.x0 :: p.stride]
        assert (samples == undecoded).all()
        columns = latent_grids.neighbor_context(padded, shape, p)
        assert [column is not None for column in columns] == list(p.known)
        for column in columns:
            if column is not None:
                assert column.shape == samples.shape
                assert not (column == undecoded).any()
        samples[...] = 1


@pytest.mark.parametrize("header", [HEADER, FLAT], ids=["default", "sanr"])
def test_cross_scale_context_holds_decoded_grids_only(header: StreamHeader) -> None:
    values: list[np.ndarray] = []
    for number, grid in enumerate(grids(header)):
        assert grid.index == number
        for other in (grid.parent, grid.grandparent, grid.cross):
            assert other is None or other < number
        columns = latent_grids.cross_scale_context(values, grid)
        assert len(columns) == N_CONTEXT - len(latent_grids._OFFSETS)
        for column in columns:
            assert column is None or column.shape == grid.shape
        values.append(np.full(grid.shape, number))
        others = [grid.parent] * 3 + [grid.grandparent, grid.cross]
        for column, other in zip(columns, others, strict=True):
            assert (column is None) == (other is None)
            assert column is None or (column == other).all()


def test_cross_scale_context_is_co_located() -> None:
    header = dataclasses.replace(FLAT, height=13, width=11, texture_levels=3)
    values: list[np.ndarray] = []
    for grid in grids(header):
        y, x = np.indices(grid.shape)
        columns = latent_grids.cross_scale_context(values, grid)
        if columns[0] is not None:
            assert (columns[0] == (y // 2) * 100 + x // 2).all()
            side = np.clip(x // 2 + np.where(x % 2, 1, -1), 0, values[-1].shape[1] - 1)
            assert columns[2] is not None
            assert (columns[2] == (y // 2) * 100 + side).all()
        if columns[3] is not None:
            assert (columns[3] == (y // 4) * 100 + x // 4).all()
        values.append(y * 100 + x)


def test_grids_go_from_coarse_to_fine() -> None:
    found = grids(HEADER)
    levels = [grid.level for grid in found]
    assert levels == sorted(levels, reverse=True)
    assert len({(grid.group, grid.level) for grid in found}) == len(found)
    by_group = {g: [grid.level for grid in found if grid.group == g] for g in (GEOMETRY, 0, 1)}
    assert by_group == {
        GEOMETRY: [6, 5, 4, 3, 2, 1],
        0: [6, 5, 4, 3, 2, 1, 0],
        1: [6, 5, 4, 3, 2, 1],
    }
    assert found[-1].shape == HEADER.canvas == (59, 76)
    for grid in found:
        assert grid.shape == tuple(-(-n // 2**grid.level) for n in HEADER.canvas)
