# SPDX-License-Identifier: MIT
"""Choice of the layout, options that say nothing about one, and files that hold no light field."""

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import ROOT
from io_inputs import noise, refuses, save, save_views

from sanrcodec.errors import LightFieldError
from sanrcodec.io import LAYOUTS, read_input, read_light_field, write_mosaic, write_view


def test_layouts_are_those_of_the_page():
    page = (ROOT / "docs" / "inputs.md").read_text(encoding="utf-8")
    table = page.partition("## Layouts")[2].partition("## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(LAYOUTS)


def test_wrong_paths(tmp_path):
    refuses("no such file", tmp_path / "absent.png")
    save(tmp_path / "lf.png", noise((4, 4, 3)))
    refuses("cannot be read from a file", tmp_path / "lf.png", layout="views")
    for layout in LAYOUTS:
        if layout != "views":
            refuses("cannot be read from a folder", tmp_path, layout=layout)
    refuses("no file of arrays", tmp_path / "lf.png", layout="array")
    with pytest.raises(LightFieldError, match=r"layout 'hexagon' is unknown, expected .*mosaic"):
        read_light_field(tmp_path / "lf.png", layout="hexagon")
    with pytest.raises(LightFieldError, match=r"expected \.png or \.ppm"):
        write_view(tmp_path / "lf.tif", noise((4, 4, 3)), 8)


@pytest.mark.parametrize("path", ["", None, 5, b"lf.png", np.zeros((2, 2, 8, 8, 3), np.uint8)])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(LightFieldError, match=r"expected the path of a file or folder$"):
        read_light_field(path)


def test_options_that_say_nothing_are_refused(tmp_path):
    write_mosaic(tmp_path / "lf.png", noise((1, 2, 4, 4, 3)), (1, 2))
    for name, value in [("axes", "vuhwc"), ("dataset", "LF"), ("order", "rows")]:
        refuses(f"--{name} says nothing about layout mosaic", tmp_path / "lf.png", **{name: value})
    save_views(tmp_path / "lf", noise((1, 2, 4, 4, 3)), "view_{v}_{u}.png")
    refuses("--axes says nothing about layout views", tmp_path / "lf", axes="vuhwc")


@pytest.mark.parametrize("name", ["IMG_0001.lfr", "IMG_0001.LFP", "raw.dng", "x.bin"])
def test_raw_captures_name_what_decodes_them(tmp_path, name):
    content = b"\x89LFP\r\n\x1a\n" + bytes(64)
    (tmp_path / name).write_bytes(content)
    advice = "raw capture of a camera; decode it to views first, with LFToolbox"
    refuses(advice, tmp_path / name)
    refuses(advice, tmp_path / name, grid=(9, 9))
    refuses("no images in this folder, but .* raw capture", tmp_path)


def test_text_is_no_light_field(tmp_path):
    (tmp_path / "lf.txt").write_text("hello")
    refuses("no image that pillow can read", tmp_path / "lf.txt")


def test_summary(tmp_path):
    write_mosaic(tmp_path / "lf.png", noise((2, 3, 8, 9, 1), 10), (2, 3), 10)
    assert read_input(tmp_path / "lf.png").summary() == (
        "mosaic, from the top left: 2 x 3 views (V x U) of 9 x 8 pixels, gray, 10 bit"
    )
    np.save(tmp_path / "lf.npy", noise((2, 3, 8, 9, 3)))
    assert read_input(tmp_path / "lf.npy").summary().startswith("array lf.npy, axes vuhwc: 2 x 3")


@pytest.mark.parametrize(
    "grid", [[2, 3], "2x3", (np.uint8(2), np.int64(3)), np.array([2, 3])], ids=str
)
def test_grids_of_any_kind(tmp_path, grid):
    """As JSON, YAML and numpy have them."""
    views = noise((2, 3, 4, 4, 3))
    write_mosaic(tmp_path / "lf.png", views, (2, 3))
    np.save(tmp_path / "lf.npy", views)
    for name in ("lf.png", "lf.npy"):
        np.testing.assert_array_equal(read_light_field(tmp_path / name, grid).samples, views)


@pytest.mark.parametrize(
    "grid", [3, (2,), (2, 3, 4), (2.5, 3), ("2", "3"), "2x", [None, 3]], ids=str
)
def test_what_is_no_grid_is_refused(tmp_path, grid):
    np.save(tmp_path / "lf.npy", noise((2, 3, 4, 4, 3)))
    with pytest.raises(LightFieldError, match=r"^[^\n]*grid[^\n]*$"):
        read_light_field(tmp_path / "lf.npy", grid)


@pytest.mark.parametrize("bit_depth", ["8", 0, 8.5])
def test_what_is_no_bit_depth_is_refused(tmp_path, bit_depth):
    np.save(tmp_path / "lf.npy", noise((2, 3, 4, 4, 3)))
    with pytest.raises(LightFieldError, match="bit depth is"):
        read_light_field(tmp_path / "lf.npy", bit_depth=bit_depth)
