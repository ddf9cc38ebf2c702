# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_ok, assert_refused, sanr, synthetic

import sanrcodec
from sanrcodec.io import read_light_field
from sanrcodec.lightfield import LightField


@pytest.mark.slow
@pytest.mark.usefixtures("fit")
def test_round_trip(tmp_path: Path, mosaic: Path, light_field: LightField) -> None:
    file = tmp_path / "out.sanr"
    result = sanr(
        "encode", mosaic, "-o", file, "--steps", 30, "--device", "cpu", "--metadata", "--seed", 3
    )
    line = assert_ok(result)
    assert line.startswith(f"{file}: {file.stat().st_size} bytes  ")
    assert line.count("\n") == 1
    assert line.endswith(" s on cpu\n")
    assert "step 30/30" in result.stderr
    said = result.stderr.splitlines()
    assert said[0] == (
        f"{mosaic}: mosaic, from the top left: 3 x 3 views (V x U) of 32 x 24 pixels, RGB, 8 bit"
    )
    assert said[1].startswith(f"{mosaic}: parallax: ")

    folder = tmp_path / "views"
    folder.mkdir()
    assert_ok(sanr("decode", file, "--all", "-o", folder))
    views = sorted(path.name for path in folder.iterdir())
    assert views == [f"view_{v:02d}_{u:02d}.png" for v in range(3) for u in range(3)]
    expected = np.stack(list(sanrcodec.open(file).views())).reshape(light_field.shape)
    np.testing.assert_array_equal(read_light_field(folder).samples, expected)

    tiled = tmp_path / "tiled.png"
    assert_ok(sanr("decode", file, "--mosaic", "-o", tiled))
    np.testing.assert_array_equal(read_light_field(tiled).samples, expected)

    summary = json.loads(assert_ok(sanr("info", file, "--json")))
    assert summary["n_bytes"] == file.stat().st_size
    assert summary["metadata"]["seed"] == 3
    assert (summary["header"]["n_v"], summary["header"]["n_u"]) == (3, 3)
    assert f"{file}: ok" in assert_ok(sanr("verify", file))


@pytest.mark.usefixtures("fit")
def test_quiet_encode_prints_the_result_only(tmp_path: Path, mosaic: Path) -> None:
    file = tmp_path / "out.sanr"
    result = sanr("encode", mosaic, "-o", file, "--steps", 6, "--device", "cpu", "--quiet")
    assert_ok(result)
    assert result.stderr == ""


@pytest.mark.usefixtures("fit")
def test_encode_a_part(tmp_path: Path, mosaic: Path) -> None:
    file = tmp_path / "out.sanr"
    parts = ["--views", "1:,:", "--every", "1,2", "--crop", "4:20,0:16"]
    result = sanr("encode", mosaic, "-o", file, "--steps", 3, "--device", "cpu", *parts)
    assert_ok(result)
    assert "2 x 2 views (V x U) of 16 x 16 pixels" in result.stderr
    assert sanrcodec.open(file).shape == (2, 2, 16, 16, 3)


@pytest.mark.usefixtures("fit")
def test_encode_a_long_row_of_views(tmp_path: Path) -> None:
    np.save(tmp_path / "lf.npy", synthetic((1, 101), (16, 16)).samples)
    file = tmp_path / "x.sanr"
    assert_ok(sanr("encode", tmp_path / "lf.npy", "-o", file, "--steps", 3, "--device", "cpu"))
    assert sanrcodec.open(file).shape == (1, 101, 16, 16, 3)


def test_encode_refuses_before_any_work(tmp_path: Path, mosaic: Path, file: Path) -> None:
    before = file.read_bytes()
    assert_refused(sanr("encode", mosaic, "-o", file), 2, "add --force")
    assert file.read_bytes() == before
    assert_refused(sanr("encode", mosaic, "-o", tmp_path), 2, "is a folder, expected a file")
    assert_refused(sanr("encode", mosaic, "-o", tmp_path / "no" / "x.sanr"), 2, "no such folder")
    assert_refused(sanr("encode", mosaic, "-o", mosaic, "--force"), 2, "is the input")
    told = sanr("encode", mosaic, "-o", tmp_path / "new.PNG")
    assert_refused(told, 2, f"is named like an image, expected a name such as {tmp_path}/new.sanr")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind here")
def test_encode_refuses_a_folder_without_permission(tmp_path: Path, mosaic: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    assert_refused(sanr("encode", mosaic, "-o", folder / "x.sanr"), 2, "no permission")


@pytest.mark.parametrize(
    "options",
    [
        ["--grid", "9"],
        ["--grid", "0x3"],
        ["--layout", "tiff"],
        ["--lmbda", "0"],
        ["--lmbda", "-1"],
        ["--lmbda", "many"],
        ["--steps", "0"],
        ["--preset", "best"],
        ["--profile", "best"],
        ["--bit-depth", "17"],
        ["--time-budget", "0"],
        ["--unknown"],
    ],
    ids=" ".join,
)
def test_encode_usage_errors(tmp_path: Path, mosaic: Path, options: list[str]) -> None:
    output = tmp_path / "out.sanr"
    assert_refused(sanr("encode", mosaic, "-o", output, *options), 2, "Usage: ")
    assert not output.exists()


def test_encode_needs_an_output(mosaic: Path) -> None:
    assert_refused(sanr("encode", mosaic), 2, "--output")


def test_encode_of_bad_input(tmp_path: Path, mosaic: Path) -> None:
    output = tmp_path / "out.sanr"
    assert_refused(sanr("encode", tmp_path / "none.png", "-o", output), 1, "no such file")
    assert_refused(sanr("encode", mosaic, "-o", output, "--grid", "7x3"), 1, "contradicts --grid")
    assert_refused(sanr("encode", __file__, "-o", output), 1, "no image")
    assert not output.exists()
