# SPDX-License-Identifier: MIT
"""The fuzz target: some of it, and that it reaches what is behind the checksums."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import ROOT

from sanrcodec.bitstream import container
from sanrcodec.errors import TruncatedError

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))
import target


def mended(content: bytes) -> bytes:
    return target.framed(target.sections(content))


def test_mending_gives_files_whose_container_is_right() -> None:
    for content in target.corpus()[0]:
        cut = mended(content[: len(content) * 2 // 3])
        with suppress(TruncatedError):  # sections that were cut off
            container.unpack(cut)
    whole = (target.TESTS / "vectors" / "single_view.sanr").read_bytes()
    assert mended(whole) == whole
    damaged = bytearray(whole)
    damaged[60] ^= 1
    assert container.unpack(mended(bytes(damaged))).sections.keys() == (
        container.unpack(whole).sections.keys()
    )


def test_the_loop_reaches_every_kind_of_error() -> None:
    report = target.loop(runs=100, seconds=60, seed=1)
    assert report.runs == 100
    assert not report.crashes
    assert {"decoded", "CorruptSectionError", "LimitError"} <= set(report.outcomes)


@pytest.mark.slow
def test_some_seconds_of_fuzzing_find_no_crash() -> None:
    report = target.loop(runs=None, seconds=10, seed=2)
    assert report.runs > 50
    assert not report.crashes


@pytest.mark.slow
def test_a_minute_with_atheris_finds_no_crash(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    done = subprocess.run(
        [sys.executable, target.TESTS / "fuzz" / "with_atheris.py", "-max_total_time=60"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=500,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert not list(tmp_path.glob("crash-*"))
    assert "INITED cov: " in done.stderr
