# SPDX-License-Identifier: MIT
"""One fit by several processes, as torchrun starts them: on the CPU, by gloo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

import sanrcodec
from sanrcodec.decoder import SanrFile
from sanrcodec.io import write_mosaic
from sanrcodec.lightfield import LightField
from sanrcodec.metrics import light_field_psnr_yuv

torch = pytest.importorskip("torch")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("this PyTorch has no torch.distributed", allow_module_level=True)

pytestmark = pytest.mark.slow
WORKER = ROOT / "tests" / "distributed_worker.py"
STEPS = 60


def torchrun(n_processes: int, *arguments: Any, **options: Any) -> subprocess.Popen[str]:
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    return subprocess.Popen(
        [sys.executable, *launch, *map(str, arguments)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    try:
        stdout, stderr = process.communicate(timeout=100)
    finally:
        process.kill()
    assert process.returncode == code, stderr
    return stdout, stderr


@pytest.mark.parametrize(
    ("n_processes", "scenario", "line"),
    [
        (3, "together", "3 ranks agree\n"),
        (2, "together", "2 ranks agree\n"),
        (2, "mismatch", "refused\n"),
    ],
)
def test_ranks(n_processes: int, scenario: str, line: str) -> None:
    stdout, _ = finish(torchrun(n_processes, WORKER, scenario, "cpu"))
    assert stdout == line


def test_loss_of_a_process_ends_the_others(tmp_path: Path) -> None:
    finish(torchrun(2, WORKER, "loss", tmp_path / "message"), code=1)
    if (tmp_path / "message").exists():
        assert (tmp_path / "message").read_text().startswith("lost another process of this job (")


def encode_arguments(folder: Path) -> list[Any]:
    arguments = ["-m", "sanrcodec", "encode", folder / "lf.png", "-o", folder / "out.sanr"]
    options = ["--preset", "medium", "--steps", STEPS, "--force", "--checkpoint-every", 0]
    return [*arguments, "--device", "cpu", "--checkpoint", folder / "ck", *options]


@pytest.fixture(scope="module")
def by_two(
    tmp_path_factory: pytest.TempPathFactory, light_field: LightField
) -> tuple[Path, str, str]:
    """Folder, stdout and stderr of an encoding by two processes."""
    folder = tmp_path_factory.mktemp("by_two")
    write_mosaic(folder / "lf.png", light_field.samples, light_field.grid)
    stdout, stderr = finish(torchrun(2, *encode_arguments(folder)))
    return folder, stdout, stderr


def cost(opened: SanrFile, light_field: LightField) -> float:
    """``D + lmbda * R`` of a file."""
    psnr = light_field_psnr_yuv(light_field.views(), opened.views(), light_field.bit_depth)
    n_pixels = light_field.shape[2] * light_field.shape[3]
    distortion: float = 255**2 * 10 ** (-psnr.mean / 10)
    return distortion + 8.0 * 8 * opened.n_bytes / n_pixels


def test_same_quality_as_one_process(
    by_two: tuple[Path, str, str], fit: Callable[..., Any], light_field: LightField
) -> None:
    folder, stdout, stderr = by_two
    opened = sanrcodec.open(folder / "out.sanr")
    # Rank 0 alone speaks.
    assert stdout.startswith(f"{folder / 'out.sanr'}: {opened.n_bytes} bytes")
    assert stdout.count("\n") == 1
    assert stdout.endswith(" on 2 x cpu\n")
    assert stderr.count(f"step {STEPS}/{STEPS}") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["lf.png", "out.sanr"]
    alone = fit(light_field, preset="medium", steps=STEPS)
    # Two views for each are the four of one: but for rounding the fits are the same.
    expected = cost(SanrFile(alone.content), light_field)
    assert cost(opened, light_field) == pytest.approx(expected, rel=0.03)


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process")
def test_interrupted_job_goes_on(
    tmp_path: Path, light_field: LightField, by_two: tuple[Path, str, str]
) -> None:
    write_mosaic(tmp_path / "lf.png", light_field.samples, light_field.grid)
    file, kept = tmp_path / "out.sanr", tmp_path / "ck"
    arguments = encode_arguments(tmp_path)
    process = torchrun(2, *arguments)
    assert process.stderr is not None
    line = process.stderr.readline()
    while line and not line.startswith("step "):
        line = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    state = torch.load(kept, weights_only=True)["state"]["fit"]
    assert 5 <= state["done"] < STEPS  # the first report is of step 5
    assert len(state["random"]) == 2
    assert SanrFile(file).shape == light_field.shape
    # Two numbers have but one sum: the order of the processes does not matter.
    finish(torchrun(2, *arguments))
    assert not kept.exists()
    assert file.read_bytes() == (by_two[0] / "out.sanr").read_bytes()


def test_benchmark_of_ranks_fits(capsys: pytest.CaptureFixture[str]) -> None:
    """Of one process, which needs no torchrun; the table divides by its time."""
    import ranks

    ranks.worker((2, 2), 16, 8, "fast", "cpu")
    row = json.loads(capsys.readouterr().out)
    assert set(row) == set(ranks.COLUMNS) - {"times"}
    assert row["ranks"] == 1
    assert 0 < row["step_ms"] < 1e3 * row["fit_s"]
    assert row["kilobits"] > 0.4  # header and framing alone
    assert 5 < row["psnr_yuv"] < 60
