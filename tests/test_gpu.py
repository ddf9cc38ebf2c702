# SPDX-License-Identifier: MIT
"""The fit on a CUDA device: captured steps, views from the host, checkpoints, split steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import synthetic
from test_kernels import COMPARISONS, compare

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

Fit = Callable[..., Any]


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("preset", ["fast", "medium"])
def test_quality_is_that_of_the_cpu(fit: Fit, preset: str, bit_depth: int) -> None:
    light_field = synthetic(bit_depth=bit_depth)
    on_cpu, on_gpu = (
        fit(light_field, preset=preset, steps=120, device=name) for name in ("cpu", "cuda")
    )
    assert on_gpu.psnr_yuv == pytest.approx(on_cpu.psnr_yuv, abs=1.0)
    assert len(on_gpu.content) == pytest.approx(len(on_cpu.content), rel=0.1)


def test_checkpoint(tmp_path: Path, fit: Fit) -> None:
    light_field = synthetic()
    options = {"steps": 120, "device": "cuda", "checkpoint": tmp_path / "ck"}
    answers = iter([False] * 60)
    part = fit(light_field, should_stop=lambda: next(answers, True), **options)
    assert (part.steps, part.finished) == (60, False)
    last = fit(light_field, **options)
    whole = fit(light_field, **{**options, "checkpoint": None})
    assert last.finished
    assert last.psnr_yuv == pytest.approx(whole.psnr_yuv, abs=1.0)
    assert len(last.content) == pytest.approx(len(whole.content), rel=0.1)


def test_each_step_sees_its_own_views() -> None:
    """Views that are read ahead are not overwritten before they are on the device."""
    from sanrcodec.encoder.batches import ViewBatches
    from sanrcodec.lightfield import LightField

    samples = np.repeat(np.arange(64, dtype=np.uint8), 256 * 256).reshape(8, 8, 256, 256, 1)
    order = np.random.default_rng(0).permutation(64).reshape(32, 2)
    views = ViewBatches(LightField(samples), order, torch.device("cuda"))
    views.start(0)
    seen = []
    for _ in range(64):
        views.load()
        torch.cuda._sleep(1_000_000)  # as long as a step

        seen.append((views.index.clone(), views.targets().amax((1, 2, 3)) * 255))
    views.close()
    for step, (index, values) in enumerate(seen):
        assert index.tolist() == order[step % 32].tolist()
        assert values.round().long().tolist() == index.tolist()


def test_a_stage_drops_the_graphs_of_the_last(monkeypatch: pytest.MonkeyPatch, fit: Fit) -> None:
    """Each of them holds as much memory as a step."""
    from sanrcodec.encoder.graphs import StepGraphs

    run, held = StepGraphs.run, []

    def note(self: Any, part: Any, stage: Any, state: Any) -> None:
        run(self, part, stage, state)
        ((_, held_stage),) = self.graphs
        assert held_stage == stage
        if (stage.phase.name, stage.guided) not in held:
            held.append((stage.phase.name, stage.guided))

    monkeypatch.setattr(StepGraphs, "run", note)
    assert fit(synthetic(), steps=60, device="cuda").finished
    assert held == [("soft", True), ("soft", False), ("rounded", False)]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_random_numbers_and_precision_of_the_caller_go_on(fit: Fit, device: str) -> None:
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    torch.cuda.manual_seed(3)
    expected = torch.rand(4, device="cuda")
    torch.cuda.manual_seed(3)
    fit(synthetic(), steps=40, device=device)
    assert torch.equal(torch.rand(4, device="cuda"), expected)
    assert matmul.allow_tf32 == before


def test_several_gpus_do_what_one_does() -> None:
    """Each computes a part of the scene, and a graph holds what they exchange."""
    from test_distributed import WORKER, finish, torchrun

    if torch.cuda.device_count() < 2 or not torch.distributed.is_nccl_available():
        pytest.skip("needs two GPUs and NCCL")
    stdout, _ = finish(torchrun(2, WORKER, "together", "cuda"))
    assert stdout == "2 ranks agree\n"


@pytest.mark.parametrize("what", COMPARISONS)
def test_fused_kernels_give_what_torch_gives(what: str) -> None:
    pytest.importorskip("triton")
    assert compare(what, "cuda") == "the same\n"
