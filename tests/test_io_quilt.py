# SPDX-License-Identifier: MIT
"""Quilts: by name or by layout, from the bottom left, and what contradicts them."""

from __future__ import annotations

import numpy as np
import pytest
from io_inputs import assert_reads, noise, refuses, render, save
from PIL import Image

from sanrcodec.errors import LightFieldError
from sanrcodec.io import choose_tiles, quilt_path, read_light_field, write_quilt


def quilt_of(samples, n_rows, n_columns):
    """Tiles from the bottom left, of views ``[1, U, H, W, C]``."""
    rows = [
        np.concatenate(list(samples[0, row * n_columns : (row + 1) * n_columns]), axis=1)
        for row in range(n_rows)
    ]
    return np.concatenate(rows[::-1])


@pytest.mark.parametrize(
    "name",
    [
        "lf_qs4x3a0.75.png",
        "LF_QS4X3A0.75.PNG",
        "lf_qs4x3.png",
        "lf-qs4x3a0,75.png",
        "qs4x3.png",
        "lf qs4x3a.75.png",
    ],
)
def test_name_tells_the_tiles(tmp_path, name):
    samples = noise((1, 12, 8, 6, 3))
    save(tmp_path / name, quilt_of(samples, 3, 4))
    assert "quilt of 4 x 3 tiles, 1x12 views from the bottom left" in assert_reads(
        tmp_path / name, samples
    )
    assert_reads(tmp_path / name, samples, grid=(1, 12))
    assert_reads(tmp_path / name, samples, grid=(3, 4))
    refuses("name of this quilt says 1x12 views, which contradicts", tmp_path / name, grid=(4, 3))


def test_quilt_read_as_a_mosaic(tmp_path):
    samples = noise((3, 4, 8, 6, 3))
    tiles = samples.transpose(0, 2, 1, 3, 4).reshape(24, 24, 3)
    save(tmp_path / "lf_qs4x3a0.75.png", tiles)
    assert_reads(tmp_path / "lf_qs4x3a0.75.png", samples, layout="mosaic", grid=(3, 4))


def test_layout_tells_the_tiles(tmp_path):
    samples = render((1, 12), (64, 48), seed=2, disparity=(-0.2, 0.1))
    save(tmp_path / "lf.png", quilt_of(samples, 3, 4))
    assert_reads(tmp_path / "lf.png", samples, layout="quilt", grid=(3, 4))
    notes = assert_reads(tmp_path / "lf.png", samples, layout="quilt")
    assert "the content looks like 3x4 tiles" in notes
    refuses("not 11 rows and 4 columns of tiles", tmp_path / "lf.png", layout="quilt", grid=(11, 4))


def test_tiles_that_are_not_clear_are_asked_for(tmp_path):
    save(tmp_path / "lf.png", np.full((48, 64, 3), 90, np.uint8))
    refuses("add --grid with rows x columns of tiles", tmp_path / "lf.png", layout="quilt")


def test_pixels_beyond_the_tiles_are_left_out_and_said(tmp_path):
    samples = noise((1, 45, 91, 81, 3))
    pixels = noise((9 * 91 + 5, 5 * 81 + 2, 3))  # as 4096 pixels and tiles of 819
    pixels[5:, :-2] = quilt_of(samples, 9, 5)
    save(tmp_path / "lf_qs5x9a0.75.png", pixels)
    notes = assert_reads(tmp_path / "lf_qs5x9a0.75.png", samples)
    assert "5 rows at the top and 2 columns at the right belong to no tile" in notes


@pytest.mark.parametrize("bit_depth", [8, 10])
def test_round_trip(tmp_path, bit_depth):
    samples = noise((1, 8, 6, 4, 3), bit_depth)
    path = quilt_path(tmp_path / "lf.png", (2, 4), 4 / 6)
    assert path.name == "lf_qs4x2a0.6667.png"
    write_quilt(path, lambda number: samples[0, number], (2, 4), bit_depth)
    assert_reads(path, samples, bit_depth)
    if bit_depth == 8:
        with Image.open(path) as image:
            np.testing.assert_array_equal(np.asarray(image), quilt_of(samples, 2, 4))


def test_name_of_a_quilt(tmp_path):
    assert quilt_path("a/lf.png", (6, 8), 0.75).as_posix() == "a/lf_qs8x6a0.75.png"
    assert quilt_path("lf_qs8x6a1.png", (6, 8), 0.75).name == "lf_qs8x6a1.png"
    assert quilt_path("lf.png", (1, 2), 2.0).name == "lf_qs2x1a2.png"
    assert quilt_path("lf.png", (1, 2), 10.0).name == "lf_qs2x1a10.png"
    with pytest.raises(LightFieldError, match="says 8 x 6 tiles, but the views need 4 x 12"):
        quilt_path("lf_qs8x6a0.75.png", (12, 4), 0.75)


def test_tiles_are_chosen_about_square():
    assert choose_tiles(48, 100, 75) == (6, 8)
    assert choose_tiles(45, 100, 75) in ((5, 9), (9, 5))
    assert choose_tiles(101, 64, 96) in ((1, 101), (101, 1))


def test_hundred_views(tmp_path):
    samples = noise((1, 100, 4, 3, 3))
    save(tmp_path / "lf_qs10x10a0.75.png", quilt_of(samples, 10, 10))
    assert read_light_field(tmp_path / "lf_qs10x10a0.75.png").grid == (1, 100)


def test_tiles_that_content_or_aspect_contradict_are_said(tmp_path):
    samples = render((1, 45), (60, 80), seed=0, disparity=(-2.0, 1.5))
    pixels = quilt_of(samples, 9, 5)
    save(tmp_path / "lf_qs5x9a1.5.png", pixels)
    notes = assert_reads(tmp_path / "lf_qs5x9a1.5.png", samples)  # tiles are often stretched a bit
    assert "aspect" not in notes
    assert "the content" not in notes
    save(tmp_path / "lf_qs5x5a1.3333.png", pixels)
    notes = []
    assert read_light_field(tmp_path / "lf_qs5x5a1.3333.png", notes=notes.append).grid == (1, 25)
    assert any("repeats about every 60 of 540 rows" in note for note in notes)
    assert any("aspect of 0.74, but the name says 1.3333" in note for note in notes)
