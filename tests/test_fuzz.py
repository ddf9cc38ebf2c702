# SPDX-License-Identifier: MIT
"""The fuzz target: a minute of it, and that it reaches what is behind the checksums."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import pytest

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
    report = target.loop(runs=150, seconds=60, seed=1)
    assert report.runs == 150
    assert not report.crashes
    assert {"decoded", "CorruptSectionError", "LimitError"} <= set(report.outcomes)


@pytest.mark.slow
def test_a_minute_of_fuzzing_finds_no_crash() -> None:
    found = target.loop(runs=None, seconds=60, seed=2)
    assert found.total() > 300
