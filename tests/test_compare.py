# SPDX-License-Identifier: MIT
"""`sanr compare`: values by hand and by definitions written out a second time."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, assert_ok, assert_refused, sanr
from PIL import Image
from planes import plane_file

import sanrcodec
from sanrcodec.compare import BLOCK_SIZE, compare_views, heat_map
from sanrcodec.errors import LightFieldError
from sanrcodec.io import write_mosaic
from sanrcodec.metrics import light_field_psnr_yuv, psnr_yuv, ssim

PAGE = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
GRID = 3, 5


def pair(
    size: tuple[int, int] = (40, 56), channels: int = 3, dtype: type = np.uint8
) -> tuple[np.ndarray, np.ndarray]:
    """Views ``[V * U, H, W, C]`` and the same with noise."""
    rng = np.random.default_rng(5)
    original = rng.integers(20, 230, (15, *size, channels))
    return original.astype(dtype), (original + rng.integers(-6, 7, original.shape)).astype(dtype)


@pytest.mark.parametrize("channels", [1, 3])
def test_figures_are_those_of_their_definitions(channels: int) -> None:
    original, decoded = pair(channels=channels)
    found = compare_views(original, decoded, GRID)
    expected = light_field_psnr_yuv(original, decoded)
    assert (found.psnr_yuv, found.psnr_yuv_min) == pytest.approx(expected)
    error = original.astype(float) - decoded
    assert found.psnr_rgb == pytest.approx(10 * np.log10(255**2 / np.mean(error**2)))
    luma = error @ [0.2126, 0.7152, 0.0722] if channels == 3 else error[..., 0]
    levels = 10 * np.log10(255**2 / np.mean(luma**2, axis=(1, 2)))
    assert found.psnr_y == pytest.approx(levels.mean())
    values = [ssim(a, b) for a, b in zip(original, decoded, strict=True)]
    assert found.ssim == pytest.approx(np.mean(values))
    assert found.views.shape == GRID
    assert found.views[found.worst_view] == found.views.min()


def test_each_block_is_measured_alone() -> None:
    original, decoded = pair()
    found = compare_views(original, decoded, GRID)
    assert found.blocks.shape == (*GRID, 3, 4)
    for row, y in enumerate((0, 16, 24)):  # the last ones are moved to lie inside
        for column, x in enumerate((0, 16, 32, 40)):
            part = np.s_[y : y + BLOCK_SIZE, x : x + BLOCK_SIZE]
            expected = psnr_yuv(original[7][part], decoded[7][part])
            assert found.blocks[1, 2, row, column] == pytest.approx(expected)


def test_the_worst_block_is_below_its_own_view() -> None:
    original, decoded = pair()
    decoded[0] = np.where(original[0] < 128, original[0] + 40, original[0] - 40)  # bad all over
    decoded[8, 24:40, 16:32] ^= 64  # bad in one place
    found = compare_views(original, decoded, GRID)
    assert found.worst_view == (0, 0)
    block = found.worst_block
    assert (block.view, block.y, block.x) == ((1, 3), 24, 16)
    assert block.psnr_yuv == found.blocks[1, 3, 2, 1]
    assert block.below_db == pytest.approx(found.views[1, 3] - block.psnr_yuv)
    drawn, best, worst = heat_map(found)
    assert (best, worst) == (np.quantile(found.blocks, 0.9), found.blocks.min())
    assert (drawn == 255).all(-1).any()
    assert (drawn == 0).all(-1).any()


def test_exact_blocks_leave_the_colors_to_the_others() -> None:
    blocks = np.linspace(30, 40, 200).reshape(2, 2, 10, 5)
    blocks[0, 0, 0] = 100
    drawn, best, _ = heat_map(dataclasses.replace(compare_views(*pair(), GRID), blocks=blocks))
    assert best < 40
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 100


def test_equal_and_tiny_views() -> None:
    original, _ = pair(size=(7, 9))
    found = compare_views(original, original, GRID)
    assert (found.psnr_yuv, found.psnr_rgb, found.worst_block.below_db) == (100, 100, 0)
    assert found.ssim is None
    assert (found.worst_block.height, found.worst_block.width) == (7, 9)
    assert heat_map(found)[0].shape == (3 * 10 - 2, 5 * 10 - 2, 3)


def test_peak_is_that_of_the_bit_depth() -> None:
    original, _ = pair(dtype=np.uint16)
    found = compare_views(original, original + np.uint16(3), GRID, 10)
    assert found.psnr_rgb == pytest.approx(10 * np.log10(1023**2 / 9))


def test_unlike_views_are_refused() -> None:
    original, decoded = pair()
    with pytest.raises(LightFieldError, match=r"^views differ"):
        compare_views(original, decoded[:, 1:], GRID)
    with pytest.raises(
        LightFieldError, match="numbers of views differ: the first light field has more than 14"
    ):
        compare_views(original, decoded[1:], GRID)
    with pytest.raises(LightFieldError, match="15 views, expected 3 x 4"):
        compare_views(original, decoded, (3, 4))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file, the original that it is of, and its views as another decoder might write them."""
    monkeypatch.chdir(tmp_path)
    Path("lf.sanr").write_bytes(plane_file((1.0, -0.5), 0.75))
    views = np.asarray(sanrcodec.open("lf.sanr"))
    noise = np.random.default_rng(2).integers(-3, 4, views.shape)
    original = np.clip(views.astype(int) + noise, 0, 255).astype(np.uint8)
    write_mosaic("lf.png", original, GRID, 8)
    assert_ok(sanr("decode", "lf.sanr", "--all", "-o", "views"))
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_commands_of_the_page() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) >= 4
    for line in lines:
        program, *arguments = shlex.split(line, comments=True)
        assert program == "sanr"
        printed = assert_ok(sanr(*arguments))
        assert "PSNR-YUV" in printed or '"psnr_yuv"' in printed or arguments[0] == "decode"


@pytest.mark.usefixtures("folder")
def test_a_file_and_its_views_measure_the_same() -> None:
    found = json.loads(assert_ok(sanr("compare", "lf.sanr", "lf.png", "--json")))
    others = [json.loads(assert_ok(sanr("compare", "views", "lf.png", "--json")))]
    Image.fromarray(
        np.concatenate([np.concatenate(row, 1) for row in np.asarray(sanrcodec.open("lf.sanr"))])
    ).save("all.png")  # without a word of its grid
    others.append(json.loads(assert_ok(sanr("compare", "all.png", "lf.png", "--json"))))
    np.save("all.npy", np.asarray(sanrcodec.open("lf.sanr")))
    others.append(json.loads(assert_ok(sanr("compare", "all.npy", "lf.png", "--json"))))
    assert found["n_bytes"] == Path("lf.sanr").stat().st_size
    assert found["bpp"] == sanrcodec.open("lf.sanr").bpp
    Path("named otherwise").write_bytes(Path("lf.sanr").read_bytes())
    again = json.loads(assert_ok(sanr("compare", "named otherwise", "lf.png", "--json")))
    assert again == {**found, "decoded": "named otherwise"}
    for other in others:
        assert other["bpp"] is None
        for name in set(found) - {"decoded", "n_bytes", "bpp"}:
            assert other[name] == found[name], name


@pytest.mark.usefixtures("folder")
def test_the_map_is_described() -> None:
    printed = assert_ok(sanr("compare", "lf.sanr", "lf.png", "--map", "error.png"))
    assert re.search(r"worst +block of 16 x 16 at row \d+, column \d+ of view \d,\d: ", printed)
    assert re.search(r"map +error.png, black \d+\.\d+ dB to white \d+\.\d+ dB", printed)
    with Image.open("error.png") as drawn:
        assert drawn.mode == "RGB"
    refused = sanr("compare", "lf.sanr", "lf.png", "--map", "error.png")
    assert_refused(refused, 2, "add --force")


@pytest.mark.usefixtures("folder")
def test_what_does_not_belong_together_is_told() -> None:
    refused = sanr("compare", "lf.sanr", "lf.png", "--views", "0:2,:", "--json")
    assert_refused(refused, 1, "3 x 5 views of 56 x 40, RGB, 8 bit, but the original is 2 x 5")
    Path("views/view_00_00.png").unlink()
    assert sanr("compare", "views", "lf.png").exit_code == 1
    assert_refused(sanr("compare", "lf.png", "lf.png", "--device", "cpu"), 2, "no .sanr file")
