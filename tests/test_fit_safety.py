# SPDX-License-Identifier: MIT
"""A fit of an hour ends in a file, whatever happens meanwhile."""

from __future__ import annotations

import logging
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, assert_ok, assert_refused, sanr

from sanrcodec.decoder import SanrFile
from sanrcodec.errors import LightFieldError, SanrError
from sanrcodec.lightfield import LightField, StoredSamples

pytest.importorskip("torch")

import torch

from sanrcodec.encoder import selfcheck, start
from sanrcodec.encoder.model import SceneModel

Fit = Callable[..., Any]


def stop_after(n_steps: int) -> Callable[[], bool]:
    answers = iter([False] * n_steps)
    return lambda: next(answers, True)


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[Any], Any]], None]:
    """Change what the loss of every step from a certain one on returns."""
    loss = SceneModel.loss

    def replace(step: int, change: Callable[[Any], Any]) -> None:
        n_calls = 0

        def spoiled(*args: Any) -> Any:
            nonlocal n_calls
            n_calls += 1
            value, *rest = loss(*args)
            return (change(value) if n_calls >= step else value), *rest

        monkeypatch.setattr(SceneModel, "loss", spoiled)

    return replace


def diverge(value: torch.Tensor) -> torch.Tensor:
    return value * math.nan


def fill_memory(value: torch.Tensor) -> torch.Tensor:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nMore")


@pytest.mark.slow
@pytest.mark.parametrize("change", [diverge, fill_memory])
@pytest.mark.parametrize("with_checkpoint", [False, True])
def test_last_good_state_is_written(
    tmp_path: Path,
    fit: Fit,
    light_field: LightField,
    spoil: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    change: Callable[[Any], Any],
    with_checkpoint: bool,
) -> None:
    options: dict[str, Any] = {"checkpoint": tmp_path / "ck"} if with_checkpoint else {}
    # Fewer steps than would be tried before the first: calls are steps.
    expected = fit(light_field, steps=50, should_stop=stop_after(25))
    spoil(28, change)
    with caplog.at_level(logging.WARNING):
        result = fit(light_field, steps=50, **options)
    assert (result.steps, result.finished) == (25, False)
    assert result.content == expected.content
    assert "what is kept is the state after step 25" in caplog.text
    if with_checkpoint:
        state = torch.load(tmp_path / "ck", weights_only=True)["state"]["fit"]
        assert state["done"] == 25
        assert all(bool(torch.isfinite(tensor).all()) for tensor in state["tensors"])


@pytest.mark.slow
def test_divergence_in_the_last_step(
    fit: Fit, light_field: LightField, spoil: Callable[..., None]
) -> None:
    spoil(30, diverge)
    result = fit(light_field, steps=30)
    assert (result.steps, result.finished) == (25, False)


def test_divergence_in_the_first_step_writes_nothing(
    tmp_path: Path, mosaic: Path, spoil: Callable[..., None]
) -> None:
    spoil(1, diverge)
    output = tmp_path / "out.sanr"
    result = sanr("encode", mosaic, "-o", output, "--steps", 9, "--device", "cpu")
    assert result.exit_code == 1
    # Which step notices depends on how fast the machine is.
    assert re.search(r"Warning: the fit ends in step [1-9]: it diverged", result.stderr)
    assert "before its first step; nothing is written" in result.stderr
    assert not output.exists()


def test_memory_full_from_the_start_is_one_line(
    fit: Fit, light_field: LightField, spoil: Callable[..., None]
) -> None:
    spoil(1, fill_memory)
    with pytest.raises(SanrError, match=r"^out of memory on cpu; [^\n]*$"):
        fit(light_field, steps=9)


def test_memory_of_the_cpu_full_is_told(
    fit: Fit, light_field: LightField, monkeypatch: Any
) -> None:
    def allocate(*_: Any) -> None:
        torch.zeros(2**60, dtype=torch.uint8)

    monkeypatch.setattr(start, "estimate_geometry", allocate)
    with pytest.raises(SanrError, match=r"^out of memory on cpu"):
        fit(light_field, steps=9)


class Vanishing(StoredSamples):
    """Samples whose file goes away after a number of views."""

    def __init__(self, samples: Any, n_views: int) -> None:
        self.shape, self.dtype, self.samples = samples.shape, samples.dtype, samples
        self.n_left = n_views

    def __getitem__(self, index: tuple[int, int]) -> np.ndarray:
        self.n_left -= 1
        if self.n_left < 0:
            raise LightFieldError("lf.npy: cannot read: Stale file handle")
        view: np.ndarray = self.samples[index].copy()
        return view


@pytest.mark.slow
@pytest.mark.parametrize("n_steps_read", [3, 30, 62])
def test_input_that_cannot_be_read_any_more(
    fit: Fit, light_field: LightField, caplog: pytest.LogCaptureFixture, n_steps_read: int
) -> None:
    samples = Vanishing(light_field.samples, 10**6)

    def limit_once() -> bool:
        if samples.n_left > 10**5:
            samples.n_left = n_steps_read * 4
        return False

    with caplog.at_level(logging.WARNING):
        if n_steps_read == 3:
            with pytest.raises(LightFieldError, match="Stale file handle"):
                fit(LightField(samples), steps=60, should_stop=limit_once)
            return
        result = fit(LightField(samples), steps=60, should_stop=limit_once)
    assert SanrFile(result.content).shape == light_field.shape
    assert math.isnan(result.psnr_yuv)
    assert "the quality of the file is not measured: lf.npy: cannot read" in caplog.text
    assert (result.steps, result.finished) == ((25, False) if n_steps_read == 30 else (60, True))


@pytest.mark.slow
def test_memory_full_at_the_check(
    tmp_path: Path, mosaic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(selfcheck, "check_twin", fail)
    output = tmp_path / "out.sanr"
    result = sanr("encode", mosaic, "-o", output, "--steps", 9, "--device", "cpu")
    assert "quality not measured" in assert_ok(result)
    assert "Warning: the quality of the file is not measured: out of memory on cpu" in result.stderr
    assert_ok(sanr("verify", output))


# ------------------------------------------------------------------- checkpoints


@pytest.mark.slow
def test_failed_checkpoint_is_a_warning(
    tmp_path: Path, fit: Fit, light_field: LightField, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    def lose_folder() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return False

    options: dict[str, Any] = {"checkpoint": folder / "ck", "checkpoint_seconds": 0}
    answers: Iterator[Callable[[], bool]] = iter([lambda: False, lambda: False, lose_folder])
    with caplog.at_level(logging.WARNING):
        result = fit(
            light_field, steps=6, should_stop=lambda: next(answers, lambda: False)(), **options
        )
    assert result.finished
    assert result.content == fit(light_field, steps=6).content
    assert (
        f"{folder / 'ck'}: cannot write: No such file or directory; the fit goes on" in caplog.text
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs limits of a process")
def test_disk_full_at_a_checkpoint(tmp_path: Path, mosaic: Path) -> None:
    """The limit of a file's size fails in the middle of a state, as does a full disk."""
    code = (
        "import resource, sys\n"
        "from sanrcodec.encoder.checkpoint import Checkpoint\n"
        "save, n_saved = Checkpoint.save, 0\n"
        "def limited(self, state):\n"
        "    global n_saved\n"
        "    n_saved += 1\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (10**7 if n_saved < 3 else 20000, 10**7))\n"
        "    save(self, state)\n"
        "Checkpoint.save = limited\n"
        "from sanrcodec.cli import main\n"
        "main(sys.argv[1:], prog_name='sanr')"
    )
    arguments = ["encode", mosaic, "-o", tmp_path / "out.sanr", "--checkpoint", tmp_path / "ck"]
    arguments += ["--steps", 6, "--checkpoint-every", 0, "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    warning = f"Warning: {tmp_path / 'ck'}: cannot write: File too large; the fit goes on\n"
    assert warning in done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'out.sanr'}: ")
    assert {path.name for path in tmp_path.iterdir()} == {"lf.png", "out.sanr"}


def test_checkpoint_with_values_that_are_not_finite_is_refused(
    tmp_path: Path, fit: Fit, light_field: LightField
) -> None:
    path = tmp_path / "ck"
    fit(light_field, checkpoint=path, should_stop=stop_after(3))
    content = torch.load(path, weights_only=True)
    content["state"]["fit"]["tensors"][2][0] = math.nan
    torch.save(content, path)
    with pytest.raises(SanrError, match="values that are not finite"):
        fit(light_field, checkpoint=path)


# ------------------------------------------------------------------- signals


def interrupting(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Press Ctrl-C as soon as a function is called."""
    function = getattr(owner, name)

    def pressed(*args: Any, **options: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return function(*args, **options)

    monkeypatch.setattr(owner, name, pressed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "code", "steps"),
    [
        (start, "estimate_geometry", 1, 0),
        (SceneModel, "coarsen", 3, 58),
        (selfcheck, "check_twin", 0, 60),
    ],
    ids=["sweep", "last search", "self-check"],
)
def test_ctrl_c_outside_of_the_steps(
    tmp_path: Path,
    mosaic: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    code: int,
    steps: int,
) -> None:
    interrupting(monkeypatch, owner, name)
    output = tmp_path / "out.sanr"
    result = sanr("encode", mosaic, "-o", output, "--steps", 60, "--device", "cpu")
    assert result.exit_code == code, result.output
    if not steps:
        assert "before its first step; nothing is written" in result.stderr
        assert not output.exists()
        return
    assert (f"ended early after {steps} steps" in result.stdout) == (code == 3)
    assert (f"ended early, after {steps} steps" in assert_ok(sanr("info", output))) == (code == 3)
    assert_ok(sanr("verify", output))


# ------------------------------------------------------------------- values


@pytest.mark.parametrize(
    "option",
    [
        {"lmbda": 1e38},
        {"lmbda": math.nan},
        {"lmbda": math.inf},
        {"lmbda": 0},
        {"lmbda": -1},
        {"steps": 0},
        {"steps": -5},
        {"steps": 10**10},
        {"time_budget": math.nan},
        {"time_budget": math.inf},
        {"time_budget": -1},
        {"checkpoint_seconds": math.nan},
        {"seed": -1},
        {"seed": 2**63},
    ],
    ids=str,
)
def test_values_without_sense_are_refused(
    tmp_path: Path, fit: Fit, light_field: LightField, mosaic: Path, option: dict[str, Any]
) -> None:
    ((name, value),) = option.items()
    with pytest.raises(
        LightFieldError, match=rf"^{name} is {re.escape(str(value))}, expected [^\n]*$"
    ):
        fit(light_field, **option)
    flag = {"checkpoint_seconds": "checkpoint-every", "time_budget": "time-budget"}.get(name, name)
    result = sanr("encode", mosaic, "-o", tmp_path / "out.sanr", f"--{flag}", value)
    assert_refused(result, 2, f"--{flag}")
    assert not (tmp_path / "out.sanr").exists()


@pytest.mark.parametrize(
    "option",
    [
        {"lmbda": "8"},
        {"lmbda": [8]},
        {"steps": 8.5},
        {"steps": "8"},
        {"seed": 1.5},
        {"max_size": "5kB"},
        {"bpp": 1j},
        {"time_budget": b"3"},
        {"device": 3},
    ],
    ids=str,
)
def test_what_is_no_number_is_refused(
    fit: Fit, light_field: LightField, option: dict[str, Any]
) -> None:
    with pytest.raises(LightFieldError, match=rf"^{next(iter(option))}[^\n]*$"):
        fit(light_field, **option)


def test_numbers_of_any_kind(fit: Fit, light_field: LightField) -> None:
    expected = fit(light_field, steps=4, seed=2, lmbda=16).content
    for options in (
        {"steps": np.uint8(4), "seed": np.int64(2), "lmbda": np.uint8(16)},
        {"steps": 4.0, "seed": np.int8(2), "lmbda": Fraction(16), "time_budget": np.float32(1e4)},
        {"steps": 4, "seed": 2, "lmbda": torch.tensor(16.0), "device": torch.device("cpu")},
    ):
        assert fit(light_field, **options).content == expected


@pytest.mark.slow
@pytest.mark.parametrize("lmbda", [0.01, 10_000.0])
def test_ends_of_the_range_of_lmbda(fit: Fit, light_field: LightField, lmbda: float) -> None:
    result = fit(light_field, steps=30, lmbda=lmbda)
    assert result.finished
    assert SanrFile(result.content).shape == light_field.shape


@pytest.mark.parametrize("device", ["meta", "tape", "cuda:99", "cpu:x"])
def test_device_that_cannot_compute_is_refused(
    tmp_path: Path, mosaic: Path, file: Path, device: str
) -> None:
    options = ["-o", tmp_path / "out", "--device", device]
    message = f"device {device} is not usable here ("
    assert_refused(sanr("encode", mosaic, *options, "--quiet"), 1, message)
    assert_refused(sanr("decode", file, "--all", *options), 1, message)


WHOLE = {
    "TORCHELASTIC_RUN_ID": "1", "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0",
    "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RANK": None}, "RANK in the environment of torchrun is missing or wrong"),
        ({"WORLD_SIZE": None}, "WORLD_SIZE in the environment"),
        ({"LOCAL_RANK": None, "LOCAL_WORLD_SIZE": None}, "LOCAL_RANK, LOCAL_WORLD_SIZE in the"),
        ({"MASTER_ADDR": None, "MASTER_PORT": ""}, "MASTER_PORT, MASTER_ADDR in the environment"),
        ({"RANK": "first"}, "RANK in the environment"),
        ({"RANK": "2"}, "RANK in the environment"),
        ({"RANK": "-1"}, "RANK in the environment"),
        ({"TORCHELASTIC_RUN_ID": None}, "torchrun did not start this process"),
    ],
    ids=str,
)
def test_half_an_environment_of_torchrun_is_refused(
    tmp_path: Path,
    mosaic: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str | None],
    message: str,
) -> None:
    for name, value in {**WHOLE, **change}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    result = sanr("encode", mosaic, "-o", tmp_path / "x.sanr", "--device", "cpu", "--quiet")
    assert_refused(result, 1, message)
