# SPDX-License-Identifier: MIT
from __future__ import annotations

import configparser
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT, assert_ok, sanr

from sanrcodec.cli.interrupt import stop_at_signals

needs_signals = pytest.mark.skipif(os.name == "nt", reason="signals cannot be sent to one process")


def run_and_send(
    signums: list[signal.Signals], *options: Any, ignored: bool = False
) -> tuple[int, str]:
    """Run ``sanr encode`` and send it signals at its first step; return exit code and stderr."""
    command = [sys.executable, "-m", "sanrcodec", "encode", "--device", "cpu"]
    # As a shell does for `nohup`, or for a job in the background of a script.
    names = " ".join(signum.name[3:] for signum in signums)
    shell = ["sh", "-c", f"trap '' {names}; exec \"$@\"", "sh"] if ignored else []
    with subprocess.Popen(
        [*shell, *command, *map(str, options)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        try:
            lines = iter(process.stderr.readline, "")
            assert any(line.startswith("step ") for line in lines)
            for signum in signums:
                process.send_signal(signum)
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, stdout + stderr


@pytest.mark.slow
@needs_signals
@pytest.mark.usefixtures("fit")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_write_the_state_reached(tmp_path: Path, mosaic: Path, name: str) -> None:
    file = tmp_path / "out.sanr"
    code, told = run_and_send([signal.Signals[name]], mosaic, "-o", file, "--preset", "slow")
    assert code == 3, told
    assert "stopping" in told
    assert told.startswith(f"{file}: {file.stat().st_size} bytes")
    assert "ended early after " in told
    assert "ended early, after " in assert_ok(sanr("info", file))
    assert_ok(sanr("verify", file))
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


@pytest.mark.slow
@needs_signals
@pytest.mark.usefixtures("fit")
def test_signals_ignored_from_the_start_stay_so(tmp_path: Path, mosaic: Path) -> None:
    options = [mosaic, "-o", tmp_path / "out.sanr", "--steps", 60]
    code, told = run_and_send([signal.SIGINT, signal.SIGHUP], *options, ignored=True)
    assert code == 0, told
    assert "stopping" not in told
    assert "step 60/60" in told


@pytest.mark.parametrize(
    ("signums", "aborts"),
    [
        ([signal.SIGINT, signal.SIGINT], True),
        ([signal.SIGTERM, signal.SIGINT], True),
        ([signal.SIGTERM, signal.SIGTERM], False),
        ([signal.SIGINT, signal.SIGTERM], False),
    ],
)
def test_only_a_second_ctrl_c_aborts(signums: list[signal.Signals], aborts: bool) -> None:
    handlers = [signal.getsignal(signum) for signum in signums]
    with stop_at_signals("") as stop:
        assert not stop()
        signal.raise_signal(signums[0])
        assert stop()
        with pytest.raises(KeyboardInterrupt) if aborts else nullcontext():
            signal.raise_signal(signums[1])
    assert [signal.getsignal(signum) for signum in signums] == handlers


def test_torchrun_repeats_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with stop_at_signals("") as stop:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
            assert stop()


def test_other_threads_leave_signals_alone() -> None:
    def run() -> bool:
        with stop_at_signals("") as stop:
            return stop()

    before = signal.getsignal(signal.SIGINT)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(run).result() is False
    assert signal.getsignal(signal.SIGINT) is before


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


@pytest.mark.slow
@needs_signals
@pytest.mark.usefixtures("fit")
def test_process_without_streams(tmp_path: Path, mosaic: Path) -> None:
    """As daemons are started; number 2 may then be any file."""
    file, kept = tmp_path / "out.sanr", tmp_path / "ck"
    command = [sys.executable, "-m", "sanrcodec", "encode", mosaic, "-o", file, "--device", "cpu"]
    command += ["--checkpoint", kept, "--checkpoint-every", 0]
    states: set[int] = set()  # the file of each state is another one
    with subprocess.Popen(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *map(str, command)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:  # fmt: skip
        try:
            while len(states) < 2:
                assert process.poll() is None
                time.sleep(0.02)
                states |= {kept.stat().st_ino} if kept.exists() else set()
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=100)
        finally:
            process.kill()
    assert process.returncode == 3
    assert_ok(sanr("verify", file))
    assert b"stopping" not in mosaic.read_bytes()


def test_ctrl_c_while_the_commands_are_imported() -> None:
    """Where files are slow to read, that takes seconds."""
    code = (
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'click': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from sanrcodec.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "\nAborted!\n")


def test_the_installed_command_is_that_of_the_module() -> None:
    """That of the commands themselves would have a traceback until they are imported."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    scripts = setup["options.entry_points"]["console_scripts"]
    assert scripts.split() == ["sanr", "=", "sanrcodec.__main__:main"]
