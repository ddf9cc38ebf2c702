# SPDX-License-Identifier: MIT
"""Fused kernels against torch, interpreted: without a device they are seen to be right, not fast.

On a CUDA device, test_gpu.py runs the same comparisons.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from sanrcodec.encoder import kernels  # noqa: E402

WORKER = Path(__file__).parent / "kernels_worker.py"
COMPARISONS = (
    "whole",
    "rounded",
    "rows",
    "weights",
    "shares",
    "adam",
    "doubled",
    "layers",
    "filtered",
)


def compare(what: str, device: str, **environment: str) -> str:
    """Run a comparison in a process of its own; what it says."""
    paths = [str(WORKER.parent), str(WORKER.parents[1])]
    done = subprocess.run(
        [sys.executable, str(WORKER), what, device],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("what", COMPARISONS)
def test_kernels_give_what_torch_gives(what: str) -> None:
    # Older interpreters fail with numpy 2.4.
    pytest.importorskip("triton", "3.7")
    assert compare(what, "cpu", TRITON_INTERPRET="1") == "the same\n"


def test_a_cpu_has_no_kernels() -> None:
    assert not kernels.runs_on(torch.zeros(1), 1)


def no_compiler(*arguments: Any) -> Any:
    raise RuntimeError("Failed to find C compiler.\nPlease set CC.")


@pytest.mark.parametrize(
    ("version", "perceptron", "reason"),
    [
        ("3.10", no_compiler, "Failed to find C compiler."),
        ("3.4", lambda x, *others: x + 1, "they compute something else"),
        ("3.3", lambda x, *others: x, "they need Triton 3.4 or later, found 3.3"),
    ],
)
def test_kernels_that_fail_are_told_once_and_not_used(
    version: str,
    perceptron: Any,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    name = "sanrcodec.encoder.kernels"
    for module, content in (
        ("device", {"TRITON": version}),
        ("perceptron", {"perceptron": perceptron}),
    ):
        monkeypatch.setitem(sys.modules, f"{name}.{module}", SimpleNamespace(**content))
    for constant in ("_INSTALLED", "_INTERPRETED"):
        monkeypatch.setattr(kernels, constant, True)
    monkeypatch.setattr(kernels, "_working", {})
    for _ in range(2):
        assert not kernels.runs_on(torch.zeros(1), 1)
    assert [record.getMessage() for record in caplog.records] == [
        f"the fit runs slower, without fused kernels: {reason}"
    ]
