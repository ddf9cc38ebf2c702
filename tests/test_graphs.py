# SPDX-License-Identifier: MIT
"""When parts of a step are captured and dropped: without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from sanrcodec.encoder import graphs  # noqa: E402
from sanrcodec.encoder.schedule import Phase, Stage  # noqa: E402

SOFT, ROUNDED = Stage(Phase("soft", 0.9), False), Stage(Phase("rounded", 1.0, None), False)


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
