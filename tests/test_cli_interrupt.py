# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT, assert_ok, sanr


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process")
@pytest.mark.usefixtures("fit")
def test_interrupt_writes_the_state_reached(tmp_path: Path, mosaic: Path) -> None:
    file = tmp_path / "out.sanr"
    command = [sys.executable, "-m", "sanrcodec", "encode", mosaic, "-o", file, "--device", "cpu"]
    with subprocess.Popen(
        [*map(str, command), "--preset", "slow"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        try:
            assert process.stderr.readline().startswith("step ")
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, stderr
    assert "stopping" in stderr
    assert stdout.startswith(f"{file}: {file.stat().st_size} bytes")
    assert_ok(sanr("verify", file))
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


@pytest.mark.parametrize(("n_interrupts", "steps"), [(2, 5), (1, 0)])
@pytest.mark.usefixtures("fit")
def test_interrupts_that_write_nothing(
    tmp_path: Path, mosaic: Path, monkeypatch: pytest.MonkeyPatch, n_interrupts: int, steps: int
) -> None:
    from sanrcodec import encoder

    def encode(*_: Any, should_stop: Any, **__: Any) -> SimpleNamespace:
        assert not should_stop()
        for _ in range(n_interrupts):
            signal.raise_signal(signal.SIGINT)
        assert should_stop()
        return SimpleNamespace(steps=steps, content=b"")

    monkeypatch.setattr(encoder, "encode", encode)
    handler = signal.getsignal(signal.SIGINT)
    result = sanr("encode", mosaic, "-o", tmp_path / "out.sanr", "--quiet")
    assert result.exit_code == 1
    assert ("Aborted!" if n_interrupts == 2 else "nothing is written") in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["lf.png"]
    assert signal.getsignal(signal.SIGINT) is handler
