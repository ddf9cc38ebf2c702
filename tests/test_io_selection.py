# SPDX-License-Identifier: MIT
"""Parts of light fields: views, every n-th, crops; in memory and on disk."""

from __future__ import annotations

import numpy as np
import pytest
from io_inputs import noise, save, save_views

from sanrcodec.errors import LightFieldError
from sanrcodec.io import Selection, parse_every, parse_ranges, read_light_field, select, stored
from sanrcodec.lightfield import LightField

SAMPLES = noise((5, 6, 8, 10, 3))
SELECTIONS = [
    (Selection(), np.s_[:, :]),
    (Selection(views=((1, 4), (2, 6))), np.s_[1:4, 2:6]),
    (Selection(every=(2, 3)), np.s_[::2, ::3]),
    (Selection(views=((1, None), (None, 5)), every=(2, 2)), np.s_[1::2, :5:2]),
    (Selection(crop=((2, 8), (0, 7))), np.s_[:, :, 2:8, :7]),
    (Selection(((4, 5), (5, 6)), (1, 1), ((None, 1), (9, None))), np.s_[4:5, 5:6, :1, 9:]),
]


@pytest.mark.parametrize(("selection", "index"), SELECTIONS)
def test_selects(selection, index):
    part = select(LightField(SAMPLES), selection)
    np.testing.assert_array_equal(part.samples, SAMPLES[index])


@pytest.mark.parametrize(("selection", "index"), SELECTIONS)
@pytest.mark.parametrize("kind", ["folder", "array"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_selects_while_reading(tmp_path, monkeypatch, selection, index, kind, in_memory):
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", 10**6 if in_memory else 0)
    path = tmp_path / ("lf" if kind == "folder" else "lf.npy")
    if kind == "folder":
        save_views(path, SAMPLES, "view_{v}_{u}.png")
    else:
        np.save(path, SAMPLES)
    light_field = read_light_field(path, selection=selection)
    assert isinstance(light_field.samples, np.ndarray) == in_memory
    assert light_field.shape == SAMPLES[index].shape
    np.testing.assert_array_equal(light_field.view(0, 0), SAMPLES[index][0, 0])
    np.testing.assert_array_equal(light_field.samples, SAMPLES[index])


def test_views_that_are_not_chosen_are_not_read(tmp_path):
    save_views(tmp_path, SAMPLES, "view_{v}_{u}.png")
    (tmp_path / "view_0_3.png").write_bytes(b"damaged")
    with pytest.raises(LightFieldError, match="no image"):
        read_light_field(tmp_path)
    part = read_light_field(tmp_path, selection=Selection(views=((1, 5), (0, 6))))
    np.testing.assert_array_equal(part.samples, SAMPLES[1:])


@pytest.mark.parametrize("harm", ["damaged", "missing", "of another size"])
@pytest.mark.parametrize("name", ["view_{v}_{u}.png", "input_Cam{n:03d}.png"])
def test_a_corner_that_is_not_chosen_may_be_bad(tmp_path, name, harm):
    save_views(tmp_path, SAMPLES, name)
    (tmp_path / "parameters.cfg").write_text("[extrinsics]\nnum_cams_x = 6\nnum_cams_y = 5\n")
    corner = tmp_path / name.format(v=0, u=0, n=0)
    corner.unlink()
    if harm == "damaged":
        corner.write_bytes(b"damaged")
    elif harm == "of another size":
        save(corner, SAMPLES[0, 0, :4])
    with pytest.raises(LightFieldError, match=r"with --views|no image"):
        read_light_field(tmp_path)
    part = read_light_field(tmp_path, selection=Selection(views=((1, 5), (0, 6))))
    np.testing.assert_array_equal(part.samples, SAMPLES[1:])
    part = read_light_field(tmp_path, selection=Selection(views=((0, 5), (1, 6)), every=(1, 2)))
    np.testing.assert_array_equal(part.samples, SAMPLES[:, 1::2])


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(views=((0, 6), (0, 6))), "--views: rows 0:6 are not among 0:5"),
        (Selection(views=((3, 3), (0, 6))), "rows 3:3"),
        (Selection(views=((None, None), (6, None))), "columns 6:6 are not among 0:6"),
        (Selection(crop=((None, 9), (None, None))), "--crop: pixel rows 0:9 are not among 0:8"),
        (Selection(crop=((None, None), (4, 2))), "pixel columns 4:2 are not among 0:10"),
    ],
)
def test_ranges_beyond_the_light_field_are_refused(tmp_path, selection, message):
    with pytest.raises(LightFieldError, match=message):
        select(LightField(SAMPLES), selection)
    np.save(tmp_path / "lf.npy", SAMPLES)
    with pytest.raises(LightFieldError, match=f"lf.npy: .*{message}"):
        read_light_field(tmp_path / "lf.npy", selection=selection)


def test_notation():
    assert parse_ranges("3:12,4:13") == ((3, 12), (4, 13))
    assert parse_ranges(":12, 4:") == ((None, 12), (4, None))
    assert parse_ranges(":,:") == ((None, None), (None, None))
    for text in ["3:12", "3,4", "-1:3,0:3", "3:12,4:13,5:6", "a:b,c:d", ""]:
        with pytest.raises(LightFieldError, match="expected rows and columns such as 3:12,3:12"):
            parse_ranges(text)
    assert parse_every("2") == (2, 2)
    assert parse_every("2,3") == (2, 3)
    for text in ["0", "2,0", "-1", "2,3,4", "x", ""]:
        with pytest.raises(LightFieldError, match="expected such as 2 or 2,3"):
            parse_every(text)
