# SPDX-License-Identifier: MIT
"""What is no .sanr file ends at once, whatever it is and however large."""

from __future__ import annotations

import array
import codecs
import gzip
import io
import mmap
import os
import re
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, assert_refused, sanr

import sanrcodec
from sanrcodec.bitstream import source
from sanrcodec.bitstream.container import SIGNATURE
from sanrcodec.errors import LimitError, NotSanrError, SanrError, TruncatedError

VECTOR = ROOT / "tests" / "vectors" / "default.sanr"

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
commands = pytest.mark.parametrize(
    "command",
    [
        ["info"],
        ["verify"],
        ["decode", "--view", "0,0", "-o", "x.png"],
        ["encode", "-o", "x.sanr"],
        ["encode", "-o", "x.sanr", "--layout", "lenslet", "--grid", "2x2"],
        ["encode", "-o", "x.sanr", "--layout", "array"],
    ],
    ids=" ".join,
)


@contextmanager
def at_once(seconds: float = 20.0) -> Iterator[None]:
    """Fail instead of hanging; the limit is for a busy machine."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


def run(folder: Path, command: list[str], path: Path) -> tuple[int, str]:
    """Run a command with 2 GB of address space at most."""
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 * 10**9, 2 * 10**9))\n"
        "from sanrcodec.cli import main\n"
        "main(sys.argv[1:], prog_name='sanr')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command[0], str(path), *command[1:]],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.returncode, done.stderr


@pytest.mark.slow
@commands
@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device here")
def test_device_without_end(tmp_path: Path, command: list[str]) -> None:
    with at_once():
        code, told = run(tmp_path, command, Path("/dev/zero"))
    assert code == 1
    assert told.startswith("Error: /dev/zero: ")
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
@commands
@needs_pipes
def test_pipe_without_a_writer(tmp_path: Path, command: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    with at_once():
        code, told = run(tmp_path, command, tmp_path / "pipe")
    assert code == 1
    assert told.startswith(f"Error: {tmp_path / 'pipe'}: ")
    assert os.listdir(tmp_path) == ["pipe"]


@needs_pipes
def test_pipe_among_views(tmp_path: Path) -> None:
    folder = tmp_path / "views"
    folder.mkdir()
    os.mkfifo(folder / "view_00_00.png")
    with at_once():
        code, told = run(tmp_path, ["encode", "-o", "x.sanr"], folder)
    assert code == 1
    assert told == f"Error: {folder / 'view_00_00.png'}: a device or a pipe, expected an image\n"


@pytest.mark.slow
@commands
@pytest.mark.skipif(os.name == "nt", reason="needs limits of a process")
def test_large_file_of_another_kind(tmp_path: Path, command: list[str]) -> None:
    with open(tmp_path / "large.bin", "wb") as file:
        file.write(b"something else\n")
        file.truncate(3 * 10**9)
    with at_once():
        code, told = run(tmp_path, command, tmp_path / "large.bin")
    assert code == 1
    assert told.startswith(f"Error: {tmp_path / 'large.bin'}: ")
    assert "memory" not in told
    assert os.listdir(tmp_path) == ["large.bin"]


@needs_pipes
def test_pipe_with_a_writer(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = VECTOR.read_bytes()

    def write() -> None:
        with open(pipe, "wb", buffering=0) as file:
            file.write(content[:5])
            time.sleep(0.3)
            file.write(content[5:])

    # Open for both, so that the pipe has a writer from the start, and the reader waits for it.
    held = os.open(pipe, os.O_RDWR)
    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(0.1)
    threading.Timer(1.0, os.close, (held,)).start()
    assert sanrcodec.open(pipe).n_bytes == len(content)
    writer.join()


class Stream:
    """Gives a few bytes at a time, and counts them."""

    def __init__(self, content: bytes, step: int) -> None:
        self.content, self.step, self.n_read, self.name = content, step, 0, "stream"

    def read(self, n: int = -1) -> bytes:
        if n < 0:
            raise AssertionError("asked for everything")
        chunk = self.content[self.n_read : self.n_read + min(n, self.step)]
        self.n_read += len(chunk)
        return chunk


@pytest.mark.parametrize("step", [1, 4, 9, 1000])
def test_streams_are_read_no_further_than_the_signature(step: int) -> None:
    content = VECTOR.read_bytes()
    good: Any = Stream(content, step)
    assert sanrcodec.open(good).n_bytes == len(content)
    bad: Any = Stream(b"\x89PNG\r\n\x1a\n" + content, step)
    with pytest.raises(NotSanrError, match=r"^stream: the \.sanr signature is missing"):
        sanrcodec.open(bad)
    assert bad.n_read <= len(SIGNATURE)


@pytest.mark.parametrize("n_bytes", range(len(SIGNATURE) + 2))
def test_short_files_are_truncated_ones(n_bytes: int) -> None:
    content = VECTOR.read_bytes()[:n_bytes]
    for opened in (content, io.BytesIO(content)):
        with pytest.raises(TruncatedError, match="truncated"):
            sanrcodec.open(opened)


def test_size_of_a_file_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.sanr"
    path.write_bytes(VECTOR.read_bytes())
    os.truncate(path, source.MAX_FILE_BYTES + 1)
    stream: Any = Stream(VECTOR.read_bytes() + bytes(10**6), 1000)
    with at_once():
        with pytest.raises(LimitError, match="more than 1073741824 bytes"):
            sanrcodec.open(path)
        monkeypatch.setattr(source, "MAX_FILE_BYTES", 10**5)
        with pytest.raises(LimitError, match="more than 100000 bytes"):
            sanrcodec.open(stream)
    assert stream.n_read < 2 * 10**5


def test_folder(tmp_path: Path) -> None:
    assert_refused(sanr("info", tmp_path), 1, f"{tmp_path}: a folder, expected a .sanr file")
    with pytest.raises(IsADirectoryError):
        sanrcodec.open(tmp_path)


@pytest.mark.parametrize("kind", ["array", "numpy", "memoryview", "mmap", "zip", "gzip"])
def test_bytes_in_any_form(kind: str, tmp_path: Path) -> None:
    content = VECTOR.read_bytes()
    (tmp_path / "x").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr("x", content)
    with ExitStack() as stack:
        found: sanrcodec.SanrFile
        if kind == "array":
            found = sanrcodec.open(array.array("B", content))  # type: ignore[arg-type]
        elif kind == "numpy":
            found = sanrcodec.open(np.fromfile(tmp_path / "x", np.uint8))
        elif kind == "memoryview":
            found = sanrcodec.open(memoryview(content[::-1])[::-1])
        elif kind == "mmap":
            file = stack.enter_context((tmp_path / "x").open("rb"))
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            found = sanrcodec.open(stack.enter_context(mapped))
        elif kind == "zip":
            archive = stack.enter_context(zipfile.ZipFile(tmp_path / "x.zip"))
            found = sanrcodec.open(stack.enter_context(archive.open("x")))
        else:
            stream = io.BytesIO(gzip.compress(content))
            found = sanrcodec.open(stack.enter_context(gzip.open(stream)))
    assert found.n_bytes == len(content)
    np.testing.assert_array_equal(found.view(0, 0), sanrcodec.open(VECTOR).view(0, 0))


class Waiting(io.RawIOBase):
    """Has no data yet, and does not wait for any."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> None:
        return None


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (None, "type NoneType, expected a path, bytes or a binary file"),
        (3, "type int, expected"),
        ([VECTOR], "type list, expected"),
        (io.StringIO(""), "gives text, expected bytes; open it in mode 'rb'"),
        (codecs.getreader("latin-1")(io.BytesIO(VECTOR.read_bytes())), "gives text"),
        (Waiting(), "no data yet"),
    ],
    ids=["None", "int", "list", "text", "reader", "waiting"],
)
def test_sources_of_other_kinds_are_refused_in_one_line(bad: Any, text: str) -> None:
    with pytest.raises(SanrError, match=re.escape(text)) as caught:
        sanrcodec.open(bad)
    assert "\n" not in str(caught.value)


def test_a_file_opened_as_text_is_told() -> None:
    file: Any
    with VECTOR.open(encoding="utf-8") as file, pytest.raises(SanrError, match="mode 'rb'"):
        sanrcodec.open(file)
