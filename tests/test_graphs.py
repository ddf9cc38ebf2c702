# SPDX-License-Identifier: MIT
"""When parts of a step are captured and dropped, and when kernels are compiled: without a GPU."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import synthetic

from sanrcodec.presets import PROFILES, Parallax, make_header

torch = pytest.importorskip("torch")

from sanrcodec.encoder import graphs  # noqa: E402
from sanrcodec.encoder.distributed import ALONE, Ranks  # noqa: E402
from sanrcodec.encoder.model import SceneModel  # noqa: E402
from sanrcodec.encoder.quantize import noisy_round, straight_through  # noqa: E402
from sanrcodec.encoder.schedule import Phase, Stage  # noqa: E402

SOFT, ROUNDED = Stage(Phase("soft", 0.9), False), Stage(Phase("rounded", 1.0, None), False)


class Fused:
    """Stands for a model: notes what is compiled."""

    def __init__(self) -> None:
        self.fused, self.ranks = False, ALONE

    def fuse(self, on: bool = True) -> bool:
        before, self.fused = self.fused, on
        return before


def test_parts_are_captured_once_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    def capture(part: Callable[[], None], state: list[Any]) -> SimpleNamespace:
        assert state == ["state"]
        part()
        return SimpleNamespace(replay=lambda: events.append("replay"))

    def first(stage: Stage) -> None:
        events.append(f"first, {stage.phase.name}")

    def second(stage: Stage) -> None:
        events.append(f"second, {stage.phase.name}")

    monkeypatch.setattr(graphs, "capture", capture)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: events.append("synchronize"))
    steps = graphs.StepGraphs(torch.device("cuda"))
    for stage in (SOFT, SOFT, ROUNDED):
        for part in (first, second):
            steps.run(part, stage, lambda: ["state"])
    assert events == [
        "first, soft", "replay", "second, soft", "replay", "replay", "replay", "synchronize",
        "first, rounded", "replay", "second, rounded", "replay",
    ]  # fmt: skip
    assert set(steps.graphs) == {("first", ROUNDED), ("second", ROUNDED)}


def test_a_cpu_runs_every_step() -> None:
    seen: list[Stage] = []
    steps = graphs.StepGraphs(torch.device("cpu"))
    for _ in range(3):
        steps.run(seen.append, SOFT, list)
    assert seen == [SOFT] * 3


@pytest.mark.parametrize(("change", "compiled"), [(1.01, True), (1.1, False)])
def test_compiled_kernels_must_give_the_same_gradients(
    change: float, compiled: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model, ours = Fused(), lambda *_: None
    monkeypatch.setattr(graphs, "_compiled_round", lambda: ours)

    def gradients(rounding: Any) -> tuple[Any, ...]:
        assert model.fused == (rounding is ours)
        gradient = torch.tensor([3.0, 4.0])
        return gradient, change * gradient if model.fused else gradient

    rounding = graphs.fuse(model, gradients, 0.02)
    assert rounding is (ours if compiled else noisy_round)
    assert model.fused == compiled
    expected = "the fit runs slower, without compiled kernels: the compiled step differs"
    assert caplog.messages == ([] if compiled else [expected])


def test_a_missing_compiler_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = Fused()
    monkeypatch.setattr(graphs, "_compiled_round", lambda: lambda *_: None)

    def gradients(rounding: Any) -> tuple[Any, ...]:
        if model.fused:
            raise RuntimeError("no C compiler\nat line 3")
        return (torch.ones(2),)

    assert graphs.fuse(model, gradients, 0.02) is noisy_round
    assert not model.fused
    expected = "the fit runs slower, without compiled kernels: no C compiler"
    assert caplog.messages == [expected]


def test_ranks_compile_all_or_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that cannot is found out before the others wait for it in the middle of a step."""

    class Others(Ranks):
        def gather(self, value: Any) -> list[Any]:
            return [value, "no C compiler"]

    model = Fused()
    model.ranks = Others(0, 2)
    monkeypatch.setattr(graphs, "_compiled_round", lambda: lambda *_: None)

    def gradients(rounding: Any) -> tuple[Any, ...]:
        assert rounding is noisy_round
        return (torch.ones(2),)

    assert graphs.fuse(model, gradients, 0.02) is noisy_round
    assert not model.fused
    assert len(caplog.messages) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # by the compiler
def test_the_parts_of_a_step_can_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that GPUs compile is traced without a break, and gives the same gradients."""

    def compiled(forward: Callable[..., Any]) -> Callable[..., Any]:
        found: Callable[..., Any] = torch.compile(
            forward, fullgraph=True, dynamic=False, backend="aot_eager"
        )
        return found

    monkeypatch.setattr("sanrcodec.encoder.part._compiled", functools.cache(compiled))
    light_field = synthetic((2, 2), (24, 32))
    target = torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(0))

    def gradients(fused: bool) -> tuple[torch.Tensor, ...]:
        model = SceneModel(make_header(light_field, PROFILES["default"], Parallax(2.0), 16))
        torch.manual_seed(0)
        model.latents.data.normal_(0, 3)
        model.weights.data.normal_(0, 0.05)
        model.fuse(fused)
        cost = model.loss(torch.tensor([0, 3]), target, straight_through, 8.0)[0]
        return torch.autograd.grad(cost, [model.latents, model.weights])

    for expected, found in zip(gradients(False), gradients(True), strict=True):
        assert (found - expected).norm() <= 1e-4 * expected.norm()
