# SPDX-License-Identifier: MIT
"""The order in which views were counted: found where their content tells, and not elsewhere."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from io_inputs import assert_reads, noise, refuses, render, save, save_views, tile
from PIL import Image

from sanrcodec.io import ORDERS, Selection, find_order, read_light_field
from sanrcodec.io.scan_order import find_line_length

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


def scan(samples, order):
    """Views in the order in which they are counted."""
    lines = (samples if order in ("rows", "serpentine") else samples.swapaxes(0, 1)).copy()
    if order.startswith("serpentine"):
        lines[1::2] = lines[1::2, ::-1].copy()
    return lines.reshape(-1, *lines.shape[2:])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("grid", "disparity"),
    [((3, 5), (-0.4, 0.3)), ((5, 3), (-2.0, 1.5)), ((6, 6), (-1.0, 1.0)), ((4, 7), (0.5, 2.0))],
)
def test_order_of_a_scan_is_found(tmp_path, order, grid, disparity):
    samples = render(grid, (48, 64), seed=3, disparity=disparity)
    counted = scan(samples, order)
    save_views(tmp_path / "lf", counted[None], "{n:04d}.png")
    if grid[0] == grid[1] and order in ("columns", "serpentine-columns"):
        # Lines of one length: the parallax tells rows from columns, and --order does.
        samples, order = samples.swapaxes(0, 1), ORDERS[ORDERS.index(order) - 1]
    notes = assert_reads(tmp_path / "lf", samples, grid=grid)
    assert ("as their content tells; if not so, add --order rows" in notes) == (order != "rows")
    if order == "rows":
        assert "if not so, add --order columns, serpentine or serpentine-columns" in notes
    as_rows = counted.reshape(samples.shape)
    assert "content tells" not in assert_reads(tmp_path / "lf", as_rows, grid=grid, order="rows")
    assert assert_reads(tmp_path / "lf", samples, grid=grid, order=order) == ""


def find_in(samples, order):
    """The order that is found where views counted so are read row by row."""
    return find_order(scan(samples, order).reshape(samples.shape), "rows")


@pytest.mark.parametrize("harm", ["none", "exposure", "noise", "far apart"])
def test_scans_of_few_views(harm):
    """Their order shows in few pairs: many scans are found, and none is taken for another."""
    rng = np.random.default_rng(0)
    found = []
    for grid, seed in itertools.product([(2, 3), (3, 2), (2, 2)], range(6)):
        disparity = (-5.0, 4.0) if harm == "far apart" else (-1.0, 1.0)
        samples = render(grid, (48, 64), seed=seed, disparity=disparity)
        if harm == "exposure":
            samples = (samples * rng.uniform(0.8, 1, (*grid, 1, 1, 1))).astype(np.uint8)
        elif harm == "noise":
            samples = np.clip(samples + rng.normal(0, 5, samples.shape), 0, 255).astype(np.uint8)
        assert find_in(samples, "rows") == "rows"
        for order in ORDERS[1:] if grid != (2, 2) else ["serpentine"]:
            found.append(find_in(samples, order))
            assert found[-1] in (order, "rows")
    n_found = sum(order != "rows" for order in found)
    assert n_found >= len(found) * {"noise": 0.4, "far apart": 0.2}.get(harm, 0.5)


@pytest.mark.parametrize("grid", [(2, 3), (3, 2)])
def test_few_views_of_which_one_is_black_or_two_are_the_same(grid):
    samples = render(grid, (48, 64), seed=3)
    for other in (0 * samples[0, 0], samples[1, 1]):
        spoiled = samples.copy()
        spoiled[0, 0] = other
        assert find_in(spoiled, "serpentine") == "rows"


@pytest.mark.parametrize("order", ORDERS)
def test_order_of_other_scans(tmp_path, order):
    samples = render((3, 5), (48, 64), seed=3)
    np.save(tmp_path / "lf.npy", scan(samples, order))
    notes = assert_reads(tmp_path / "lf.npy", samples, grid=(3, 5), axes="nhwc")
    assert ("content tells" in notes) == (order != "rows")
    first, *others = (Image.fromarray(view) for view in scan(samples, order))
    first.save(tmp_path / "lf.tif", save_all=True, append_images=others)
    notes = assert_reads(tmp_path / "lf.tif", samples, grid=(3, 5))
    assert ("content tells" in notes) == (order != "rows")


def test_names_of_a_serpentine_scan(tmp_path):
    """The second number counts the steps of a gantry, which goes back in every second row."""
    samples = render((3, 4), (24, 32), seed=3)
    steps = scan(samples, "serpentine").reshape(samples.shape)
    save_views(tmp_path / "lf", steps, "row{v}_col{u}.png")
    notes = assert_reads(tmp_path / "lf", samples, order="serpentine")
    assert notes == ""
    steps = scan(samples, "serpentine-columns").reshape(4, 3, *samples.shape[2:])
    save_views(tmp_path / "lf2", steps, "x{v}_{u}.png")
    assert assert_reads(tmp_path / "lf2", samples, order="serpentine-columns") == ""


@pytest.mark.parametrize(
    ("selection", "index"),
    [
        (Selection(views=((1, 6), (1, 6))), np.s_[1:6, 1:6]),
        (Selection(every=(2, 2)), np.s_[::2, ::2]),
        (Selection(views=((1, 2), (None, None))), np.s_[1:2]),
        (Selection(crop=((8, 40), (8, 40))), np.s_[:, :, 8:40, 8:40]),
    ],
)
def test_a_part_of_a_serpentine_scan(tmp_path, selection, index):
    """Views that are not chosen tell the order of the others, if they can be read."""
    samples = render((7, 7), (48, 64), seed=3)
    save_views(tmp_path / "lf", scan(samples, "serpentine")[None], "{n:04d}.png")
    if selection.every == (1, 1) and selection.crop == Selection().crop:
        (tmp_path / "lf" / "0000.png").write_bytes(b"not read")
    notes = assert_reads(tmp_path / "lf", samples[index], grid=(7, 7), selection=selection)
    assert "every second one backwards, as their content tells" in notes


@pytest.mark.parametrize("grid", [(3, 4), (4, 6), (8, 3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_random_orders_are_no_scans(tmp_path, grid, seed):
    views = render(grid, (48, 64), seed=3).reshape(-1, 48, 64, 3)
    views = views[np.random.default_rng(seed).permutation(len(views))]
    save_views(tmp_path / "lf", views[None], "{n:04d}.png")
    notes = assert_reads(tmp_path / "lf", views.reshape(*grid, 48, 64, 3), grid=grid)
    assert "content tells" not in notes


@pytest.mark.parametrize("step", [(1, 4), (4, 1)])
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (2, 6), (4, 4)])
def test_cameras_with_unequal_distances(tmp_path, step, shape):
    """Neighbors along one axis are alike, those along the other less than others in a line."""
    whole = render((17, 21), (48, 64), seed=3, disparity=(-0.5, 0.5))
    samples = whole[:: step[0], :: step[1]][: shape[0], : shape[1]]
    save_views(tmp_path / "lf", samples, "{n:04d}.png")
    shape = samples.shape[:2]
    assert "content tells" not in assert_reads(tmp_path / "lf", samples, grid=shape)


@pytest.mark.parametrize("grid", [(2, 3), (3, 2), (4, 5), (2, 10), (10, 2), (5, 4), (3, 20)])
def test_one_row_is_no_serpentine(tmp_path, grid):
    row = render((1, grid[0] * grid[1]), (48, 64), seed=3, disparity=(-0.4, 0.3))
    save_views(tmp_path / "lf", row, "{n:03d}.png")
    lines = row.reshape(*grid, *row.shape[2:])
    assert "content tells" not in assert_reads(tmp_path / "lf", lines, grid=grid)


def test_views_of_one_pixel_and_black_ones(tmp_path):
    for samples in (noise((4, 4, 1, 1, 1)), np.zeros((4, 4, 5, 6, 3), np.uint8)):
        np.save(tmp_path / "lf.npy", samples.reshape(16, *samples.shape[2:]))
        light_field = read_light_field(
            tmp_path / "lf.npy", grid=(4, 4), axes="nhwc", notes=lambda line: None
        )
        np.testing.assert_array_equal(light_field.samples, samples)


@pytest.mark.parametrize("harm", ["none", "exposure", "dark corners", "noise"])
@pytest.mark.parametrize("grid", [(4, 6), (6, 4), (2, 12), (12, 2), (5, 5)])
def test_lines_of_counted_views_suggest_their_grid(tmp_path, grid, harm):
    samples = render(grid, (48, 64), seed=3, disparity=(-1.0, 0.6))
    rng = np.random.default_rng(0)
    if harm == "exposure":
        samples = (samples * rng.uniform(0.8, 1, (*grid, 1, 1, 1))).astype(np.uint8)
    elif harm == "dark corners":
        samples[0, 0] = samples[0, -1] = samples[-1, 0] = samples[-1, -1] = 3
    elif harm == "noise":
        samples = np.clip(samples + rng.normal(0, 5, samples.shape), 0, 255).astype(np.uint8)
    for order, length in (("rows", grid[1]), ("columns", grid[0])):
        found = find_line_length(scan(samples, order)[None])
        # Steps within lines of two are about as long as jumps; dark ends of the only jump are mute.
        assert found == length or (
            found == 0 and (length == 2 or (harm, min(grid)) == ("dark corners", 2))
        )
    assert find_line_length(scan(samples, "serpentine")[None]) in (0, grid[1])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("disparity", [(-0.4, 0.3), (-2.0, 1.5), (-5.0, 4.0)])
def test_one_row_and_random_orders_have_no_lines(seed, disparity):
    row = render((1, 24), (48, 64), seed=seed, disparity=disparity)
    assert find_line_length(row) == 0
    assert find_line_length(row[:, :12].copy()) == 0
    views = render((4, 5), (48, 64), seed=seed, disparity=disparity).reshape(20, 48, 64, 3)
    views = views[np.random.default_rng(seed).permutation(20)]
    assert find_line_length(views[None]) == 0


def test_grid_that_is_asked_or_doubted_is_suggested(tmp_path):
    samples = render((4, 6), (48, 64), seed=3, disparity=(-1.0, 0.6))
    views = samples.reshape(24, 48, 64, 3)
    save_views(tmp_path / "lf", samples, "{n:03d}.png")
    images = [Image.fromarray(view) for view in views]
    images[0].save(tmp_path / "lf.tif", save_all=True, append_images=images[1:])
    np.save(tmp_path / "lf.npy", views)
    asked = "add --grid VxU, rows of views first such as 4x6, since they seem to come in lines of 6"
    said = "the views seem to come in lines of 6; perhaps --grid 4x6 is meant"
    for name in ("lf", "lf.tif"):
        refuses(asked, tmp_path / name)
        for grid in [(3, 8), (2, 12), (1, 24), (24, 1)]:
            notes = assert_reads(tmp_path / name, views.reshape(*grid, 48, 64, 3), grid=grid)
            assert said in notes
            assert SAID not in notes
        assert "come in lines" not in assert_reads(tmp_path / name, samples, grid=(4, 6))
    wrong = views.reshape(2, 12, 48, 64, 3)
    assert said in assert_reads(tmp_path / "lf.npy", wrong, grid=(2, 12), axes="nhwc")
    # Rows and columns by mistake: the order is found.
    swapped = samples.swapaxes(0, 1)
    assert "come in lines" not in assert_reads(tmp_path / "lf", swapped, grid=(6, 4))


def test_images_that_cannot_be_read_suggest_nothing(tmp_path):
    save_views(tmp_path, render((3, 4), (24, 32), seed=3), "{n:03d}.png")
    refuses("such as 3x4, since", tmp_path)
    (tmp_path / "003.png").write_bytes(b"no image")
    refuses("rows of views first such as 3x4, since", tmp_path)
    (tmp_path / "000.png").write_bytes(b"no image")
    refuses("rows of views first, 1x12 if they are one row$", tmp_path)
