# SPDX-License-Identifier: MIT
"""Folders of views: naming schemes, other files beside the views, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from io_inputs import assert_reads, noise, refuses, save, save_views
from PIL import Image

from sanrcodec.errors import LightFieldError
from sanrcodec.io import Selection, read_input, read_light_field, stored, views, write_view

ROW_FIRST = [
    "view_{v:02d}_{u:02d}.png",
    "view_{v}_{u}.ppm",
    "out_{v:02d}_{u:02d}_-776.880371_1533.980469_.png",
    "{v}_{u}.png",
    "{v}_{u}.bmp",
    "lf_{v}_{u}.png",
    "2067_{v:02d}_{u:02d}.png",
    "2067.{v:02d}.{u:02d}.png",
    "Original Camera_{v:02d}_{u:02d}_400.000000_400.000000_.png",
    "IMG_2067_r{v}_c{u}.png",
    "cam{n:03d}_{v}_{u}.png",
    "{v:02d}-{u:02d}.PNG",
    "VIEW_{v:02d}_{u:02d}.PNG",
    "row{v:02d}/view{u:02d}.png",
    "{v:02d}/{u:02d}.png",
]
COLUMN_FIRST = [
    "{u:03d}_{v:03d}.ppm",
    "lf_c{u}_r{v}.png",
    "lf_x{u:02d}_y{v:02d}.png",
    "s{u}t{v}.png",
    "column{u}/row{v}.png",
    "h{u}_v{v}.png",
    "hor{u}_vert{v}.png",
]


@pytest.mark.parametrize("name", ROW_FIRST + COLUMN_FIRST)
@pytest.mark.parametrize("grid", [(3, 4), (4, 2)])
def test_names_hold_the_grid(tmp_path, name, grid):
    samples = noise((*grid, 4, 5, 3))
    save_views(tmp_path / "lf", samples, name)
    (tmp_path / "lf" / "parameters.cfg").write_text("no image")
    notes = assert_reads(tmp_path / "lf", samples)
    assert "another file is left out: parameters.cfg" in notes
    assert_reads(tmp_path / "lf", samples, grid=grid)
    for other in [(1, 2), grid[::-1], (1, grid[0] * grid[1])]:
        refuses("contradicts --grid", tmp_path / "lf", grid=other)


@pytest.mark.parametrize("name", [*ROW_FIRST, *COLUMN_FIRST])
def test_the_user_may_say_which_index_comes_first(tmp_path, name):
    samples = noise((3, 4, 4, 5, 3))
    save_views(tmp_path / "lf", samples, name)
    right, wrong = ("rows", "columns") if name in ROW_FIRST else ("columns", "rows")
    assert_reads(tmp_path / "lf", samples, order=right)
    assert_reads(tmp_path / "lf", samples.swapaxes(0, 1), order=wrong)
    with pytest.raises(LightFieldError, match="order 'v' is unknown, expected rows or columns"):
        read_light_field(tmp_path / "lf", order="v")


@pytest.mark.parametrize(
    ("name", "source", "note"),
    [
        ("{v:03d}_{u:03d}.png", "JPEG Pleno CCC_RRR", "columns first; if the row comes first, add"),
        (
            "{v}_{u}.png",
            "plenopticam J_I",
            "rows first; if the column comes first, add",
        ),
        ("a_{v}_{u}_b7.png", "names a_ROW_COLUMN_b*", "if the column comes first"),
        ("view_{v}_{u}.png", "view_VV_UU", None),
        ("a_r{v}_c{u}.png", "names a_rROW_cCOLUMN", None),
    ],
)
def test_how_names_were_read_is_said(tmp_path, name, source, note):
    save_views(tmp_path, noise((2, 2, 4, 5, 3)), name)
    notes = []
    understood = read_input(tmp_path, notes=notes.append)
    assert source in understood.source
    assert understood.summary().endswith(": 2 x 2 views (V x U) of 5 x 4 pixels, RGB, 8 bit")
    assert note is None if not notes else note in notes[0]


@pytest.mark.parametrize(
    ("name", "grid"),
    [("view_{v:02d}_{u:02d}.png", (3, 1)), ("view_{v}_{u}.pgm", (1, 11)), ("{v}_{u}.png", (1, 3))],
)
def test_one_row_or_column_of_a_known_scheme(tmp_path, name, grid):
    samples = noise((*grid, 4, 5, 1))
    save_views(tmp_path / "lf", samples, name)
    assert_reads(tmp_path / "lf", samples)


def test_more_than_64_views_in_a_row(tmp_path):
    samples = noise((1, 101, 4, 5, 3))
    save_views(tmp_path, samples, "view_{v:02d}_{u:02d}.png")
    assert_reads(tmp_path, samples)


@pytest.mark.parametrize(
    "name", ["out_{v:02d}_{u:02d}_1.5_2.5_.png", "{u:03d}_{v:03d}.png", "lf_{v}_{u}.png"]
)
def test_indices_begin_anywhere_and_have_steps(tmp_path, name):
    samples = noise((3, 2, 4, 5, 3))
    for v, u in np.ndindex(3, 2):
        write_view(tmp_path / name.format(v=3 + 2 * v, u=7 + u), samples[v, u], 8)
    assert_reads(tmp_path, samples)
    assert "rows from 3 in steps of 2, columns from 7" in read_input(tmp_path).source


def test_indices_around_zero(tmp_path):
    samples = noise((3, 3, 4, 5, 3))
    for v, u in np.ndindex(3, 3):
        write_view(tmp_path / f"view_{v - 1}_{u - 1}.png", samples[v, u], 8)
    assert_reads(tmp_path, samples)


@pytest.mark.parametrize(
    "name", ["x{x:.2f}_y{y:.2f}.png", "cam_y{y:.2f}x{x:.2f}.png", "pos x{x:.2f}, y{y:.2f}.png"]
)
def test_positions_around_zero_right_after_a_letter(tmp_path, name):
    # As hyphens, the signs split the views into four sets, of which the largest made a grid alone.
    samples = noise((5, 7, 4, 5, 3))
    for v, u in np.ndindex(5, 7):
        file = name.format(y=0.05 * v - 0.1, x=0.05 * u - 0.15)
        write_view(tmp_path / file, samples[v, u], 8)
    assert_reads(tmp_path, samples)
    assert "rows from -1/10 in steps of 1/20" in read_input(tmp_path).source


@pytest.mark.parametrize("name", ["cam{u}.png", "cam_{u}.png", "cam-{u}.png", "a {u}_b7.png"])
@pytest.mark.parametrize("low", [-1, -2, -4])
def test_a_row_around_zero(tmp_path, name, low):
    """The natural order of such names is another one."""
    row = noise((1, 5, 4, 5, 3))
    for u in range(5):
        write_view(tmp_path / name.format(u=low + u), row[0, u], 8)
    assert "content" not in assert_reads(tmp_path, row, grid=(1, 5))


@pytest.mark.parametrize("name", ["x{u}y{v}.png", "x{u}_y{v}.png", "lf{v},{u}.png"])
@pytest.mark.parametrize("low", [-1, -2])
def test_a_grid_around_zero(tmp_path, name, low):
    samples = noise((3, 4, 4, 5, 3))
    for v, u in np.ndindex(3, 4):
        write_view(tmp_path / name.format(v=v - 1, u=u + low), samples[v, u], 8)
    assert_reads(tmp_path, samples)
    (tmp_path / name.format(v=-1, u=0)).unlink()
    refuses("1 view is missing: row -1 column 0", tmp_path)


@pytest.mark.parametrize(
    "name", ["cam{v:+d}{u:+d}.png", "{v:+d}{u:+.2f}.png", "x{u:+d}y{v:+d}.png"]
)
def test_signs_one_after_the_other(tmp_path, name):
    # As hyphens after a digit, the signs split the views into sets, of which one made a grid alone.
    samples = noise((3, 5, 4, 5, 3))
    for v, u in np.ndindex(3, 5):
        write_view(tmp_path / name.format(v=v - 1, u=u - 2), samples[v, u], 8)
    assert "left out" not in assert_reads(tmp_path, samples)


def test_hyphens_of_a_date_are_no_signs_beside_a_plus(tmp_path):
    samples = noise((3, 4, 4, 5, 3))
    save_views(tmp_path, samples, "a+b 2024-01-15 {v}-{u}.png")
    assert_reads(tmp_path, samples)


@pytest.mark.parametrize("name", ["cam-{v}-{u}.png", "lf-{v}_{u}.png", "2024-01-15-{v}-{u}.png"])
def test_hyphens_that_join_words_are_no_signs(tmp_path, name):
    samples = noise((3, 4, 4, 5, 3))
    save_views(tmp_path / "lf", samples, name)
    assert_reads(tmp_path / "lf", samples)
    save(tmp_path / "lf" / "lf0_0.png", samples[0, 0])
    assert "left out: lf0_0.png" in assert_reads(tmp_path / "lf", samples)


@pytest.mark.parametrize("name", ["frame_{v:04d}_cam_{u:02d}.png", "cam{u}-time{v}.png"])
def test_times_are_no_rows(tmp_path, name):
    samples = noise((3, 4, 4, 5, 3))
    save_views(tmp_path / "lf", samples, name)
    # What all of them suggest together is no grid, and is not named.
    refuses("add --grid VxU, rows of views first, or give the images of one time$", tmp_path / "lf")
    for v, u in np.ndindex(2, 4):
        (tmp_path / "lf" / name.format(v=v + 1, u=u)).unlink()
    assert_reads(tmp_path / "lf", samples[:1], grid=(1, 4))
    save_views(tmp_path / "fixed", samples, "frame_0007_{v}_{u}.png")
    assert_reads(tmp_path / "fixed", samples)


@pytest.mark.parametrize(
    ("n_views", "hint"),
    [
        (16, " such as 4x4, or 1x16 if they are one row"),
        (15, ", 1x15 if they are one row"),
        (1089, " such as 33x33"),
        (1090, ""),
        (4097, ", of at most 4096 views"),
    ],
)
def test_grid_is_suggested(tmp_path, n_views, hint):
    for n in range(n_views):
        (tmp_path / f"{n:03d}.png").touch()
    refuses(f"add --grid VxU, rows of views first{hint}$", tmp_path)


# Views that are only counted


def test_natural_order(tmp_path):
    samples = noise((2, 6, 4, 5, 3))
    save_views(tmp_path / "lf", samples, "img{n}.png")
    notes = assert_reads(tmp_path / "lf", samples, grid=(2, 6))
    assert "img0 to img11, row by row; if not so, add --order columns, serpentine or" in notes
    refuses("12 images, img0 to img11, do not tell their grid; add --grid VxU", tmp_path / "lf")
    refuses("found 12 images .*, but --grid 3x3 needs 9", tmp_path / "lf", grid=(3, 3))
    by_column = samples.reshape(6, 2, 4, 5, 3).swapaxes(0, 1)
    assert_reads(tmp_path / "lf", by_column, grid=(2, 6), order="columns")


def test_square_number_is_suggested_and_not_taken(tmp_path):
    save_views(tmp_path, noise((3, 3, 4, 5, 3)), "{n:04d}.png")
    refuses("such as 3x3", tmp_path)


@pytest.mark.parametrize("name", ["input_Cam{n:03d}.png", "INPUT_CAM{n:03d}.PNG"])
@pytest.mark.parametrize("first", [0, 1])
def test_hci(tmp_path, name, first):
    samples, folder = noise((9, 4, 5, 3)), tmp_path / "lf"
    save_counted(folder, samples, name, range(first, first + 9))
    square = samples.reshape(3, 3, 4, 5, 3)
    assert_reads(folder, square)
    assert_reads(folder, square.swapaxes(0, 1), order="columns")
    for other in [(1, 9), (9, 1), (2, 4)]:
        refuses("8 make 3x3 views|9 make 3x3 views", folder, grid=other)
    (folder / name.format(n=first + 8)).unlink()
    refuses(f"8 images.* add --grid VxU.* or look for (?i:input_cam00{first + 8})", folder)
    assert_reads(folder, samples[:8].reshape(2, 4, 4, 5, 3), grid=(2, 4))


def save_counted(folder, samples, name, numbers):
    """Write views ``[n, H, W, C]`` with these numbers in their names."""
    folder.mkdir(exist_ok=True)
    for number, view in zip(numbers, samples, strict=True):
        write_view(folder / name.format(n=number), view, 8)


def test_views_of_hci_that_are_missing_without_its_parameters(tmp_path):
    whole = noise((6, 8, 4, 5, 3))
    save_counted(tmp_path, whole.reshape(-1, 4, 5, 3)[:46], "input_Cam{n:03d}.png", range(46))
    refuses("--grid says 6x8 views: 2 views are missing: input_Cam046", tmp_path, grid=(6, 8))
    selection = Selection(views=((0, 5), (None, None)))
    assert_reads(tmp_path, whole[:5], grid=(6, 8), selection=selection)
    (tmp_path / "input_Cam011.png").unlink()
    refuses("no regular part of a grid: 1 view is missing: .* --grid VxU, and --views", tmp_path)
    found = read_input(tmp_path, (6, 8), selection=Selection(views=((2, 5), (None, None))))
    np.testing.assert_array_equal(found.light_field.samples, whole[2:5])
    assert "input_Cam000 to input_Cam045, row by row" in found.summary()


def test_a_part_of_the_views_that_parameters_of_hci_tell(tmp_path):
    text = "[intrinsics]\nfstop = 100\n[extrinsics]\nnum_cams_x = 8\nnum_cams_y = 6\n[meta]\n"
    whole, numbers = noise((6, 8, 4, 5, 3)), np.arange(48).reshape(6, 8)
    parts = {"all": np.s_[:, :], "first rows": np.s_[:4], "one row": np.s_[2:3, 1:5],
             "middle": np.s_[1:5, 2:6], "every second": np.s_[1::2, ::2], "one": np.s_[3:4, 3:4],
             "corners": np.s_[::5, ::7]}  # fmt: skip
    for name, part in parts.items():
        folder = tmp_path / name
        chosen = numbers[part]
        save_counted(folder, whole[part].reshape(-1, 4, 5, 3), "input_Cam{n:03d}.png", chosen.flat)
        (folder / "parameters.cfg").write_text(text)
        notes = assert_reads(folder, whole[part])
        said = "a regular part of the 6x8 views that parameters.cfg says"
        assert (said in notes) == (name != "all")
        assert "--order" not in notes
        assert_reads(folder, whole[part], grid=chosen.shape)
        refuses("contradicts --grid 5x5", folder, grid=(5, 5))
    (tmp_path / "middle" / f"input_Cam{numbers[3, 3]:03d}.png").unlink()
    refuses("parameters.cfg says 6x8 views: 1 view is missing: input_Cam027", tmp_path / "middle")
    save_counted(tmp_path / "one", whole[0, :1], "input_Cam{n:03d}.png", [48])
    refuses("says 6x8 views, but there is input_Cam048", tmp_path / "one")
    save_counted(tmp_path / "scattered", whole[0, :3], "input_Cam{n:03d}.png", [0, 11, 46])
    (tmp_path / "scattered" / "parameters.cfg").write_text(text)
    refuses("says 6x8 views: [0-9]+ views are missing: input_Cam0", tmp_path / "scattered")
    for wrong, message in [("many", "15 images"), ("99999", "parameters.cfg says grid 6x99999")]:
        folder = tmp_path / wrong
        save_counted(folder, whole[0, :1].repeat(15, 0), "input_Cam{n:03d}.png", range(15))
        (folder / "parameters.cfg").write_text(text.replace("x = 8", f"x = {wrong}"))
        refuses(message, folder)


@pytest.mark.parametrize("name", ["input_Cam{n:03d}.png", "frame_{n:04d}.png", "{n}.png"])
@pytest.mark.parametrize("first", [0, 31])
def test_gaps_in_numbers_tell_the_rows(tmp_path, name, first):
    numbers, samples = first + np.arange(81).reshape(9, 9), noise((9, 9, 4, 5, 3))
    for number, part in enumerate([np.s_[::2, ::2], np.s_[::3, ::4], np.s_[1:8, 2:7],
                                   np.s_[::4, :8], np.s_[2:7:4, 1:8:3]]):  # fmt: skip
        folder, chosen = tmp_path / str(number), numbers[part]
        save_counted(folder, samples[part].reshape(-1, 4, 5, 3), name, chosen.flat)
        if len(chosen) == 2:  # rows of three with steps of three
            assert chosen.shape == (2, 3)
        assert "rows as the gaps in their numbers tell" in assert_reads(folder, samples[part])
        assert_reads(folder, samples[part].swapaxes(0, 1), order="columns")
        assert_reads(folder, samples[part], grid=chosen.shape)
        refuses("contradicts --grid 1x", folder, grid=(1, chosen.size))


def test_gaps_that_tell_no_rows_are_asked_or_said(tmp_path):
    samples, numbers = noise((12, 4, 5, 3)), [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 13, 14]
    save_counted(tmp_path / "other", samples, "img{n:02d}.png", numbers)
    refuses("12 images, .* add --grid VxU.* or look for img04", tmp_path / "other")
    refuses("--grid 3x5 needs 15; look for img04", tmp_path / "other", grid=(3, 5))
    refuses("needs 9; move those away that are no views", tmp_path / "other", grid=(3, 3))
    notes = assert_reads(tmp_path / "other", samples.reshape(3, 4, 4, 5, 3), grid=(3, 4))
    assert "img00 to img14, with 3 gaps in their numbers, the first at img04, row by row" in notes
    save_counted(tmp_path / "hci", samples, "input_Cam{n:03d}.png", numbers)
    for grid in (None, (3, 4)):
        refuses("3 views are missing: input_Cam004", tmp_path / "hci", grid=grid)
    two_rows = tmp_path / "two rows"
    save_counted(two_rows, samples[:8], "input_Cam{n:03d}.png", numbers[:8])
    refuses("1 view is missing: input_Cam004", two_rows)
    assert_reads(two_rows, samples[:8].reshape(2, 4, 4, 5, 3), grid=(2, 4))


@pytest.mark.parametrize(
    ("name", "victim", "message"),
    [
        ("input_Cam{n:03d}.png", "input_Cam004.png", "1 view is missing: input_Cam004"),
        ("view_{v:02d}_{u:02d}.png", "view_01_02.png", "1 view is missing: row 1 column 2"),
        ("{u:03d}_{v:03d}.png", "002_001.png", "1 view is missing: row 1 column 2"),
        ("lf_{v}_{u}.png", "lf_0_0.png", "1 view is missing: row 0 column 0"),
    ],
)
def test_missing_view_is_named(tmp_path, name, victim, message):
    save_views(tmp_path / "lf", noise((3, 3, 4, 5, 3)), name)
    (tmp_path / "lf" / victim).unlink()
    refuses(message, tmp_path / "lf")


def test_view_unlike_the_others_is_refused_before_the_rest_is_decoded(tmp_path, monkeypatch):
    save_views(tmp_path, noise((6, 6, 4, 5, 3)), "view_{v}_{u}.png")
    save(tmp_path / "view_5_5.png", noise((3, 5, 3)))
    read = []
    read_image = views.read_image
    monkeypatch.setattr(views, "read_image", lambda file: read.append(file) or read_image(file))
    with pytest.raises(LightFieldError, match=r"view_5_5.png: this view is 5 x 3 RGB of 8"):
        read_light_field(tmp_path)
    assert len(read) == 2


def test_missing_row_is_named(tmp_path):
    save_views(tmp_path, noise((4, 2, 4, 5, 3)), "a_{v}_{u}.png")
    for u in range(2):
        (tmp_path / f"a_2_{u}.png").unlink()
    refuses("2 views are missing: row 2 column 0, row 2 column 1", tmp_path)


# Other files


@pytest.mark.parametrize(
    "name", ["{n:03d}.png", "view_{v}_{u}.png", "input_Cam{n:03d}.png", "{v}_{u}.png"]
)
def test_other_files_are_left_out_and_said(tmp_path, name):
    samples = noise((3, 3, 4, 5, 3))
    folder = tmp_path / "lf"
    save_views(folder, samples, name)
    others = [
        "._000.png", "Thumbs.db", "B.png", "input_Cam004_gt.png", "view_1_1_depth.png",
        "gt_disp_lowres.png", "mask_04.png", "thumbnail.png",
    ]  # fmt: skip
    for other in others:
        save(folder / "x.png", noise((4, 5, 1)))
        (folder / "x.png").rename(folder / other)
    for grid in [None, (3, 3)] if "{n:03d}.png" != name else [(3, 3)]:
        notes = assert_reads(folder, samples, grid=grid)
        assert f"{len(others)} other files are left out" in notes


def test_images_of_another_size_or_mode_are_left_out_where_they_are_too_many(tmp_path):
    samples = noise((3, 3, 4, 5, 3))
    save_views(tmp_path, samples, "{n:03d}.png")
    save(tmp_path / "009.png", noise((12, 15, 3)))
    Image.fromarray(noise((4, 5), 16)).save(tmp_path / "010.png")
    notes = assert_reads(tmp_path, samples, grid=(3, 3))
    assert "2 other files are left out: 009.png, 010.png" in notes


@pytest.mark.parametrize("other", ["all_2x3.png", "B.png", "depth_0.png", "view_1_1_gt.png"])
def test_another_image_does_not_stand_for_a_missing_view(tmp_path, other):
    save_views(tmp_path, noise((1, 5, 4, 5, 3)), "cam{n}.png")
    (tmp_path / "cam3.png").rename(tmp_path / other)
    refuses("found 4 images such as cam0, but --grid 1x5 needs 5", tmp_path, grid=(1, 5))


@pytest.mark.parametrize("name", ["Camera.{n:03d}.png", "view ({n}).png", "img{n}.png"])
def test_the_first_view_has_no_number(tmp_path, name):
    """As Blender names cameras, and systems name copies."""
    samples = noise((3, 3, 4, 5, 3))
    save_views(tmp_path, samples, name)
    stem = name.partition("{")[0].rstrip(" .(")
    (tmp_path / name.format(n=0)).rename(tmp_path / f"{stem}.png")
    assert f"{stem} to " in assert_reads(tmp_path, samples, grid=(3, 3))


def test_letters_count_on(tmp_path):
    samples = noise((2, 8, 4, 5, 3))
    for n, view in enumerate(samples.reshape(16, 4, 5, 3)):
        write_view(tmp_path / f"cam_{n:x}.png", view, 8)
    assert "cam_0 to cam_f" in assert_reads(tmp_path, samples, grid=(2, 8))


def test_depth_maps_with_the_names_of_views(tmp_path):
    samples = noise((2, 2, 4, 5, 3))
    save_views(tmp_path, samples, "view_{v}_{u}.png")
    for v, u in np.ndindex(2, 2):
        Image.fromarray(np.zeros((4, 5), np.float32)).save(tmp_path / f"view_{v}_{u}.tif")
    assert_reads(tmp_path, samples)


def test_all_images_named_depth_are_the_views(tmp_path):
    samples = noise((2, 2, 4, 5, 1))
    save_views(tmp_path, samples, "depth_{v}_{u}.png")
    assert_reads(tmp_path, samples)


def test_two_sets_of_equal_size_are_asked(tmp_path):
    for eye in ("left", "right"):
        save_views(tmp_path, noise((2, 2, 4, 5, 3)), eye + "_{v}_{u}.png")
    refuses("left_0_0, ... and right_0_0, ... are 4 images each", tmp_path)


@pytest.mark.parametrize("names", [("a/input_Cam{n:03d}.png", "b/input_Cam{n:03d}.png"),
                                   ("left{n}.png", "right{n}.png")])  # fmt: skip
def test_two_counted_sets_of_equal_size_are_asked(tmp_path, names):
    samples = noise((2, 2, 4, 5, 3))
    for name in names:
        save_views(tmp_path, samples, name)
    refuses("0, ... and .*0, ... are 4 images each; give a folder of one", tmp_path)
    refuses("are 4 images each", tmp_path, grid=(2, 2))
    if names[0] == "left{n}.png":
        assert_reads(tmp_path, np.concatenate([samples, samples]), grid=(4, 2))


def test_a_few_images_that_make_a_grid_are_not_taken_for_the_views(tmp_path):
    save_views(tmp_path, noise((3, 3, 4, 5, 3)), "img{n}.png")
    save_views(tmp_path, noise((2, 2, 4, 5, 3)), "detail_{v}_{u}.png")
    refuses("9 images, img0 to img8, do not tell", tmp_path)


def test_doubled_view(tmp_path):
    save_views(tmp_path, noise((2, 2, 4, 5, 3)), "view_{v}_{u}.png")
    save_views(tmp_path, noise((2, 2, 4, 5, 3)), "view_{v}_{u}.ppm")
    refuses("view_0_0.png and view_0_0.ppm are the same view", tmp_path)


# Folders in folders


def test_parent_folder_of_plenopticam(tmp_path):
    samples = noise((3, 3, 4, 5, 3))
    save_views(tmp_path, samples, "viewpoints_3px/{v}_{u}.png")
    save_views(tmp_path, noise((1, 4, 4, 5, 3)), "refo_3px/{n}.png")
    save(tmp_path / "thumbnail.png", noise((4, 5, 3)))
    notes = assert_reads(tmp_path, samples)
    assert "5 other files are left out" in notes


def test_depth_maps_beside_folders_of_views(tmp_path):
    samples = noise((2, 3, 4, 5, 3))
    save_views(tmp_path, noise((1, 4, 4, 5, 3)), "depth_{n:02d}.png")
    save_views(tmp_path, samples, "images/{v}_{u}.png")
    assert "4 other files are left out: depth_00.png" in assert_reads(tmp_path, samples)


def test_folders_of_images_beside_the_views_are_said(tmp_path):
    samples = noise((2, 3, 4, 5, 3))
    save_views(tmp_path, samples, "{v}_{u}.png")
    save_views(tmp_path, samples, "depth/{v}_{u}.png")
    (tmp_path / "docs").mkdir()
    assert "another file is left out: depth/" in assert_reads(tmp_path, samples)


def test_larger_folder_in_the_folder_is_named(tmp_path):
    save_views(tmp_path, noise((1, 2, 4, 5, 3)), "photo{n}.png")
    save_views(tmp_path, noise((3, 3, 4, 5, 3)), "lf/{v}_{u}.png")
    refuses("2 images, photo0 to photo1, do not tell .*; .*lf holds 9 images", tmp_path)


def test_folder_without_images_names_what_may_be_meant(tmp_path):
    refuses("there are no images in this folder$", tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    np.save(tmp_path / "a" / "lf.npy", noise((2, 2, 4, 5, 3)))
    refuses("no images in this folder; give a file such as .*lf.npy itself", tmp_path)
    save(tmp_path / "a" / "b" / "0_0.png", noise((4, 5, 3)))
    refuses("give a file such as .*lf.npy itself", tmp_path)  # the nearer one
    (tmp_path / "a" / "lf.npy").unlink()
    refuses(r"no images in this folder; the next ones lie in .*b$", tmp_path)
    save_views(tmp_path / "a", noise((2, 3, 4, 5, 3)), "{v}/{u}.png")
    refuses(r"no images in this folder; the next ones lie in .*a$", tmp_path)  # not in a row of it


# Samples


def test_unlike_views_are_named(tmp_path):
    folder = tmp_path / "lf"
    save_views(folder, noise((2, 2, 4, 5, 3)), "view_{v}_{u}.png")
    for shape, bit_depth, found in [
        ((4, 6, 3), 8, "6 x 4 RGB of 8 bit"),
        ((4, 5, 1), 8, "5 x 4 gray of 8 bit"),
        ((4, 5, 3), 16, "5 x 4 RGB of 16 bit"),
    ]:
        write_view(folder / "view_1_0.png", noise(shape, bit_depth), bit_depth)
        with pytest.raises(LightFieldError, match=f"{found}, but view_0_0.png is 5 x 4 RGB of 8"):
            read_light_field(folder)


@pytest.mark.parametrize(("needed", "expected"), [(8, 8), (10, 10), (14, 14), (15, 16), (16, 16)])
def test_depth_marked_as_16_that_holds_less(tmp_path, needed, expected):
    samples = np.minimum(noise((2, 2, 4, 5, 3), 16), 2**needed - 1).astype(np.uint16)
    save_views(tmp_path, samples, "view_{v}_{u}.png")
    as_read = samples.astype(np.uint8) if expected == 8 else samples
    notes = assert_reads(tmp_path, as_read, expected)
    assert ("add --bit-depth 16" in notes) == (expected < 16)
    assert_reads(tmp_path, samples, 16, bit_depth=16)


def test_large_folders_stay_on_disk(tmp_path, monkeypatch):
    samples = noise((2, 3, 4, 5, 3))
    save_views(tmp_path / "lf", samples, "view_{v}_{u}.png")
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", samples.nbytes - 1)
    light_field = read_light_field(tmp_path / "lf")
    assert isinstance(light_field.samples, stored.FileSamples)
    np.testing.assert_array_equal(light_field.view(1, 2), samples[1, 2])
    np.testing.assert_array_equal(light_field.samples, samples)
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", samples.nbytes)
    assert isinstance(read_light_field(tmp_path / "lf").samples, np.ndarray)
