# SPDX-License-Identifier: MIT
from __future__ import annotations

import io
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import assert_ok, assert_refused, sanr
from PIL import Image

import sanrcodec
from sanrcodec.cli import main
from sanrcodec.io import read_light_field


@pytest.mark.parametrize(
    ("position", "name"),
    [("1,2", "lf_v01_u02.png"), ("0.5,1.25", "lf_v00.5_u01.25.png"), ("2.0,0", "lf_v02_u00.png")],
)
def test_decode_view_default_name(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, position: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    line = assert_ok(sanr("decode", "lf.sanr", "--view", position))
    assert line.startswith(f"{name}: view ")
    v, u = map(float, position.split(","))
    decoded = read_light_field(name, (1, 1)).view(0, 0)
    np.testing.assert_array_equal(decoded, sanrcodec.open(file).view(v, u))


@pytest.mark.parametrize("scale", ["1/2", "0.125"])
def test_decode_smaller_views(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, scale: str
) -> None:
    monkeypatch.chdir(tmp_path)
    factor = Fraction(scale)
    line = assert_ok(sanr("decode", "lf.sanr", "--view", "1,2", "--scale", scale))
    name = f"lf_v01_u02_1of{factor.denominator}.png"
    assert line.startswith(f"{name}: view 1,2 of {32 * factor} x {24 * factor} pixels")
    expected = list(sanrcodec.open(file).views(scale=factor))
    decoded = read_light_field(name, (1, 1)).view(0, 0)
    np.testing.assert_array_equal(decoded, expected[5])
    assert_ok(sanr("decode", "lf.sanr", "--all", "--scale", scale, "-o", "views"))
    assert_ok(sanr("decode", "lf.sanr", "--mosaic", "--scale", scale, "-o", "all.png"))
    for light_field in (read_light_field("views"), read_light_field("all.png", (3, 3))):
        samples = light_field.samples.reshape(-1, *expected[0].shape)
        np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize("scale", ["1", "1/2"])
def test_decode_a_quilt(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, scale: str
) -> None:
    monkeypatch.chdir(tmp_path)
    line = assert_ok(sanr("decode", "lf.sanr", "--quilt", "-o", "q.png", "--scale", scale))
    name = "q_qs1x3a1.3333.png"
    assert line.startswith(f"{name}: quilt of 1 x 3 views of row 1 of 3 of ")
    expected = list(sanrcodec.open(file).views(scale=Fraction(scale)))[3:6]
    np.testing.assert_array_equal(read_light_field(name).samples[0], expected)
    refused = sanr("decode", "lf.sanr", "--quilt", "-o", "q.png", "--scale", scale)
    assert_refused(refused, 2, f"{name} exists; add --force")
    assert_refused(sanr("decode", "lf.sanr", "--quilt", "-o", "x_qs2x2a1.png"), 1, "says 2 x 2")
    assert_refused(sanr("decode", "lf.sanr", "--quilt", "--all", "-o", "x"), 2, "exactly one of")


def test_decode_on_a_device(tmp_path: Path, file: Path) -> None:
    pytest.importorskip("torch")
    outputs = [tmp_path / "numpy.png", tmp_path / "torch.png"]
    for output, options in zip(outputs, ([], ["--device", "cpu"]), strict=True):
        assert_ok(sanr("decode", file, "--view", "1,1", *options, "-o", output))
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    result = sanr("decode", file, "--view", "1,1", "--device", "tape", "-o", tmp_path / "x.png")
    assert_refused(result, 1, "device tape is not usable here")


def test_decode_view_as_ppm(tmp_path: Path, file: Path) -> None:
    output = tmp_path / "x.ppm"
    assert_ok(sanr("decode", file, "--view", "0,0", "-o", output))
    assert output.read_bytes().startswith(b"P6")


@pytest.mark.parametrize("position", ["3,0", "0,3", "-1,0", "0,2.001"])
def test_decode_refuses_a_view_outside(tmp_path: Path, file: Path, position: str) -> None:
    output = tmp_path / "x.png"
    result = sanr("decode", file, "--view", position, "-o", output)
    assert_refused(result, 1, "is outside this light field (3 x 3 views")
    assert not output.exists()


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--view", "1"],
        ["--view", "1,x"],
        ["--view", "nan,0"],
        ["--view", "1,1", "--all", "-o", "x"],
        ["--all", "--mosaic", "-o", "x"],
        ["--mosaic", "-o", "x.ppm"],
        ["--view", "1,1", "-o", "x.jpg"],
        ["--view", "1,1", "--scale", "1/3"],
        ["--view", "1,1", "--scale", "1/0"],
        ["--view", "1,1", "--scale", "half"],
    ],
    ids=" ".join,
)
def test_decode_usage_errors(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(sanr("decode", file, *options), 2, "Usage: ")
    assert os.listdir(tmp_path) == ["lf.sanr"]


@pytest.mark.parametrize(
    "options", [["--view", "1,1", "-o", "old.png"], ["--mosaic", "-o", "old.png"]], ids=" ".join
)
def test_decode_overwrites_only_if_told(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    old = tmp_path / "old.png"
    old.write_bytes(b"old")
    assert_refused(sanr("decode", file, *options), 2, "add --force")
    assert old.read_bytes() == b"old"
    assert_ok(sanr("decode", file, *options, "--force"))
    assert old.read_bytes() != b"old"


def test_decode_all_overwrites_only_if_told(tmp_path: Path, file: Path) -> None:
    folder = tmp_path / "new" / "views"
    assert_ok(sanr("decode", file, "--all", "-o", folder))
    (folder / "other.txt").write_text("kept")
    (folder / "view_02_02.png").write_bytes(b"old")
    assert_refused(sanr("decode", file, "--all", "-o", folder), 2, "view_00_00.png exists")
    assert (folder / "view_02_02.png").read_bytes() == b"old"
    (folder / "view_07_00.png").write_bytes(b"")
    told = sanr("decode", file, "--all", "-o", folder, "--force")
    assert_ok(told)
    assert told.stderr.endswith("views of another light field stay in it: 1\n")
    assert (folder / "view_02_02.png").read_bytes() != b"old"
    assert (folder / "other.txt").read_text() == "kept"
    assert_refused(sanr("decode", file, "--all", "-o", file), 2, "is a file")
    assert_refused(sanr("decode", file, "--all", "-o", file / "views"), 2, "is a file")


@pytest.mark.parametrize("views", [["--all"], ["--view", "0,0", "--view", "1,1"]], ids=len)
def test_views_go_to_a_folder_that_can_be_written(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, views: list[str]
) -> None:
    told = sanr("decode", file, *views, "-o", tmp_path / "lf.PNG")
    assert_refused(told, 2, "is named like one image, expected a folder")
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may do all
    told = sanr("decode", file, *views, "-o", tmp_path / "new" / "views")
    assert_refused(told, 2, f"{tmp_path}: no permission to write to this folder")
    assert list(tmp_path.iterdir()) == [file]


def read_png(source: Any) -> np.ndarray:
    with Image.open(source) as image:
        return np.asarray(image)


@pytest.mark.slow
def test_several_views_and_defaults(content: bytes, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lf.sanr").write_bytes(content)
    opened = sanrcodec.open(content)

    def run(*arguments: str, code: int = 0) -> Any:
        done = CliRunner().invoke(main, ["decode", "lf.sanr", *arguments])
        assert done.exit_code == code, done.output
        return done

    run("--view", "0,0", "--view", "1,1.5")
    for name, place in (("lf_v00_u00.png", (0, 0)), ("lf_v01_u01.5.png", (1, 1.5))):
        np.testing.assert_array_equal(read_png(name), opened.view(*place))
    run("--view", "0,0", "--view", "2,2", "-o", "some")
    assert sorted(p.name for p in Path("some").iterdir()) == ["lf_v00_u00.png", "lf_v02_u02.png"]
    assert "twice" in run("--view", "0,0", "--view", "0,0", code=2).output
    assert (
        "expected a folder" in run("--view", "0,0", "--view", "1,1", "-o", "lf.sanr", code=2).output
    )
    run("--all")
    assert len(list(Path("lf_views").iterdir())) == 9
    run("--mosaic")
    assert read_png("lf_mosaic.png").shape == (3 * 24, 3 * 32, 3)


def test_a_view_on_stdout(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "lf.sanr"
    path.write_bytes(content)
    done = CliRunner().invoke(main, ["decode", str(path), "--view", "1,1", "-o", "-"])
    assert done.exit_code == 0
    image = read_png(io.BytesIO(done.stdout_bytes))
    np.testing.assert_array_equal(image, sanrcodec.open(content).view(1, 1))
    for arguments in (["--all"], ["--view", "0,0", "--view", "1,1"]):
        done = CliRunner().invoke(main, ["decode", str(path), *arguments, "-o", "-"])
        assert done.exit_code == 2
        assert "only one view" in done.output
