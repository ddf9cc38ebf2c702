# SPDX-License-Identifier: MIT
"""Video codecs on the views of a light field: frames and rows; with an ffmpeg the whole command."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import bd_rate
import numpy as np
import pytest
import video_codecs
from click.testing import CliRunner
from conftest import ROOT, assert_ok, synthetic
from curves import Point
from video_codecs import CODECS, measure_codec, serpentine

from sanrcodec.lightfield import LightField

pytest.importorskip("matplotlib")

import rd_curve

# A stand-in that hands the raw frames through: options before -i and after it are those of ffmpeg.
ECHO = """#!{python}
import pathlib, sys
arguments = sys.argv[1:]
if "-encoders" in arguments:
    print(" V....D libx265 libx265 (codec hevc)")
elif arguments[-1] == "-":
    source = arguments[arguments.index("-i") + 1]
    sys.stdout.buffer.write(pathlib.Path(source).read_bytes())
else:
    pathlib.Path(arguments[-1]).write_bytes(sys.stdin.buffer.read())
"""


@pytest.fixture
def ffmpeg(tmp_path: Path) -> str:
    path = tmp_path / "ffmpeg"
    path.write_text(ECHO.format(python=sys.executable), encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_neighboring_frames_are_neighboring_views() -> None:
    order = serpentine((3, 4))
    assert sorted(order) == [(v, u) for v in range(3) for u in range(4)]
    steps = np.abs(np.diff(np.array(order), axis=0)).sum(1)
    assert (steps == 1).all()


@pytest.mark.parametrize("name", CODECS)
def test_what_only_conversion_costs(ffmpeg: str, name: str) -> None:
    """Without any loss of coding, 4:4:4 with 10 bits is nearly exact, and half chroma is not."""
    light_field = synthetic((2, 3), (23, 32))
    row = measure_codec(ffmpeg, "scene", light_field, name, 20)
    codec = CODECS[name]
    samples = 24 * 32 * 3 / 2 if codec.halves_chroma else 23 * 32 * 3
    assert int(row["bytes"]) == 6 * samples * (1 if codec.depth == 8 else 2)
    assert float(row["bpp"]) == pytest.approx(8 * int(row["bytes"]) / (6 * 23 * 32), abs=1e-6)
    assert row["setting"] == f"{codec.word}=20 {codec.pixels} serpentine"
    psnr = float(row["psnr_yuv"])
    assert psnr > 60 if not codec.halves_chroma else 30 < psnr < 60


def test_views_return_to_their_places(ffmpeg: str) -> None:
    """Flat views of different colors: any exchange of two would show."""
    colors = np.random.default_rng(3).integers(20, 230, (3, 3, 1, 1, 3))
    samples = np.broadcast_to(colors, (3, 3, 16, 16, 3)).astype(np.uint8)
    row = measure_codec(ffmpeg, "scene", LightField(samples, 8), "vvenc", 20)
    assert float(row["psnr_yuv_min"]) > 50


def test_settings_are_those_of_the_anchors() -> None:
    with (ROOT / "results" / "anchors.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    for name, codec in CODECS.items():
        found = {tuple(r["setting"].split()[1:3]) for r in rows if r["codec"] == name}
        assert (codec.pixels, "serpentine") in found
        words = {r["setting"].partition("=")[0] for r in rows if r["codec"] == name}
        assert codec.word in words


def test_what_cannot_be_run_is_told(ffmpeg: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not RGB with 8 bits"):
        measure_codec(ffmpeg, "scene", synthetic((2, 2), (16, 16), channels=1), "x265", 20)
    with pytest.raises(FileNotFoundError, match="is not found; install ffmpeg"):
        video_codecs.find_ffmpeg(str(tmp_path / "none"))
    (tmp_path / "lf").mkdir()
    result = CliRunner().invoke(
        rd_curve.main,
        [str(tmp_path / "out"), str(tmp_path / "lf"), "--ffmpeg", ffmpeg, "--codec", "vvenc"],
    )
    assert result.exit_code == 2
    assert "has no encoder for vvenc" in result.output


def test_curves_that_do_not_meet_are_a_dash() -> None:
    ours = {"a": [Point(0.1 * k, 30.0 + k, 29.0) for k in range(1, 6)]}
    high = [Point(0.1 * k, 50.0 + k, 49.0) for k in range(1, 6)]
    half = [Point(0.2 * k, 30.0 + k, 29.0) for k in range(1, 6)]
    table = bd_rate.comparison_table(
        ours, {"a": {"x265": high, "vvenc": half}}, {"a": "A"}, {"x265": "X", "vvenc": "V"}
    )
    assert table.splitlines()[-1] == "| A | 0.1000..0.5000 | 31.0..35.0 dB | - | -50.0 % |"


def test_one_command_measures_all(tmp_path: Path, ffmpeg: str, mosaic: Path) -> None:
    pytest.importorskip("torch")
    import measure

    out = tmp_path / "out"
    out.mkdir()
    for k, rate in enumerate(("2", "8", "30", "90")):
        (out / f"lf_default_fast_{rate}.sanr").touch()  # fitted before
        row = dict.fromkeys(measure.COLUMNS, "") | {
            "scene": "lf", "profile": "default", "preset": "fast", "lmbda": rate, "device": "cpu",
            "bpp": f"{0.9 - 0.2 * k:.1f}", "psnr_yuv": f"{40 - k}", "psnr_yuv_min": "30",
            "version": measure.version(),
        }  # fmt: skip
        measure.append_row(out / "rd.csv", row)
    arguments = [
        str(out), str(mosaic), "--ffmpeg", ffmpeg, "--points", "4", "--preset", "fast",
        "--lmbda", "2,8,30,90",
    ]  # fmt: skip
    told = assert_ok(CliRunner().invoke(rd_curve.main, arguments))
    assert told.count("is there already") == 4
    assert "| lf | 0.3000..0.9000 | 37.0..40.0 dB | - | - |" in told
    with (out / "anchors.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["codec"] for row in rows] == ["x265-paper"] * 4 + ["x265"] * 4
    assert (out / "rd.png").stat().st_size > 1000
    again = assert_ok(CliRunner().invoke(rd_curve.main, arguments))
    assert "serpentine" not in again
