# SPDX-License-Identifier: MIT
"""One checkpoint serves one encoding at a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from sanrcodec.errors import SanrError
from sanrcodec.io import lock
from sanrcodec.lightfield import LightField

HOLD = """
import sys
from pathlib import Path
from sanrcodec.io.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_lock_of_another_process(tmp_path: Path) -> None:
    path = tmp_path / "ck"
    for end in ("close", "kill"):
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            with pytest.raises(SanrError, match="another encoding works with this file") as caught:
                with lock.locked(path):
                    pass
            assert str(path) in str(caught.value)
            if end == "close":
                process.communicate("")
            else:
                process.kill()
        # However the process ended, the lock is free, and a file left behind does no harm.
        with lock.locked(path):
            pass
        assert list(tmp_path.iterdir()) == []


def test_lock_of_another_thread(tmp_path: Path) -> None:
    def hold() -> bool:
        try:
            with lock.locked(tmp_path / "ck"):
                return True
        except SanrError:
            return False

    with ThreadPoolExecutor(1) as pool:
        with lock.locked(tmp_path / "ck"):
            assert not pool.submit(hold).result()
        assert pool.submit(hold).result()


def test_lock_is_taken_in_turns(tmp_path: Path) -> None:
    """Whoever holds the lock removes its file: nobody may hold a file that has no name."""
    inside: list[int] = []
    most = 0

    def take(number: int) -> int:
        nonlocal most
        n_taken = 0
        for _ in range(300):
            try:
                with lock.locked(tmp_path / "ck"):
                    inside.append(number)
                    most = max(most, len(inside))
                    inside.remove(number)
                    n_taken += 1
            except SanrError:
                pass
        return n_taken

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(take, range(4))) > 0
    assert most == 1


def test_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(lock, "_lock", refuse)
    with lock.locked(tmp_path / "ck"), lock.locked(tmp_path / "ck"):
        pass
    with (
        pytest.raises(SanrError, match="cannot write: No such file"),
        lock.locked(tmp_path / "no" / "ck"),
    ):
        pass


def test_second_fit_on_a_checkpoint_is_refused(
    tmp_path: Path, fit: Callable[..., Any], light_field: LightField
) -> None:
    path = tmp_path / "ck"
    refused: list[str] = []

    def begin_another(_: Any) -> None:
        try:
            fit(light_field, steps=5, checkpoint=path)
        except SanrError as error:
            refused.append(str(error))

    fit(light_field, steps=5, checkpoint=path, progress=begin_another)
    assert refused
    assert all("another encoding works with this file" in line for line in refused)
    assert fit(light_field, steps=5, checkpoint=path).finished
    assert [file.name for file in tmp_path.iterdir()] == ["ck"]
