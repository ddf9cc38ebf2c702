# SPDX-License-Identifier: MIT
"""The result of a long fit is never lost: where it goes when the output cannot be written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, assert_ok, assert_refused, sanr

from sanrcodec.cli import outputs
from sanrcodec.errors import SanrError
from sanrcodec.io import write_atomically

CONTENT = b"the file"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "lf.npy"
    np.save(path, np.zeros((2, 2, 8, 8, 3), np.uint8))
    return path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Stand in for the fit with a function that does something else in its time."""
    pytest.importorskip("torch")
    from sanrcodec import encoder

    def replace(action: Callable[[], object]) -> None:
        def encode(*_: Any, **__: Any) -> SimpleNamespace:
            action()
            return SimpleNamespace(
                content=CONTENT, steps=3, finished=True, bpp=1.0, psnr_yuv=30.0,
                psnr_yuv_min=29.0, estimated_bytes=4, device="cpu", lmbda=8.0, missed="", unused="",
                warnings=(), geometry="found",
            )  # fmt: skip

        monkeypatch.setattr(encoder, "encode", encode)

    return replace


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_folder_deleted_meanwhile(
    tmp_path: Path, source: Path, temporary: Path, meanwhile: Callable[..., None]
) -> None:
    output = tmp_path / "out" / "lf.sanr"
    output.parent.mkdir()
    meanwhile(lambda: shutil.rmtree(output.parent))
    result = sanr("encode", source, "-o", output, "--quiet")
    assert result.exit_code == 1
    rescued = only_file(temporary)
    assert rescued.read_bytes() == CONTENT
    assert rescued.name.startswith("lf.rescued-")
    assert rescued.suffix == ".sanr"
    assert result.stdout.startswith(f"{rescued}: 8 bytes")
    assert result.stderr == (
        f"Error: {output}: cannot write: No such file or directory; the file is {rescued}\n"
    )


def test_other_file_came_meanwhile(
    tmp_path: Path, source: Path, meanwhile: Callable[..., None]
) -> None:
    output = tmp_path / "out" / "lf.sanr"
    output.parent.mkdir()
    meanwhile(lambda: output.write_bytes(b"of another encoding"))
    result = sanr("encode", source, "-o", output)
    assert result.exit_code == 1
    assert output.read_bytes() == b"of another encoding"
    (rescued,) = set(output.parent.iterdir()) - {output}
    assert rescued.read_bytes() == CONTENT
    assert f"{output}: cannot write: File exists; the file is {rescued}" in result.stderr
    assert_ok(sanr("encode", source, "-o", output, "--force"))
    assert output.read_bytes() == CONTENT


def test_checkpoint_stays_while_the_file_is_elsewhere(
    tmp_path: Path, source: Path, temporary: Path, meanwhile: Callable[..., None]
) -> None:
    output, checkpoint = tmp_path / "out" / "lf.sanr", tmp_path / "ck"
    output.parent.mkdir()
    meanwhile(lambda: (shutil.rmtree(output.parent), checkpoint.write_bytes(b"state")))
    result = sanr("encode", source, "-o", output, "--checkpoint", checkpoint)
    assert result.exit_code == 1
    assert checkpoint.read_bytes() == b"state"
    assert only_file(temporary).read_bytes() == CONTENT


@pytest.mark.parametrize("waits_for", ["output", "temporary"])
def test_waits_until_there_is_room(
    tmp_path: Path,
    source: Path,
    temporary: Path,
    meanwhile: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    waits_for: str,
) -> None:
    monkeypatch.setattr(outputs, "_RETRY_SECONDS", 0.1)
    output = tmp_path / "out" / "lf.sanr"
    output.parent.mkdir()
    place = {"output": output.parent, "temporary": temporary}[waits_for]
    timer = threading.Timer(0.5, place.mkdir)

    def remove() -> None:
        shutil.rmtree(output.parent)
        temporary.rmdir()
        timer.start()

    meanwhile(remove)
    result = sanr("encode", source, "-o", output)
    timer.join()
    assert "is kept in memory" in result.stderr
    assert str(output) in result.stderr
    assert str(temporary) in result.stderr
    assert only_file(place).read_bytes() == CONTENT
    assert result.exit_code == (0 if waits_for == "output" else 1)
    assert output.exists() == (waits_for == "output")


@pytest.mark.skipif(os.name == "nt", reason="signals cannot be sent to one process")
def test_waiting_can_be_given_up(
    tmp_path: Path, source: Path, temporary: Path, meanwhile: Callable[..., None]
) -> None:
    output = tmp_path / "out" / "lf.sanr"
    output.parent.mkdir()
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))

    def remove() -> None:
        shutil.rmtree(output.parent)
        temporary.rmdir()
        timer.start()

    meanwhile(remove)
    result = sanr("encode", source, "-o", output)
    timer.join()
    assert result.exit_code == 1
    assert result.stderr.endswith("given up, the result is lost\n")


def test_links_are_followed_and_checked(
    tmp_path: Path, source: Path, meanwhile: Callable[..., None]
) -> None:
    meanwhile(lambda: None)
    link, target = tmp_path / "link.sanr", tmp_path / "folder" / "target.sanr"
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("no symbolic links here")
    assert_refused(sanr("encode", source, "-o", link), 2, "no such folder")
    target.parent.mkdir()
    assert_ok(sanr("encode", source, "-o", link))
    assert link.is_symlink()
    assert target.read_bytes() == CONTENT
    assert_refused(sanr("encode", source, "-o", link), 2, "add --force")
    link.unlink()
    link.symlink_to(link)
    assert_refused(sanr("encode", source, "-o", link), 2, "leads back to itself")


@pytest.mark.skipif(os.name == "nt", reason="needs limits of a process")
@pytest.mark.usefixtures("fit")
def test_no_room_is_told_before_the_fit(tmp_path: Path, source: Path) -> None:
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000))\n"
        "from sanrcodec.cli import main\n"
        "main(sys.argv[1:], prog_name='sanr')"
    )
    output = tmp_path / "out.sanr"
    done = subprocess.run(
        [sys.executable, "-c", code, "encode", str(source), "-o", str(output)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert f"{output}: cannot write 0.1 MB to {tmp_path}: File too large" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["lf.npy"]


def test_name_that_is_too_long(tmp_path: Path, source: Path) -> None:
    assert_refused(sanr("encode", source, "-o", tmp_path / f"{'x' * 300}.sanr"), 1, "too long")
    assert [path.name for path in tmp_path.iterdir()] == ["lf.npy"]


def test_without_links_no_file_is_overwritten_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "x"
    write_atomically(path, b"new", overwrite=False)
    with pytest.raises(SanrError, match="cannot write: File exists"):
        write_atomically(path, b"newer", overwrite=False)
    assert only_file(tmp_path).read_bytes() == b"new"
