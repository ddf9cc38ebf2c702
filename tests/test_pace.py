# SPDX-License-Identifier: MIT
"""What a fit will take, told before it begins."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import synthetic

torch = pytest.importorskip("torch")

from sanrcodec.encoder.batches import ViewBatches  # noqa: E402
from sanrcodec.encoder.clock import Clock  # noqa: E402
from sanrcodec.encoder.exposure import Exposure  # noqa: E402
from sanrcodec.encoder.model import SceneModel  # noqa: E402
from sanrcodec.encoder.pace import expected_pace  # noqa: E402
from sanrcodec.encoder.process import seed_random_numbers  # noqa: E402
from sanrcodec.encoder.schedule import DEFAULT_SCHEDULE, Phase, Schedule  # noqa: E402
from sanrcodec.encoder.steps import Steps  # noqa: E402
from sanrcodec.presets import PRESETS, PROFILES, Parallax, make_header  # noqa: E402


def test_what_is_expected_counts_less_and_less() -> None:
    clock = Clock(1000, None, DEFAULT_SCHEDULE.work, None)
    assert clock.seconds_per_work() is None
    clock = Clock(1000, None, DEFAULT_SCHEDULE.work, None)
    clock.expect(5.0, DEFAULT_SCHEDULE.work)
    assert clock.seconds_per_work() == 5.0
    found = []
    for _ in range(900):
        clock.count()  # takes no time at all
        found.append(clock.seconds_per_work())
    assert found == sorted(found, reverse=True)
    assert found[19] == pytest.approx(2.5, rel=0.05)  # as much as 2 % of the steps
    assert found[-1] < 0.2


def test_steps_are_tried_without_a_trace() -> None:
    """The pace of each size is measured, and the fit is as if nothing had been tried."""
    schedule = Schedule(phases=(Phase("half", until=0.5, level=1), *DEFAULT_SCHEDULE.phases))
    light_field = synthetic((2, 2), (40, 48))
    header = make_header(light_field, PROFILES["default"], Parallax(1.0), 16)
    found = []
    for n_steps in (60, 100):
        model = SceneModel(header)
        seed_random_numbers(torch.device("cpu"), 3)
        views = ViewBatches(light_field, np.zeros((9, 1), np.int64), torch.device("cpu"))
        run = Steps(
            model, views, PRESETS["fast"], schedule, 8, 8.0, None, Exposure(np.ones((2, 2))),
            False, None,
        )  # fmt: skip
        state = run.copies()
        assert state.keep(0)
        pace = expected_pace(run, state, schedule, n_steps)
        assert model.level == 0
        views.start(0)
        for step in range(8):
            run.advance(step / 8)
        views.close()
        found.append((pace, model.latents.detach().clone(), model.weights.detach().clone()))
    (short, *expected), (pace, *tensors) = found
    assert short is None
    assert pace is not None
    assert pace.seconds > 0
    assert pace.costs[0] == 1
    # So small steps take as long at any size where other programs run beside them.
    assert len(pace.costs) == 2
    assert pace.costs[1] > 0
    for tensor, other in zip(tensors, expected, strict=True):
        assert torch.equal(tensor, other)
        assert tensor.abs().sum() > 0


def test_whole_views_are_tried_and_taken_back() -> None:
    schedule = Schedule(phases=(Phase("half", until=0.5, level=1), *DEFAULT_SCHEDULE.phases))
    light_field = synthetic((2, 2), (24, 32))
    model = SceneModel(make_header(light_field, PROFILES["default"], Parallax(1.0), 16))
    seed_random_numbers(torch.device("cpu"), 3)
    views = ViewBatches(light_field, np.zeros((9, 1), np.int64), torch.device("cpu"))
    run = Steps(
        model, views, PRESETS["fast"], schedule, 8, 8.0, None, Exposure(np.ones((2, 2))), False,
        None,
    )  # fmt: skip
    views.start(0)
    run.advance(0.0)
    before = [tensor.clone() for tensor in run.state()]
    finest = model.latent_vector.size_down_to(1)
    assert not model.latents[finest:].any()
    with run.ahead() as go:
        go(3)
        assert model.level == 0
        assert model.latents[finest:].any()
    views.close()
    assert model.level == 1
    for tensor, kept in zip(run.state(), before, strict=True):
        assert torch.equal(tensor, kept)
