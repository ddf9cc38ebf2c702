# SPDX-License-Identifier: MIT
"""``sanr inspect``: what it prints, what it draws, and what it does without PyTorch."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_ok, assert_refused, sanr
from io_inputs import noise, render, save_views

from sanrcodec.io import contact_sheet, reduce_light_field, write_mosaic
from sanrcodec.io.image import read_image
from sanrcodec.lightfield import LightField


@pytest.fixture
def views(tmp_path: Path) -> Path:
    samples = render((3, 4), (64, 96), seed=3, disparity=(-1.0, 1.5))
    save_views(tmp_path / "lf", samples, "{u:03d}_{v:03d}.png")
    return tmp_path / "lf"


@pytest.mark.slow
def test_prints_and_draws(tmp_path: Path, views: Path) -> None:
    pytest.importorskip("torch")
    lines = assert_ok(sanr("inspect", views, "-o", tmp_path / "pictures")).splitlines()
    assert lines[0].startswith(f"{views}: names JPEG Pleno CCC_RRR: columns first; if the row")
    assert lines[1] == (
        f"{views}: folder of views, names JPEG Pleno CCC_RRR: "
        "3 x 4 views (V x U) of 96 x 64 pixels, RGB, 8 bit"
    )
    assert "(nearest) to" in lines[3]
    assert "camera moves" in lines[3]
    sheet = read_image(tmp_path / "pictures" / "lf_views.png").samples
    assert sheet.shape == (3 * 64 + 4, 4 * 96 + 6, 3)
    disparity = read_image(tmp_path / "pictures" / "lf_disparity.png").samples
    assert disparity.shape == (64, 96, 1)
    assert np.ptp(disparity) > 100


@pytest.mark.slow
@pytest.mark.parametrize("flip", [np.s_[:, :], np.s_[::-1, :], np.s_[:, ::-1], np.s_[::-1, ::-1]])
def test_direction_of_the_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flip: tuple[slice, slice]
) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    # The nearest content has the highest disparity here: it moves down and right. In whatever order
    # the views are, it is told as nearest, with the sign of `sanr disparity`.
    samples = render((5, 5), (96, 128), seed=3, disparity=(-1.0, 1.5))
    np.save("lf.npy", samples[flip])
    printed = assert_ok(sanr("inspect", "lf.npy"))
    vertical, horizontal = ("up" if axis.step is None else "down" for axis in flip)
    horizontal = {"up": "left", "down": "right"}[horizontal]
    assert f"the camera moves {vertical} and {horizontal} as v and u grow" in printed
    assert "exchanged" not in printed
    told = re.search(r"parallax: (.+) \(nearest\) to (.+) pixels per view", printed)
    assert told
    assert [float(end) for end in told.groups()] == pytest.approx([1.5, -1.0], abs=0.15)
    np.save("swapped.npy", samples[flip].swapaxes(0, 1))
    printed = assert_ok(sanr("inspect", "swapped.npy"))
    assert f"the camera moves {horizontal} and {vertical} as v and u grow" in printed
    assert "rows and columns are exchanged, which the fit allows for" in printed


@pytest.mark.slow
def test_large_views_are_reduced_for_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    np.save("lf.npy", render((3, 3), (400, 700), seed=3, disparity=(-6.0, 9.0)))
    line = assert_ok(sanr("inspect", "lf.npy")).splitlines()[2]
    near, far = (float(number) for number in re.findall(r"[-+]\d+\.\d+", line))
    assert "the camera moves up and left" in line
    # In pixels of the views as they are: content lies in all of the range, or nearly.
    assert 5 < near <= 10
    assert -7 <= far < -3
    assert read_image(tmp_path / "lf_disparity.png").samples.shape == (400 // 3, 700 // 3, 1)


def test_black_and_dark_views_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    samples = render((1, 1), (24, 32), seed=3).repeat(4, 0).repeat(4, 1)
    samples[0, 1] = samples[3, 3] = 0
    samples[3, 0] //= 3
    np.save("lf.npy", samples)
    printed = assert_ok(sanr("inspect", "lf.npy"))
    assert (
        "exposure: of 16 views, 2 are black and 1 is less than half as bright as the others, the "
        "first at 0,1; --views leaves"
    ) in printed
    printed = assert_ok(sanr("inspect", "lf.npy", "--views", "0:3,:", "--force"))
    assert "exposure: of 12 views, 1 is black, the first at 0,1; --views leaves" in printed
    assert "exposure" not in assert_ok(sanr("inspect", "lf.npy", "--views", "1:3,:", "--force"))
    np.save("lf.npy", np.zeros_like(samples))
    printed = assert_ok(sanr("inspect", "lf.npy", "--force"))
    assert "exposure: all views are black\n" in printed
    assert "too little to tell how the camera moves" in printed


@pytest.mark.slow
@pytest.mark.parametrize("size", [(48, 64), (120, 400)])
def test_pixels_that_an_aperture_hides_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    """Single ones, also where views are reduced for the sweep."""
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    samples = np.maximum(render((5, 5), size, seed=2, disparity=(-0.8, 0.6)), 30)
    np.save("lf.npy", samples)
    assert "black pixels" not in assert_ok(sanr("inspect", "lf.npy"))
    samples[0, 1, ::8, ::8] = 0
    samples[4, 3, 3::8, 3::16] = 0
    np.save("lf.npy", samples)
    printed = assert_ok(sanr("inspect", "lf.npy", "--force"))
    n_dead = size[0] * size[1] * 3 // 128
    assert (
        f"{n_dead} black pixels in 2 views are lit in the views around, most in view 0,1 (1.6"
        in (printed)
    )


@pytest.mark.slow
def test_views_that_are_all_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    samples = render((1, 1), (64, 96), seed=3)
    np.save("lf.npy", np.tile(samples, (3, 3, 1, 1, 1)))
    assert "too little to tell how the camera moves" in assert_ok(sanr("inspect", "lf.npy"))


def test_single_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    np.save("lf.npy", noise((1, 1, 16, 16, 1), 10))
    assert "parallax: not looked for" in assert_ok(sanr("inspect", "lf.npy"))
    assert (tmp_path / "lf_views.png").is_file()
    assert not (tmp_path / "lf_disparity.png").exists()


def test_without_torch(views: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.startswith("sanrcodec.encoder")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    done = sanr("inspect", views, "-o", tmp_path)
    assert "3 x 4 views" in assert_ok(done)
    assert "no disparity is drawn: encoding needs PyTorch: pip install torch" in done.stderr
    assert (tmp_path / "lf_views.png").is_file()


def test_pictures_are_not_overwritten(tmp_path: Path, views: Path) -> None:
    (tmp_path / "lf_views.png").write_bytes(b"mine")
    assert_refused(sanr("inspect", views, "-o", tmp_path), 2, "add --force")
    assert (tmp_path / "lf_views.png").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--views", "3:12"], "expected rows and columns such as"),
        (["--every", "0"], "expected such as 2 or 2,3"),
        (["--crop", "1,2"], "expected rows and columns such as"),
        (["--order", "diagonal"], "'rows', 'columns'"),
        (["--layout", "npy"], "'array'"),
    ],
)
def test_wrong_usage(views: Path, options: list[str], text: str) -> None:
    assert_refused(sanr("inspect", views, *options), 2, text)


def test_bad_data(tmp_path: Path, views: Path) -> None:
    assert_refused(sanr("inspect", views, "--views", "0:9,0:9"), 1, "--views: rows 0:9 are not")
    assert_refused(sanr("inspect", views, "--grid", "4x3"), 1, "contradicts --grid 4x3")
    assert_refused(sanr("inspect", views, "--axes", "vuhwc"), 1, "--axes says nothing about")
    assert_refused(sanr("inspect", tmp_path / "none"), 1, "no such file")


def test_contact_sheet_is_small_and_shows_the_outermost_views() -> None:
    samples = np.zeros((1, 101, 300, 200, 1), np.uint16)
    samples[0, :, :, :, 0] = np.arange(101)[:, None, None] * 10
    sheet = contact_sheet(LightField(samples, 10), side=512)
    assert max(sheet.shape) <= 512 + 2 * 17
    assert sheet.dtype == np.uint8
    assert (sheet[0, 0, 0], sheet[-1, -1, 0]) == (0, 250)
    tiny = contact_sheet(LightField(noise((20, 2, 1, 1, 3))))
    assert tiny.shape == (17 * 3 - 2, 2 * 3 - 2, 3)


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize(("size", "factor"), [((7, 9), 2), ((33, 50), 16), ((640, 300), 300)])
def test_reduced_views_are_means_of_blocks(
    size: tuple[int, int], factor: int, bit_depth: int
) -> None:
    samples = noise((1, 2, *size, 3), bit_depth)
    samples[0, 1] = 2**bit_depth - 1  # sums do not overflow
    reduced = reduce_light_field(LightField(samples, bit_depth), factor)
    rows, columns = (n // factor for n in size)
    assert reduced.shape == (1, 2, rows, columns, 3)
    for u, (y, x) in itertools.product(range(2), np.ndindex(rows, columns)):
        block = samples[0, u, y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
        expected = np.rint(block.reshape(-1, 3).mean(0))
        np.testing.assert_array_equal(reduced.view(0, u)[y, x], expected)


def test_views_that_the_sheet_does_not_show_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("lf.npy", noise((2, 101, 24, 16, 1)))
    printed = sanr("inspect", "lf.npy").stdout
    assert "lf_views.png: contact sheet of 2 x 17 of 2 x 101 views, evenly spread" in printed


def test_mosaic_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_mosaic(tmp_path / "lf.png", noise((2, 3, 24, 24, 3)), (2, 3))
    printed = assert_ok(sanr("inspect", "lf.png", "--every", "1,2"))
    assert "mosaic, from the top left: 2 x 2 views" in printed


def test_order_that_the_views_contradict_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    samples = render((5, 5), (48, 64), seed=3)
    scan = samples.copy()
    scan[1::2] = samples[1::2, ::-1]
    np.save("scan.npy", scan)
    said = "order: neighbors match better if the views go on"
    assert f"{said} row by row, every second one backwards" in assert_ok(
        sanr("inspect", "scan.npy")
    )
    scan = samples.copy()
    scan[:, 1::2] = samples[::-1, 1::2]
    np.save("scan.npy", scan)
    assert f"{said} column by column, every" in assert_ok(sanr("inspect", "scan.npy", "--force"))
    np.save("lf.npy", samples)
    assert "order:" not in assert_ok(sanr("inspect", "lf.npy"))
    samples[2, 3] = samples[2, 3, ::-1, ::-1]
    np.save("lf.npy", samples)
    said = "order: at view 2,3 neighbors are less alike than views farther apart; look whether"
    assert said in assert_ok(sanr("inspect", "lf.npy", "--force"))
    samples[2, 3] = samples[2, 2]
    np.save("lf.npy", samples)
    said = "order: view 2,3 is the same image as view 2,2"
    assert said in assert_ok(sanr("inspect", "lf.npy", "--force"))
