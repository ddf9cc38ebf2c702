# SPDX-License-Identifier: MIT
"""Rows of views that were broken into lines: said, and not of grids."""

from __future__ import annotations

import numpy as np
import pytest
from io_inputs import assert_reads, noise, render, save, save_views, tile

from sanrcodec.io import read_light_field

SAID = "the last view of a row resembles the first one of the row"


@pytest.mark.parametrize("disparity", [(-0.4, 0.3), (-2.0, 1.5)])
def test_one_row_that_is_given_as_a_grid(tmp_path, disparity):
    row = render((1, 20), (48, 64), seed=3, disparity=disparity)
    lines = row.reshape(4, 5, 48, 64, 3)
    save_views(tmp_path / "lf", row, "{n:03d}.png")
    notes = assert_reads(tmp_path / "lf", lines, grid=(4, 5))
    assert f"{SAID} below; if they are one row, add --grid 1x20" in notes
    assert SAID not in assert_reads(tmp_path / "lf", row, grid=(1, 20))
    save(tmp_path / "lf.png", tile(lines))
    notes = assert_reads(tmp_path / "lf.png", lines, grid=(4, 5))
    assert f"{SAID} below; if they are one row, give them in a folder" in notes
    save(tmp_path / "quilt.png", tile(lines[::-1]))
    notes = assert_reads(tmp_path / "quilt.png", lines[::-1], grid=(4, 5))
    assert f"{SAID} above; if this is a quilt, add --layout quilt --grid 4x5" in notes
    assert_reads(tmp_path / "quilt.png", row, grid=(4, 5), layout="quilt")


@pytest.mark.parametrize("harm", ["none", "dark corners", "exposure", "noise", "all alike"])
@pytest.mark.parametrize("disparity", [(-0.4, 0.3), (-2.0, 1.5)])
def test_grids_are_no_rows(tmp_path, harm, disparity):
    samples = render((5, 6), (48, 64), seed=3, disparity=disparity)
    rng = np.random.default_rng(0)
    if harm == "dark corners":
        samples[:2, :2] = samples[:2, -2:] = samples[-2:, :2] = samples[-2:, -2:] = 3
    elif harm == "exposure":
        samples = (samples * rng.uniform(0.8, 1, (5, 6, 1, 1, 1))).astype(np.uint8)
    elif harm == "noise":
        samples = np.clip(samples + rng.normal(0, 15, samples.shape), 0, 255).astype(np.uint8)
    elif harm == "all alike":
        samples[:] = samples[0, 0]
    save_views(tmp_path / "lf", samples, "{n:03d}.png")
    assert SAID not in assert_reads(tmp_path / "lf", samples, grid=(5, 6))


def test_views_of_one_pixel_and_black_ones(tmp_path):
    for samples in (noise((4, 4, 1, 1, 1)), np.zeros((4, 4, 5, 6, 3), np.uint8)):
        np.save(tmp_path / "lf.npy", samples.reshape(16, *samples.shape[2:]))
        light_field = read_light_field(
            tmp_path / "lf.npy", grid=(4, 4), axes="nhwc", notes=lambda line: None
        )
        np.testing.assert_array_equal(light_field.samples, samples)
