# SPDX-License-Identifier: MIT
"""Color slopes: views change with their place as the specification says."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
from headers import FLAT, HEADER
from planes import plane_file

from sanrcodec.arithmetic.ops import NUMPY
from sanrcodec.bitstream.grids import SLOPES, grids
from sanrcodec.decoder import SanrFile
from sanrcodec.scene.parts import tensor_specs
from sanrcodec.scene.pose import Pose, slope_weights
from sanrcodec.scene.scene import Scene

_SLOPE = 96  # of the luma, in 1/1024: 24 levels of 255 between the middle of the grid and its rim


def views_of(
    disparities: tuple[float, ...], visibility: float, slope: int, level: int = 0
) -> npt.NDArray[np.int64]:
    """All views, ``[V, U, H, W, C]``, of planes with a slope that is the same everywhere."""
    opened = SanrFile(plane_file(disparities, visibility, slope_levels=2))
    opened.weights["slope.output.bias"][0] = slope
    scene = Scene(opened.header, opened.weights, opened.latents, NUMPY, level)
    n_v, n_u = opened.grid
    views = [[scene.render(v, u) for u in range(n_u)] for v in range(n_v)]
    return np.array(views).astype(np.int64)


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("visibility", [1.0, 0.25])
def test_front_layer_changes_linearly(visibility: float, level: int) -> None:
    disparities = (0.0, 0.0)
    flat = views_of(disparities, visibility, 0, level)
    sloped = views_of(disparities, visibility, _SLOPE, level)
    n_v, n_u = flat.shape[:2]
    span = max(n_v, n_u) - 1
    v, u = np.mgrid[:n_v, :n_u]
    place = (2 * v - (n_v - 1)) / span + (2 * u - (n_u - 1)) / span
    expected = visibility * place * _SLOPE / 1024 * 255
    inside = (flat > 40) & (flat < 215) & (sloped > 0) & (sloped < 255)
    assert inside.mean() > 0.5
    error = (sloped - flat - expected[..., None, None, None])[inside]
    assert np.abs(error).max() <= 1.5


def test_slopes_follow_the_parallax() -> None:
    """A mirrored grid has its slopes along x mirrored, too; beyond the grid they end at 2."""
    header = dataclasses.replace(HEADER, n_v=5, n_u=5)
    at = [Pose((a, -a), (0, 0), 0, 1024) for a in (0, 256, 512, 5000)]
    assert [slope_weights(header, pose) for pose in at] == [
        (0, 0), (64, -64), (128, -128), (256, -256)
    ]  # fmt: skip


def test_slopes_need_layers() -> None:
    header = dataclasses.replace(FLAT, slope_levels=3)
    assert not header.has_slopes
    assert not any(grid.group in SLOPES for grid in grids(header))
    assert not any("slope" in spec.name for spec in tensor_specs(header))


def test_slopes_leave_the_order_of_other_grids_alone() -> None:
    with_slopes = [grid for grid in grids(HEADER) if grid.group not in SLOPES]
    without = grids(dataclasses.replace(HEADER, slope_levels=0))
    assert [(g.group, g.level) for g in with_slopes] == [(g.group, g.level) for g in without]
    at = {grid.index: (grid.group, grid.level) for grid in grids(HEADER)}
    for ours, theirs in zip(with_slopes, without, strict=True):
        place = None if ours.cross is None else at[ours.cross]
        cross = theirs.cross
        assert place == (None if cross is None else (without[cross].group, without[cross].level))
    for grid in grids(HEADER):
        if grid.group in SLOPES:
            assert grid.cross is not None
            assert at[grid.cross] == (0, grid.level)
