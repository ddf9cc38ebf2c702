# SPDX-License-Identifier: MIT
"""The commands that show what a file knows write what the API gives."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from planes import plane_file

import sanrcodec
from sanrcodec.cli import main
from sanrcodec.io.float_map import RANGE_KEY

pytest.importorskip("PIL")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("lf.sanr").write_bytes(plane_file((1.5, -0.5), 0.75))
    return "lf.sanr"


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == code, done.output
    return done.output


def read(path: str) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("suffix", [".npy", ".tif", ".pfm"])
def test_disparity_keeps_the_numbers(file: str, suffix: str) -> None:
    expected = sanrcodec.open(file).disparity(0, 3.5)
    path = f"d{suffix}"
    assert "1.50" in run("disparity", file, "--view", "0,3.5", "-o", path)
    if suffix == ".npy":
        found = np.load(path)
    elif suffix == ".tif":
        found = read(path)
    else:
        header, size, scale, content = Path(path).read_bytes().split(b"\n", 3)
        assert (header, size, scale) == (b"Pf", b"56 40", b"-1.0")
        found = np.frombuffer(content, "<f4").reshape(40, 56)[::-1]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    assert "exists" in run("disparity", file, "-o", path, code=2)
    run("disparity", file, "-o", path, "--force")


def test_layers_and_pictures_of_disparity(file: str) -> None:
    run("disparity", file, "--layers", "-o", "d.png")
    with Image.open("d_share0.png") as image:
        low, high = (float(number) for number in image.text[RANGE_KEY].split())
        assert image.mode == "I;16"
    assert low == high == pytest.approx(0.75, abs=0.01)
    assert sorted(p.name for p in Path().glob("d_*.png")) == [
        "d_disparity0.png", "d_disparity1.png", "d_share0.png", "d_share1.png",
    ]  # fmt: skip
    assert ".pfm" in run("disparity", file, "-o", "d.jpg", code=2)


def test_layers_are_not_written_in_part(file: str) -> None:
    """Only their own files are in the way, and the last of them as much as the first."""
    for name in ("d.png", "d_share1.png"):
        Path(name).touch()
    assert "d_share1.png exists" in run("disparity", file, "--layers", "-o", "d.png", code=2)
    assert not Path("d_disparity0.png").exists()
    Path("d_share1.png").unlink()
    run("disparity", file, "--layers", "-o", "d.png")
    assert Path("d.png").read_bytes() == b""


def test_disparity_needs_geometry(file: str) -> None:
    shutil.copy(Path(__file__).parent / "vectors" / "sanr.sanr", "flat.sanr")
    assert "no geometry" in run("disparity", "flat.sanr", "-o", "d.npy", code=1)
    assert not Path("d.npy").exists()


def test_refocus(file: str) -> None:
    opened = sanrcodec.open(file)
    run("refocus", file, "--slope", "1.5", "--aperture", "1", "-o", "a.png")
    np.testing.assert_array_equal(read("a.png"), opened.refocus(1.5, aperture=1))
    assert "1.500" in run("refocus", file, "--at", "20,30", "-o", "b.png")
    np.testing.assert_array_equal(read("b.png"), opened.refocus(1.5))
    run("refocus", file, "--all-in-focus", "-o", "c.png")
    np.testing.assert_array_equal(read("c.png"), opened.all_in_focus())
    run("refocus", file, "--stack", "4", "-o", "d.tif")
    with Image.open("d.tif") as stack:
        assert stack.n_frames == 4
    assert "exactly one" in run("refocus", file, "-o", "e.png", code=2)
    assert "outside" in run("refocus", file, "--at", "99,0", "-o", "e.png", code=1)


def test_epi(file: str) -> None:
    opened = sanrcodec.open(file)
    run("epi", file, "--row", "5", "--v", "0", "-o", "a.png")
    np.testing.assert_array_equal(read("a.png"), opened.epi(row=5, at=0))
    run("epi", file, "--column", "5", "--lines", "9", "-o", "b.png")
    np.testing.assert_array_equal(read("b.png"), opened.epi(column=5, n=9))
    assert "either" in run("epi", file, "-o", "c.png", code=2)
    assert "goes with" in run("epi", file, "--row", "5", "--u", "1", "-o", "c.png", code=2)


def test_quilt_is_read_back_as_its_views(file: str) -> None:
    from sanrcodec.io import read_light_field

    opened = sanrcodec.open(file)
    out = run("quilt", file, "--views", "6", "-o", "q.png")
    assert "q_qs2x3a1.4.png" in out
    views = read_light_field("q_qs2x3a1.4.png").samples
    assert views.shape == (1, 6, 40, 56, 3)
    for n, u in enumerate(np.linspace(0, 4, 6)):
        np.testing.assert_array_equal(views[0, n], opened.view(1, u))
    assert "do not hold" in run("quilt", file, "--tiles", "2x2", "-o", "q.png", code=2)


def test_a_quilt_begins_with_the_leftmost_camera(file: str) -> None:
    """In an array whose columns run from right to left that is the last of a row."""
    Path(file).write_bytes(plane_file((1.5, -0.5), 0.75, axes_reversed=1))
    opened = sanrcodec.open(file)
    run("quilt", file, "--views", "5", "--tiles", "1x5", "-o", "q.png")
    tiles = read("q_qs5x1a1.4.png").reshape(40, 5, 56, 3)
    for n in range(5):
        np.testing.assert_array_equal(tiles[:, n], opened.view(1, 4 - n))


def test_stereo(file: str) -> None:
    run("stereo", file, "--baseline", "3", "-o", "a.png")
    assert read("a.png").shape == (40, 112, 3)
    run("stereo", file, "--anaglyph", "-o", "b.png")
    assert read("b.png").shape == (40, 56, 3)
    assert "baseline" in run("stereo", file, "--baseline", "30", "-o", "c.png", code=1)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e400"])
def test_numbers_that_are_not_finite(file: str, number: str) -> None:
    for command in (
        ["video", "--fps", number, "-o", "x.webp"],
        ["stereo", "--baseline", number, "-o", "x.png"],
        ["refocus", "--slope", number, "-o", "x.png"],
        ["refocus", "--slope", "1", "--aperture", number, "-o", "x.png"],
        ["epi", "--row", "1", "--v", number, "-o", "x.png"],
        ["epi", "--column", "1", "--u", number, "-o", "x.png"],
        ["decode", "--view", f"0,{number}", "-o", "x.png"],
    ):
        assert "Invalid value" in run(command[0], file, *command[1:], code=2)
    assert "expected -16384" in run("refocus", file, "--slope", "1e30", "-o", "x.png", code=1)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_video_as_an_animated_picture(file: str, suffix: str) -> None:
    assert "8 frames" in run("video", file, "--frames", "8", "-o", f"a{suffix}")
    with Image.open(f"a{suffix}") as image:
        assert image.n_frames == 8
        assert image.size == (56, 40)


def test_video_along_a_file(file: str) -> None:
    Path("way.txt").write_text("0,0\n1,2.5\n2,4\n")
    assert "3 frames" in run("video", file, "--path", "way.txt", "--scale", "1/2", "-o", "a.tif")
    opened = sanrcodec.open(file)
    with Image.open("a.tif") as image:
        for n, place in enumerate([(0, 0), (1, 2.5), (2, 4)]):
            image.seek(n)
            np.testing.assert_array_equal(np.asarray(image), opened.view(*place, scale=0.5))
    Path("way.txt").write_text("0,9\n")
    assert "way.txt: line 1" in run("video", file, "--path", "way.txt", "-o", "b.gif", code=1)
    assert "cannot read" in run("video", file, "--path", "none.txt", "-o", "b.gif", code=1)


def test_video_without_ffmpeg_names_it(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "needs ffmpeg" in run("video", file, "-o", "a.mp4", code=1)


@pytest.mark.parametrize("n", [8, 5])
def test_video_from_left_to_right_and_back(file: str, n: int) -> None:
    assert f"{n} frames" in run("video", file, "--path", "line", "--frames", str(n), "-o", "a.tif")
    opened = sanrcodec.open(file)
    with Image.open("a.tif") as image:
        assert image.n_frames == n
        np.testing.assert_array_equal(np.asarray(image), opened.view(1, 0))
        image.seek(1)
        second = np.asarray(image)
        image.seek(n - 1)
        np.testing.assert_array_equal(np.asarray(image), second)


@pytest.fixture
def ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ffmpeg of the machine, or else that of a package, which `sanr` then finds."""
    found = shutil.which("ffmpeg")
    if found is None:
        package = pytest.importorskip("imageio_ffmpeg")
        found = str(tmp_path / "bin" / ("ffmpeg.exe" if os.name == "nt" else "ffmpeg"))
        Path(found).parent.mkdir()
        shutil.copy(package.get_ffmpeg_exe(), found)
        monkeypatch.setenv("PATH", f"{Path(found).parent}{os.pathsep}{os.environ['PATH']}")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_video_by_ffmpeg(file: str, ffmpeg: str, suffix: str) -> None:
    """Its frames are the views but for the losses of H.264, in the colors that players expect."""
    Path("way.txt").write_text("0,0\n1,2.5\n2,4\n")
    assert "3 frames" in run("video", file, "--path", "way.txt", "-o", f"a{suffix}")
    told = subprocess.run([ffmpeg, "-i", f"a{suffix}"], capture_output=True, text=True, check=False)
    assert "yuv420p(tv, bt709/bt709/iec61966-2-1" in told.stderr
    raw = [ffmpeg, "-loglevel", "error", "-i", f"a{suffix}", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    decoded = subprocess.run([*raw, "-"], capture_output=True, check=True).stdout
    opened = sanrcodec.open(file)
    frames = np.frombuffer(decoded, np.uint8).reshape(3, *opened.shape[2:]).astype(float)
    for frame, place in zip(frames, [(0, 0), (1, 2.5), (2, 4)], strict=True):
        view = opened.view(*place)
        # Chroma has half of the rows and columns: colors are compared by their means.
        np.testing.assert_allclose(frame.mean((0, 1)), view.mean((0, 1)), atol=3)
        assert np.abs(frame.mean(2) - view.mean(2)).mean() < 6


def test_failed_ffmpeg_is_told(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "ffmpeg"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho broken codec >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    if os.name == "nt":
        pytest.skip("a script is no program there")
    assert "broken codec" in run("video", file, "-o", "a.mp4", code=1)
    assert not Path("a.mp4").exists()
