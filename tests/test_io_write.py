# SPDX-License-Identifier: MIT
"""Writing files completely or not at all, and what is imported for it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from sanrcodec.errors import SanrError
from sanrcodec.io import read_light_field, write_atomically

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
