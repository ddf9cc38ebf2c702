# SPDX-License-Identifier: MIT
"""One fit by several processes, as torchrun starts them: on the CPU, by gloo."""

from __future__ import annotations

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
        (3, "replicas", "3 equal replicas\n"),
        (2, "exact", "exact\n"),
        (3, "exact", "exact\n"),
        (2, "mean", "averaged\n"),
        (2, "mismatch", "refused\n"),
    ],
)
def test_ranks(n_processes: int, scenario: str, line: str) -> None:
    stdout, _ = finish(torchrun(n_processes, WORKER, scenario))
    assert stdout == line


def test_loss_of_a_process_ends_the_others(tmp_path: Path) -> None:
    finish(torchrun(2, WORKER, "loss", tmp_path / "message"), code=1)
    if (tmp_path / "message").exists():
        assert (tmp_path / "message").read_text().startswith("lost another process of this job (")


def encode_arguments(folder: Path, *options: Any) -> list[Any]:
    arguments = ["-m", "sanrcodec", "encode", folder / "lf.png", "-o", folder / "out.sanr"]
    return [*arguments, "--device", "cpu", "--checkpoint", folder / "ck", *options]


def cost(opened: SanrFile, light_field: LightField) -> float:
    """``D + lmbda * R`` of a file."""
    psnr = light_field_psnr_yuv(light_field.views(), opened.views(), light_field.bit_depth)
    n_pixels = light_field.shape[2] * light_field.shape[3]
    distortion: float = 255**2 * 10 ** (-psnr.mean / 10)
    return distortion + 8.0 * 8 * opened.n_bytes / n_pixels


@pytest.mark.parametrize("n_processes", [2, 3])
def test_same_quality_as_one_process(
    tmp_path: Path, fit: Callable[..., Any], light_field: LightField, n_processes: int
) -> None:
    write_mosaic(tmp_path / "lf.png", light_field.samples, light_field.grid)
    arguments = encode_arguments(tmp_path, "--steps", 80)
    stdout, stderr = finish(torchrun(n_processes, *arguments))
    opened = sanrcodec.open(tmp_path / "out.sanr")
    # Rank 0 alone speaks.
    assert stdout.startswith(f"{tmp_path / 'out.sanr'}: {opened.n_bytes} bytes")
    assert stdout.count("\n") == 1
    assert stdout.endswith(f" on {n_processes} x cpu\n")
    assert stderr.count("step 80/80") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lf.png", "out.sanr"]
    alone = fit(light_field, steps=80)
    assert cost(opened, light_field) < 1.1 * cost(SanrFile(alone.content), light_field)


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process")
def test_interrupted_job_goes_on(tmp_path: Path, light_field: LightField) -> None:
    write_mosaic(tmp_path / "lf.png", light_field.samples, light_field.grid)
    file, kept = tmp_path / "out.sanr", tmp_path / "ck"
    arguments = encode_arguments(tmp_path, "--steps", 60, "--force", "--checkpoint-every", 0)
    process = torchrun(2, *arguments)
    assert process.stderr is not None
    line = process.stderr.readline()
    while line and not line.startswith("step "):
        line = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    state = torch.load(kept, weights_only=True)["state"]["fit"]
    assert 10 <= state["done"] < 60
    assert len(state["random"]) == 2
    assert SanrFile(file).shape == light_field.shape
    # Two numbers have but one sum: the order of the processes does not matter.
    finish(torchrun(2, *arguments))
    resumed = file.read_bytes()
    assert not kept.exists()
    finish(torchrun(2, *arguments))
    assert file.read_bytes() == resumed
