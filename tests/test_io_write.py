# SPDX-License-Identifier: MIT
"""Writing files completely or not at all, and what is imported for it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from sanrcodec.errors import LightFieldError, SanrError
from sanrcodec.io import (
    encode_view,
    read_light_field,
    write_animation,
    write_atomically,
    write_mosaic,
    write_quilt,
    write_view,
)
from sanrcodec.io.image import read_image

SYNTHETIC = ROOT / "examples" / "synthetic.py"


def test_write_replaces_or_leaves_alone(tmp_path):
    path = tmp_path / "lf.sanr"
    write_atomically(path, b"old")
    assert path.read_bytes() == b"old"
    write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"

    def fill_disk(file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(SanrError, match=r"lf\.sanr: cannot write: No space left") as caught:
        write_atomically(path, fill_disk)
    assert "\n" not in str(caught.value)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, lambda file: (_ for _ in ()).throw(KeyboardInterrupt))
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_write_to_impossible_places(tmp_path):
    with pytest.raises(SanrError, match="cannot write: No such file"):
        write_atomically(tmp_path / "absent" / "lf.sanr", b"")
    with pytest.raises(SanrError, match="cannot write"):
        write_atomically(tmp_path, b"")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links and /dev/null")
def test_write_keeps_links_and_devices(tmp_path):
    (tmp_path / "link").symlink_to("target")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"
    write_atomically("/dev/null", b"new")
    assert not Path("/dev/null").is_file()


def test_example_writes_a_readable_mosaic(tmp_path):
    command = [sys.executable, SYNTHETIC, "lf.png", "--grid", "3x4", "--size", "20x24"]
    environment = {**os.environ, "PYTHONPATH": str(SYNTHETIC.parents[1])}
    subprocess.run(command, cwd=tmp_path, check=True, env=environment)
    assert read_light_field(tmp_path / "lf.png").shape == (3, 4, 20, 24, 3)


def test_pillow_is_imported_lazily():
    code = "import sys, sanrcodec.io; sys.exit('PIL' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(SYNTHETIC.parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


VIEW = np.arange(8 * 9 * 3).reshape(8, 9, 3)
BAD = {
    "floats": (VIEW / 255, 8, "float64"),
    "integers": (VIEW, 8, "int64"),
    "negative": (VIEW.astype(np.int16) - 50, 8, "int16"),
    "bool": (VIEW > 3, 8, "bool"),
    "list": (VIEW.tolist(), 8, "int64"),
    "plane": (VIEW[..., 0].astype(np.uint8), 8, "shape"),
    "alpha": (np.zeros((4, 4, 4), np.uint8), 8, "shape"),
    "two channels": (np.zeros((4, 4, 2), np.uint8), 8, "shape"),
    "empty": (np.zeros((0, 4, 3), np.uint8), 8, "shape"),
    "too large": (VIEW.astype(np.uint16) + 100, 8, "a sample is 315, but 8 bits hold"),
    "10 bit of bytes": (VIEW.astype(np.uint8), 10, "needs uint16"),
    "17 bit": (VIEW.astype(np.uint16), 17, "bit depth is 17"),
    "text": (VIEW.astype(np.uint8), "8", "bit depth is '8'"),
}


def writers(tmp_path):
    yield lambda samples, depth: write_view(tmp_path / "x.png", samples, depth)
    yield lambda samples, depth: write_view(tmp_path / "x.ppm", samples, depth)
    yield encode_view
    yield lambda samples, depth: write_animation(tmp_path / "x.gif", [samples], depth)


@pytest.mark.parametrize("bad", BAD)
def test_what_a_file_cannot_hold_is_refused(tmp_path, bad):
    """Casts would write black or wrapped samples, and nobody would know."""
    samples, depth, text = BAD[bad]
    for write in writers(tmp_path):
        with pytest.raises(LightFieldError, match=text):
            write(samples, depth)
    if bad != "list":
        with pytest.raises(LightFieldError, match=text):
            write_mosaic(tmp_path / "x.png", samples[None, None], (1, 1), depth)
        with pytest.raises(LightFieldError, match=text):
            write_quilt(tmp_path / "x.png", lambda n: samples, (1, 1), depth)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
@pytest.mark.parametrize("depth", [8, 10, 16, np.uint8(10), np.int8(16)])
def test_samples_of_any_order_of_bytes_and_in_memory(tmp_path, dtype, depth):
    samples = VIEW.astype(dtype)[::-1, ::2]
    for name in ("x.png", "x.ppm"):
        write_view(tmp_path / name, samples, depth)
        found = read_image(tmp_path / name)
        np.testing.assert_array_equal(found.samples, samples)
        assert found.bit_depth == depth


def test_animations_of_nothing_or_of_unequal_frames_are_refused(tmp_path):
    frame = VIEW.astype(np.uint8)
    for frames, rate, text in [
        ([], 25, "no frames"),
        ([frame, frame[:4]], 25, "shape"),
        ([frame], 0, "frames per second"),
        ([frame], float("nan"), "frames per second"),
        ([frame], "x", "frames per second"),
    ]:
        with pytest.raises(LightFieldError, match=text):
            write_animation(tmp_path / "x.gif", frames, 8, rate)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no limit of file sizes")
@pytest.mark.parametrize("suffix", [".tif", ".npy", ".pfm", ".png"])
def test_a_disk_that_gets_full_never_cuts_a_map(tmp_path, suffix):
    path = tmp_path / f"map{suffix}"
    script = (
        "import resource, signal, sys\n"
        "import numpy as np\n"
        "from sanrcodec.errors import SanrError\n"
        "from sanrcodec.io import write_float_map\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "values = np.random.default_rng(0).random((48, 64))\n"
        "try:\n"
        "    write_float_map(sys.argv[1], values)\n"
        "except SanrError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path],
        check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == f"{path}: cannot write: {os.strerror(errno.EFBIG)}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_gray_format_takes_no_color(tmp_path):
    write_view(tmp_path / "gray.PGM", np.zeros((4, 5, 1), np.uint8), 8)
    with pytest.raises(LightFieldError, match=r"a \.pgm is gray, .* name it \.ppm"):
        write_view(tmp_path / "color.PGM", np.zeros((4, 5, 3), np.uint8), 8)
    assert [path.name for path in tmp_path.iterdir()] == ["gray.PGM"]
