# SPDX-License-Identifier: MIT
"""Folders and files as newcomers may have them: read, or refused by a line that helps."""

from __future__ import annotations

import os

import numpy as np
import pytest
from io_inputs import assert_reads, noise, refuses, render, save_views
from PIL import Image

from sanrcodec.io import folder as folder_module
from sanrcodec.io import read_light_field, write_view

SAMPLES = noise((3, 3, 4, 5, 3))


@pytest.mark.parametrize(
    "name",
    [
        "view {v} {u}.png",
        "View ({v}, {u}).JPG.png",
        "ansicht_\u00e9\u5149_{v}_{u}.png",
        "x\u00b2_{v}_{u}.png",
        "20240101_1200{n:02d}_{v}_{u}.png",
        "view_{v:03d}_{u}.pnm",
        "99999999999999999999999_{v}_{u}.png",
    ],
)
def test_names(tmp_path, name):
    folder = tmp_path / "a folder \u00fc"
    folder.mkdir()
    for number, (v, u) in enumerate(np.ndindex(3, 3)):
        ending = ".ppm" if name.endswith("pnm") else ".png"
        write_view(folder / f"x{ending}", SAMPLES[v, u], 8)
        (folder / f"x{ending}").rename(folder / name.format(v=v, u=u, n=number))
    assert_reads(folder, SAMPLES)


def test_what_systems_leave_in_folders(tmp_path):
    save_views(tmp_path / "lf", SAMPLES, "v{v}u{u}.png")
    for name in (".DS_Store", "desktop.ini", "._v0u0.png"):
        (tmp_path / "lf" / name).write_text("x")
    for name in ("__MACOSX", ".git", "empty"):
        (tmp_path / "lf" / name).mkdir()
    assert "2 other files are left out: ._v0u0.png, desktop.ini" in assert_reads(
        tmp_path / "lf", SAMPLES
    )
    (tmp_path / "__MACOSX" / "lf").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "lf" / "._v0u0.png").write_text("x")
    assert_reads(tmp_path, SAMPLES)


def test_other_files_are_named_with_their_folder(tmp_path):
    save_views(tmp_path, SAMPLES, "images/{v}_{u}.png")
    save_views(tmp_path, noise((1, 2, 4, 5, 1)), "depth/{v}_{u}.png")
    assert "left out: depth/0_0.png, depth/0_1.png" in assert_reads(tmp_path, SAMPLES)


def test_links(tmp_path):
    save_views(tmp_path / "source", SAMPLES, "view_{v}_{u}.png")
    folder = tmp_path / "links"
    folder.mkdir()
    for file in (tmp_path / "source").iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "loop").symlink_to(".")
    assert_reads(folder, SAMPLES)
    (tmp_path / "link").symlink_to("links")
    assert_reads(tmp_path / "link", SAMPLES)
    (folder / "view_1_1.png").unlink()
    (folder / "view_1_1.png").symlink_to("nowhere")
    with pytest.raises(folder_module.LightFieldError, match=r"view_1_1\.png: a link to nothing"):
        assert_reads(folder, SAMPLES)


def test_search_of_a_large_tree_ends(tmp_path, monkeypatch):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "a" / "self").symlink_to("..")
    Image.new("L", (3, 3)).save(deep / "x.png")
    refuses("the next ones lie in .*b", tmp_path)
    monkeypatch.setattr(folder_module, "_MOST_LOOKED_AT", 2)
    refuses("no images in this folder$", tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipe_among_the_views(tmp_path):
    save_views(tmp_path, SAMPLES[:2, :2], "view_{v}_{u}.png")
    (tmp_path / "view_1_1.png").unlink()
    os.mkfifo(tmp_path / "view_1_1.png")
    with pytest.raises(folder_module.LightFieldError, match="a device or a pipe"):
        assert_reads(tmp_path, SAMPLES)


@pytest.mark.parametrize("other", ["VIEW_0_0.png", "view_00_00.png"])
def test_two_files_for_one_view(tmp_path, other):
    save_views(tmp_path, SAMPLES, "view_{v}_{u}.png")
    write_view(tmp_path / other, SAMPLES[0, 0], 8)
    refuses("(?i)view_0+_0+ and view_0+_0+ are the same view", tmp_path)


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        ("{w}_r{v}_c{u}.png", [(w, v, u) for w in (0, 1) for v in (0, 1) for u in (0, 1)],
         "3 numbers in their names vary"),
        ("view_{v}_{u}.png", [(0, v, u) for v in range(5) for u in range(5) if 2 in (v, u)],
         "as row and column, the numbers in their names leave holes"),
        ("input_Cam{n:03d}.png", [(0, v, 4) for v in range(5)], "in steps of 9"),
        ("photo.png", [(0, 0, 0)], "one image, photo, .* add --grid 1x1"),
        ("{l}.png", [(0, 0, u) for u in range(4)],
         "4 images, a to d, .* taken in order of names"),
        ("{l}{u}.png", [(0, v, u) for v in range(2) for u in range(3)],
         "a0, ... and b0, ... are 3 images each; .* if all are, add --grid VxU"),
    ],
)  # fmt: skip
def test_the_question_is_precise(tmp_path, name, wanted, message):
    views = noise((len(wanted), 4, 5, 3))
    for view, (w, v, u) in zip(views, wanted, strict=True):
        letter = "abcde"[v if "{u}" in name else u]
        write_view(tmp_path / name.format(w=w, v=v, u=u, n=9 * v + u, l=letter), view, 8)
    refuses(message, tmp_path)
    grid = (1, len(wanted))
    notes = assert_reads(tmp_path, views[None], grid=grid)
    assert "--order" not in notes  # of a single row nothing is doubtful


@pytest.mark.parametrize("grid", [(1, 5), (5, 1), (1, 1)])
def test_words_name_row_and_column(tmp_path, grid):
    samples = noise((*grid, 4, 5, 3))
    save_views(tmp_path, samples, "lf_r{v}_c{u}.png")
    assert_reads(tmp_path, samples)


FOREIGN = {
    "lf.zip": (b"PK\x03\x04", "an archive; unpack it first"),
    "lf.tar.gz": (b"\x1f\x8b", "an archive"),
    "lf.mp4": (b"\0\0\0\x18ftypisom", "a video; write its frames .* ffmpeg -i VIDEO"),
    "lf.sanr": (b"\x8bSANR\r\n\x1a\n", "encoded already; decode it with sanr decode"),
    "lf.exr": (b"\x76\x2f\x31\x01", "floating-point samples; convert it"),
    "lf.pfm": (b"Pf\n3 3\n", "floating-point samples"),
    "lf.heic": (b"\0\0\0\x18ftypheic", "a format that is not read; convert it to PNG or PPM"),
    "lf.lfr": (b"\x89LFP\r\n\x1a\n", "a raw capture"),
    "lf.ktx": (b"\xabKTX 11\xbb", "a format that is not read"),
    "lf.dds": (b"DDS ", "a format that is not read"),
    "lf.jxl": (b"\xff\x0a", "a format that is not read"),
}
# By their names alone, whatever their first bytes.
FOREIGN_BY_NAME = {
    "lf.pt": "Python objects.* numpy.save",
    "lf.pkl": "Python objects",
    "lf.yuv": "a video without a header.* ffmpeg -s WIDTHxHEIGHT",
    "lf.czi": "a file of a microscope; export",
    "lf.blend": "a three-dimensional scene; render",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_that_are_no_light_field_yet(tmp_path, name):
    start, message = FOREIGN[name]
    folder = tmp_path / "lf"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}_{name}").write_bytes(start + bytes(100))
    refuses(f"0_{name}: this is .*{message}", folder / f"0_{name}")
    refuses(f"no images in this folder, but 0_{name} is .*{message}", folder)
    if name != "lf.tar.gz":
        (folder / "x.png").write_bytes(start + bytes(100))
        refuses(message, folder / "x.png")  # by its first bytes


@pytest.mark.parametrize("name", FOREIGN_BY_NAME)
def test_files_that_their_ending_tells(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04" + bytes(100))
    refuses(f"{name}: this is .*{FOREIGN_BY_NAME[name]}", tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS.* git lfs pull"),
        (b"<!DOCTYPE html><html>404", "a page of the web"),
        (b"something else", "no image that pillow can read; convert it"),
    ],
)
def test_what_lies_in_place_of_a_view(tmp_path, content, message):
    save_views(tmp_path / "lf", noise((2, 3, 4, 5, 3)), "view_{v}_{u}.png")
    for name in ("view_0_0.png", "view_1_2.png"):
        good = (tmp_path / "lf" / name).read_bytes()
        (tmp_path / "lf" / name).write_bytes(content)
        refuses(f"{name}.*{message}", tmp_path / "lf")
        (tmp_path / "lf" / name).write_bytes(good)
    (tmp_path / "lf" / "index.html").write_bytes(content)
    assert read_light_field(tmp_path / "lf").grid == (2, 3)


def test_array_beside_a_picture(tmp_path):
    save_views(tmp_path / "lf", noise((1, 1, 4, 5, 3)), "Bikes__Thumb.png")
    (tmp_path / "lf" / "Bikes.mat").write_bytes(b"MATLAB 5.0")
    refuses("Bikes.mat may be the light field: give it instead of the folder", tmp_path / "lf")


@pytest.mark.parametrize("motion", [0, 2])
def test_moments_that_look_like_rows(tmp_path, motion):
    """Technicolor's FRAME_CAMERA, say: three moments of a row of cameras."""
    row = render((1, 6), (48, 64), seed=3, disparity=(-1.0, 1.0))
    samples = np.repeat(row, 3, 0)
    for t in range(3):
        samples[t, :, 20:24, 20 + motion * t : 24 + motion * t] = 255  # something that moves
    said = "are nearly alike; if"
    for name, moments in (("a_{v:05d}_{u:02d}.png", "rows"), ("a_{u:02d}_{v:05d}.png", "columns")):
        folder = tmp_path / moments
        save_views(folder, samples, name)
        views = samples if moments == "rows" else samples.swapaxes(0, 1)
        assert f"{said} {moments} are moments" in assert_reads(folder, views)
    grid = render((3, 6), (48, 64), seed=3, disparity=(-1.0, 1.0))
    save_views(tmp_path / "grid", grid, "a_{v:05d}_{u:02d}.png")
    assert said not in assert_reads(tmp_path / "grid", grid)


def test_images_without_an_ending_are_named(tmp_path):
    for n in range(3):
        write_view(tmp_path / f"{n}.png", SAMPLES[0, n], 8)
        (tmp_path / f"{n}.png").rename(tmp_path / f"view{n}")
    refuses("files such as view0 have no ending of an image that is read .*png", tmp_path)


@pytest.mark.parametrize("suffix", ["jfif", "dib", "apng"])
def test_rare_endings(tmp_path, suffix):
    for n in range(3):
        image = Image.fromarray(np.full((4, 5, 3), 80 * n, np.uint8))
        image.save(tmp_path / f"view_0_{n}.{suffix}", format="BMP" if suffix == "dib" else None)
    samples = np.asarray(read_light_field(tmp_path).samples)
    assert [int(view.max()) for view in samples[0]] == [0, 80, 160]


def test_empty_files(tmp_path):
    (tmp_path / "lf.png").touch()
    refuses("lf.png: the file is empty", tmp_path / "lf.png")


def test_more_views_than_the_limit(tmp_path):
    write_view(tmp_path / "view_0_0.png", SAMPLES[0, 0], 8)
    for n in range(1, 65 * 64):
        (tmp_path / f"view_{n // 64}_{n % 64}.png").hardlink_to(tmp_path / "view_0_0.png")
    refuses("grid 65x64 has 4160 views, limit is 4096", tmp_path)


def test_folder_that_is_named_as_an_image(tmp_path):
    (tmp_path / "lf" / "view_0_0.png").mkdir(parents=True)
    refuses("there are no images in this folder$", tmp_path / "lf")


@pytest.mark.parametrize(
    ("last", "first", "name"),
    [(9999, 1, "IMG_{n:04d}"), (9999, 0, "DSC{n:05d}"), (999, 1, "P{n}"), (99999, 1, "{n}")],
)
@pytest.mark.parametrize("n_before", [1, 4, 8])
def test_cameras_whose_counter_begins_again(tmp_path, last, first, name, n_before):
    """The views after IMG_9999 are IMG_0001 and so on, not those before it."""
    numbers = [last + 1 + n if n < 0 else first + n for n in range(-n_before, 9 - n_before)]
    for number, view in zip(numbers, SAMPLES.reshape(9, 4, 5, 3), strict=True):
        write_view(tmp_path / f"{name.format(n=number)}.png", view, 8)
    begin, end = (name.format(n=n) for n in (last, first))
    said = f", the counter went on from {begin} to {end}"
    assert said in assert_reads(tmp_path, SAMPLES, grid=(3, 3), order="rows")
    assert f"{said}, row by row" in assert_reads(tmp_path, SAMPLES, grid=(3, 3))
    refuses(f"9 images, {name.format(n=numbers[0])} to .*, do not tell their grid", tmp_path)


@pytest.mark.parametrize("numbers", [(2, 3, 9998, 9999), (1, 2, 9997, 9998), (1, 3, 9998, 9999)])
def test_other_gaps_are_no_counter_that_begins_again(tmp_path, numbers):
    samples = SAMPLES[:1].repeat(2, 1)[:, :4]
    for number, view in zip(numbers, samples.reshape(4, 4, 5, 3), strict=True):
        write_view(tmp_path / f"IMG_{number:04d}.png", view, 8)
    assert "gaps in their numbers" in assert_reads(tmp_path, samples, grid=(1, 4))


def test_image_without_number_is_counted_where_the_grid_is_asked(tmp_path):
    save_views(tmp_path, SAMPLES, "image ({n}).png")
    (tmp_path / "image (0).png").rename(tmp_path / "image.png")
    write_view(tmp_path / "other.png", SAMPLES[0, 0], 8)
    refuses(r"9 images, image to image \(8\), do not tell their grid; .* such as 3x3", tmp_path)
    assert "another file is left out: other.png" in assert_reads(tmp_path, SAMPLES, grid=(3, 3))


def test_folders_of_one_scene_in_several_sizes(tmp_path):
    for scale in (4, 8):
        views = noise((1, 6, 32 // scale, 40 // scale, 3))
        save_views(tmp_path / f"images_{scale}", views, "IMG_{n:04d}.png")
    refuses(
        "5 x 4 RGB of 8 bit, but images_4/IMG_0000.png is 10 x 8 .*, or give .*images_8 if it is a "
        "light field of its own",
        tmp_path,
    )


@pytest.mark.parametrize("name", ["cam{serial}_{n:02d}.png", "{n}-sn{serial}.png"])
def test_views_are_ordered_by_the_number_that_counts(tmp_path, name):
    """Not by serial numbers of cameras, which stand before it."""
    serials = np.random.default_rng(0).permutation(90000)[:9] + 10000
    for number, (serial, view) in enumerate(zip(serials, SAMPLES.reshape(9, 4, 5, 3), strict=True)):
        write_view(tmp_path / name.format(serial=serial, n=number), view, 8)
    notes = assert_reads(tmp_path, SAMPLES, grid=(3, 3))
    assert ("in the order of number 2 in their names, row by row" in notes) == (name[0] == "c")
    refuses("do not tell their grid; add --grid VxU, .* such as 3x3, or 1x9 if .* row$", tmp_path)


def test_no_number_counts(tmp_path):
    """Times and numbers with gaps: the order of names, and it is not said to be another."""
    for k, view in enumerate(SAMPLES.reshape(9, 4, 5, 3)):
        write_view(tmp_path / f"{100 + 7 * k}_{3 * k + k % 2}.png", view, 8)
    assert "in the order of" not in assert_reads(tmp_path, SAMPLES, grid=(3, 3))
    refuses("or look for missing views", tmp_path)
