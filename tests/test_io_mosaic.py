# SPDX-License-Identifier: MIT
"""Mosaics and lenslet images: what is read, inferred, refused and written."""

from __future__ import annotations

import numpy as np
import pytest
from io_inputs import SHAPES, assert_reads, interleave, noise, refuses, render, save, tile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sanrcodec.errors import LightFieldError
from sanrcodec.io import Selection, read_light_field, write_mosaic
from sanrcodec.io.mosaic_grid import RepeatedContentError, infer_grid


@pytest.mark.parametrize("bit_depth", [8, 10, 16])
@pytest.mark.parametrize("shape", SHAPES)
def test_mosaic_round_trip(tmp_path, shape, bit_depth):
    samples = noise(shape, bit_depth)
    path = tmp_path / "lf.png"
    write_mosaic(path, samples, shape[:2], bit_depth)
    assert_reads(path, samples, bit_depth)
    by_row = tmp_path / "rows.png"
    write_mosaic(by_row, (row for row in samples), shape[:2], bit_depth)
    assert by_row.read_bytes() == path.read_bytes()


def test_pillow_reads_our_mosaic(tmp_path):
    samples = noise((2, 3, 5, 7, 3))
    write_mosaic(tmp_path / "lf.png", samples, (2, 3))
    with Image.open(tmp_path / "lf.png") as image:
        assert image.info["sanr:grid"] == "2x3"
        np.testing.assert_array_equal(np.asarray(image), tile(samples))


def test_write_mosaic_refuses_contradictions(tmp_path):
    samples = noise((2, 3, 4, 4, 3))
    for grid in [(3, 3), (1, 3), (2, 2)]:
        with pytest.raises(LightFieldError, match="does not fit"):
            write_mosaic(tmp_path / "lf.png", samples, grid)
    with pytest.raises(LightFieldError, match="does not fit"):
        write_mosaic(tmp_path / "lf.png", [samples[0], samples[1, :, :3]], (2, 3))
    with pytest.raises(LightFieldError, match="no views"):
        write_mosaic(tmp_path / "lf.png", [], (2, 3))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lines", [(1, 0), (2, 2), (0, 4)])
def test_lines_that_separate_views_are_said(tmp_path, lines):
    samples = render((3, 4), (48, 64), seed=2)
    (rows, columns), (height, width) = lines, samples.shape[2:4]
    sizes = ((0, 0), (0, 0), (0, rows), (columns, 0), (0, 0))
    framed = np.pad(samples, sizes, constant_values=255)
    save(tmp_path / "lf.png", tile(framed))
    crop = f"--crop 0:{height},{columns}:{columns + width}"
    assert crop in assert_reads(tmp_path / "lf.png", framed, grid=(3, 4))
    kept = Selection(crop=((0, height), (columns, columns + width)))
    assert "--crop" not in assert_reads(tmp_path / "lf.png", samples, grid=(3, 4), selection=kept)
    save(tmp_path / "lf.png", tile(samples))
    assert "--crop" not in assert_reads(tmp_path / "lf.png", samples, grid=(3, 4))
    background = np.pad(samples, ((0, 0), (0, 0), (20, 20), (20, 20), (0, 0)))
    save(tmp_path / "lf.png", tile(background))
    assert "--crop" not in assert_reads(tmp_path / "lf.png", background, grid=(3, 4))


def test_the_grid_of_another_image_in_a_text_chunk(tmp_path):
    write_mosaic(tmp_path / "lf.png", noise((2, 3, 4, 4, 3)), (2, 3))
    with Image.open(tmp_path / "lf.png") as image:
        told = PngInfo()
        told.add_text("sanr:grid", image.info["sanr:grid"])
        image.crop((0, 0, 11, 8)).save(tmp_path / "cut.png", pnginfo=told)
    said = "says 2x3 views, into which 8 rows .* without the chunk"
    refuses(said, tmp_path / "cut.png")


@pytest.mark.parametrize("shape", SHAPES)
def test_lenslet(tmp_path, shape):
    samples = noise(shape)
    pixels = interleave(samples)
    save(tmp_path / "lf.png", pixels)
    assert_reads(tmp_path / "lf.png", samples, grid=shape[:2], layout="lenslet")
    refuses("add --grid VxU", tmp_path / "lf.png", layout="lenslet")


def test_stated_grid_must_agree_with_the_text_chunk(tmp_path):
    samples = noise((2, 4, 3, 3, 3))
    write_mosaic(tmp_path / "lf.png", samples, (2, 4))
    assert_reads(tmp_path / "lf.png", samples, grid=(2, 4))
    for grid in [(1, 1), (4, 2)]:
        refuses(
            "sanr:grid says 2x4 views, which contradicts --grid", tmp_path / "lf.png", grid=grid
        )
        refuses("contradicts", tmp_path / "lf.png", grid=grid, layout="lenslet")


def test_grid_must_divide_the_image(tmp_path):
    save(tmp_path / "lf.png", noise((6, 12, 3)))
    refuses("6 rows and 12 columns.* 5x2 views", tmp_path / "lf.png", grid=(5, 2))
    for grid, message in [((0, 2), r"grid 0x2: V and U run 1\.\.1024"), ((65, 64), "4160 views")]:
        with pytest.raises(LightFieldError, match=message):
            read_light_field(tmp_path / "lf.png", grid=grid)


# Inference


def infer(samples):
    return infer_grid(tile(samples))


@pytest.mark.slow
@pytest.mark.parametrize("grid", [(9, 9), (5, 3), (1, 6), (4, 1), (2, 8), (12, 6)])
@pytest.mark.parametrize("depth_edges", [(-0.8, 1.0), (-1.5, 2.0)])
def test_infers_grid(grid, depth_edges):
    samples = render(grid, (60, 72), seed=3, disparity=depth_edges)
    assert infer(samples) == grid
    assert infer(samples[..., :1].astype(np.uint16) * 257) == grid


def test_infers_one_view():
    assert infer(render((1, 1), (180, 240), seed=1)) == (1, 1)


def test_inferred_grid_is_reported(tmp_path):
    samples = render((3, 5), (64, 64), seed=5)
    save(tmp_path / "lf.png", tile(samples))
    notes = assert_reads(tmp_path / "lf.png", samples)
    assert "looks like 3x5 views; if not so, add --grid" in notes


@pytest.mark.parametrize(
    "pixels", [np.full((96, 96, 3), 90, np.uint8), np.tile(noise((1, 96, 3)), (96, 1, 1))]
)
def test_ambiguous_grid_is_refused(tmp_path, pixels):
    save(tmp_path / "lf.png", pixels)
    refuses("rows.* not clear.*add --grid VxU, for example --grid 9x9", tmp_path / "lf.png")


@pytest.mark.slow
def test_content_that_shows_another_grid_than_stated_is_said(tmp_path):
    samples = render((4, 6), (48, 64), disparity=(-0.8, 1.0))
    save(tmp_path / "lf.png", tile(samples))
    assert assert_reads(tmp_path / "lf.png", samples, grid=(4, 6)) == ""
    whole = tile(samples)
    halves = whole.reshape(2, 96, 6, 64, 3).swapaxes(1, 2)
    notes = assert_reads(tmp_path / "lf.png", halves, grid=(2, 6))
    assert "looks like 4x6 views, but it is read with --grid as stated" in notes
    assert assert_reads(tmp_path / "lf.png", whole[None, None], grid=(1, 1)) == ""


@pytest.mark.parametrize("grid", [(5, 5), (2, 2), (1, 3)])
@pytest.mark.parametrize(
    "lost", ["first row", "last row", "last column", "fifth of a view", "both"]
)
def test_mosaic_of_which_a_part_is_lost_is_asked(tmp_path, grid, lost):
    # Numbers of views that divide what is left are wrong, 1 included.
    whole = tile(render(grid, (72, 88), seed=3))
    cut = {
        "first row": whole[1:],
        "last row": whole[:-1],
        "last column": whole[:, :-1],
        "fifth of a view": whole[:, :-17],
        "both": whole[2:, :-3],
    }[lost]
    save(tmp_path / "lf.png", cut)
    message = {
        "first": "72 of [0-9]+ rows",
        "last": "(72|88) of",
        "fifth": "88 of",
        "both": "88 of",
    }
    if grid[0] == 1 and "row" in lost:
        assert read_light_field(tmp_path / "lf.png").grid == grid
        return
    refuses(f"repeats.* {message[lost.split()[0]]}.*part is lost.*add --grid", tmp_path / "lf.png")
    refuses("divide into 5x5 views.*if it lost a part", tmp_path / "lf.png", grid=(5, 5))
    assert read_light_field(tmp_path / "lf.png", grid=(1, 1)).grid == (1, 1)


@pytest.mark.parametrize("share", [0.25, 0.4, 0.5, 0.75])
@pytest.mark.parametrize("seed", [3, 5])
def test_second_of_two_views_of_which_a_part_is_left(tmp_path, share, seed):
    whole = tile(render((2, 2), (72, 88), seed=seed))
    save(tmp_path / "lf.png", whole[:, : 176 - round(88 * share)])
    refuses("about every 88 of [0-9]+ columns.*part is lost", tmp_path / "lf.png")
    save(tmp_path / "lf.png", whole[: 144 - round(72 * share)])
    refuses("about every 72 of [0-9]+ rows.*part is lost", tmp_path / "lf.png")


def test_grid_that_divides_a_cut_mosaic_is_doubted(tmp_path):
    # Half a view is lost of 8 rows; 8 x 67 pixels are left, and a shift of 5 joins both readings.
    cut = tile(render((8, 3), (72, 88), seed=3))[: 8 * 67]
    save(tmp_path / "lf.png", cut)
    refuses("about every 72 of 536 rows", tmp_path / "lf.png")
    samples = cut.reshape(8, 67, 3, 88, 3).swapaxes(1, 2)
    notes = assert_reads(tmp_path / "lf.png", samples, grid=(8, 3))
    assert "about every 72 of 536 rows of pixels, but it is read with --grid as stated" in notes


def test_views_with_frames_are_asked(tmp_path):
    samples = np.zeros((4, 5, 74, 90, 3), np.uint8)
    samples[:, :, 1:-1, 1:-1] = render((4, 5), (72, 88), seed=3)
    save(tmp_path / "lf.png", tile(samples))
    refuses("views with frames, add --grid 4x5", tmp_path / "lf.png")
    assert_reads(tmp_path / "lf.png", samples, grid=(4, 5))


@pytest.mark.parametrize("n_views", [6, 7, 8, 9, 15])
def test_lenslet_image_is_no_mosaic(tmp_path, n_views):
    save(tmp_path / "lf.png", interleave(render((n_views, n_views), (48, 64), seed=2)))
    grid = f"{n_views}x{n_views}"
    refuses(
        f"lenslet image of {grid} views; add --layout lenslet --grid {grid}", tmp_path / "lf.png"
    )


@pytest.mark.parametrize("corners", ["bright", "dark"])
@pytest.mark.parametrize("n_views", [3, 7, 9, 14])
def test_grid_of_a_lenslet_image_without_its_layout_is_refused(tmp_path, n_views, corners):
    samples = render((n_views, n_views), (48, 64), seed=2, disparity=(-0.4, 0.5))
    if corners == "dark":
        away = np.hypot(*(np.indices((n_views, n_views)) - (n_views - 1) / 2)) / (n_views / 2)
        samples[away > 1.02] = 0
    grid = (n_views, n_views)
    path = tmp_path / "lf.png"
    save(path, interleave(samples))
    refuses("looks like a lenslet image; add --layout lenslet, or", path, grid=grid)
    assert_reads(path, samples, grid=grid, layout="lenslet")
    assert read_light_field(path, grid=grid, layout="mosaic").grid == grid
    save(path, tile(samples))
    assert_reads(path, samples, grid=grid)


@pytest.mark.parametrize("pitch", [9.6, 12.0, 14.3])
def test_raw_lenslet_image_names_what_decodes_it(tmp_path, pitch):
    picture = render((1, 1), (320, 400), seed=2)[0, 0]
    y, x = np.mgrid[:320, :400].astype(float)
    row = np.rint(y / (pitch * 0.866))  # hexagonal: every other row is shifted by half a lens
    shift = row % 2 / 2
    column = np.rint(x / pitch - shift) + shift
    radius = np.hypot(x - column * pitch, y - row * pitch * 0.866) / (pitch / 2)
    lenses = picture * (1 - 0.8 * np.minimum(radius, 1) ** 4)[..., None]
    save(tmp_path / "lf.png", lenses.astype(np.uint8))
    refuses("looks like a lenslet image.* decode it to views first, with LFT", tmp_path / "lf.png")
    assert_reads(tmp_path / "lf.png", lenses.astype(np.uint8)[None, None], grid=(1, 1))


def test_small_views_with_a_period_like_that_of_lenses_are_asked(tmp_path):
    samples = render((15, 15), (24, 32), seed=0, disparity=(-0.3, 0.2))
    save(tmp_path / "lf.png", tile(samples))
    refuses("If it is a mosaic of small views, add --grid VxU", tmp_path / "lf.png")
    assert_reads(tmp_path / "lf.png", samples, grid=(15, 15))


def test_mosaic_with_visible_blocks_of_jpeg_is_no_lenslet_image(tmp_path):
    samples = render((5, 5), (72, 96), seed=3)
    save(tmp_path / "lf.jpg", tile(samples), quality=30)
    assert read_light_field(tmp_path / "lf.jpg").grid == (5, 5)


def repeated(n_views, size, fine, noise_level, seed=0):
    """Views that are copies of a rough picture with fine texture, which repeats at one lag only."""
    height, width = size
    rng = np.random.default_rng(seed)
    rough = np.kron(rng.random((height // 32 + 2, width // 32 + 2)), np.ones((32, 32)))
    picture = rough[5 : height + 5, 5 : width + 5] + fine * rng.random((height, width))
    picture = np.pad(picture, 1, mode="reflect")  # a view is blurred on its own
    picture = (picture[:-2] + picture[1:-1] + picture[2:]) / 3
    picture = (picture[:, :-2] + picture[:, 1:-1] + picture[:, 2:]) / 3
    picture = (picture - picture.min()) / np.ptp(picture)
    views = np.tile(picture, (n_views, n_views))
    views = views + noise_level * rng.standard_normal(views.shape)
    return np.clip(np.rint(views * 255), 0, 255).astype(np.uint8)[..., None]


@pytest.mark.parametrize("size", [(290, 311), (302, 295)])
@pytest.mark.parametrize(("fine", "noise_level"), [(8, 0.0), (6, 0.03), (4, 0.05)])
def test_fine_texture_repeats_at_one_lag_only(size, fine, noise_level):
    # Lags that were tried only in steps missed the one of unshifted views: 4 x 4 became 2 x 2.
    assert infer_grid(repeated(4, size, fine, noise_level)) == (4, 4)


@pytest.mark.parametrize("background", [0, 90])
def test_objects_before_a_plain_background(background):
    samples = np.full((5, 5, 66, 84, 3), background, np.uint8)
    for v, u in np.ndindex(5, 5):  # no border is sharp
        samples[v, u, 20 + v : 40 + v, 30 - u : 50 - u] = render((1, 1), (20, 20), seed=4)[0, 0]
    assert infer_grid(tile(samples)) == (5, 5)


def test_more_views_than_pixels_are_asked_for(tmp_path):
    samples = render((1, 24), (64, 16), seed=3)
    save(tmp_path / "lf.png", tile(samples))
    refuses("add --grid VxU", tmp_path / "lf.png")
    assert_reads(tmp_path / "lf.png", samples, grid=(1, 24))


@pytest.mark.parametrize("period", [10, 88])
def test_short_periods_may_be_macro_pixels(period):
    message = str(RepeatedContentError((750, 1000), (0, period), (5, None)))
    assert ("--layout lenslet" in message) == (period == 10)


@pytest.mark.parametrize("grid", [(2, 2), (1, 2), (4, 3)])
def test_one_picture_that_is_given_as_a_grid_is_said(tmp_path, grid):
    picture = render((1, 1), (144, 192), seed=1)[0, 0]
    save(tmp_path / "lf.png", picture)
    height, width = 144 // grid[0], 192 // grid[1]
    samples = picture.reshape(grid[0], height, grid[1], width, 3).swapaxes(1, 2)
    notes = assert_reads(tmp_path / "lf.png", samples, grid=grid)
    assert "the content looks like one view, but it is read with --grid as stated" in notes
    assert assert_reads(tmp_path / "lf.png", picture[None, None], grid=(1, 1)) == ""
