# SPDX-License-Identifier: MIT
"""Calls side by side: each once and in order, whatever becomes of the threads."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import ROOT

import sanrcodec
from sanrcodec.parallel import in_order

VECTOR = ROOT / "tests" / "vectors" / "default.sanr"


@pytest.mark.parametrize("n_startable", [0, 1, 2, 9])
def test_every_item_is_called_once_and_in_order(
    monkeypatch: pytest.MonkeyPatch, n_startable: int
) -> None:
    """Also where the system starts no more threads, as with a limit of a container."""
    start, started, called = threading.Thread.start, [], []

    def limited(thread: threading.Thread) -> None:
        if len(started) == n_startable:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    def function(item: int) -> int:
        called.append(item)
        time.sleep(0.002 * (item % 3))
        return item * item

    monkeypatch.setattr(threading.Thread, "start", limited)
    assert list(in_order(function, range(40), 4)) == [n * n for n in range(40)]
    assert sorted(called) == list(range(40))
    assert len(started) == min(n_startable, 4)


def test_what_a_call_raises_is_raised_in_its_turn() -> None:
    found: list[float] = []
    with pytest.raises(ZeroDivisionError):
        found.extend(in_order(lambda n: 6 / (3 - n), range(9), 2))
    assert found == [2, 3, 6]


def test_what_is_not_asked_for_is_not_called() -> None:
    called: list[int] = []
    results = in_order(called.append, range(100), 2)
    assert not called
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(called) <= 4
    assert threading.active_count() == 1


def test_views_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = list(sanrcodec.open(VECTOR).views())

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for view, other in zip(sanrcodec.open(VECTOR).views(), expected, strict=True):
        np.testing.assert_array_equal(view, other)


def test_views_while_the_interpreter_ends() -> None:
    code = (
        "import atexit, sys, sanrcodec\n"
        "opened = sanrcodec.open(sys.argv[1])\n"
        "atexit.register(lambda: print(len(list(opened.views()))))"
    )
    command = [sys.executable, "-c", code, str(VECTOR)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("9\n", "")
