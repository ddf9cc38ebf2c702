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

HALVES = Schedule(phases=(Phase("half", until=0.5, level=1), *DEFAULT_SCHEDULE.phases))


class Watch:
    """A clock that only steps move on: what a loaded machine does has no effect."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 5.0
        monkeypatch.setattr("sanrcodec.encoder.clock.monotonic", lambda: self.now)

    def told(self, clock: Clock, seconds: tuple[float, float]) -> list[tuple[float, float]]:
        """What is told to be left in a fit of so many seconds a step, and what really is."""
        moments = []
        for step in range(1000):
            self.now += seconds[0] if step >= 500 else seconds[1]
            clock.count()
            if step % 25 == 24:
                clock.look()
                moments.append((clock.seconds_left(True) or 0.0, self.now))
        return [(left, self.now - moment) for left, moment in moments]


def test_time_left_is_steady_from_the_first_step_on(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(monkeypatch)
    clock = Clock(1000, None, HALVES, None, search=(30.0, 7.0))
    clock.expect((2.0, 0.5))
    assert clock.seconds_left(True) == pytest.approx(1250)
    assert clock.seconds_left(False) == pytest.approx(1317)
    for left, true in watch.told(clock, (2.0, 0.5)):
        assert left == pytest.approx(true)


def test_small_steps_that_were_misjudged_say_little_of_whole_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = Watch(monkeypatch)
    clock = Clock(1000, None, HALVES, None)
    clock.expect((2.0, 1.0))
    told = watch.told(clock, (2.0, 0.5))
    assert told[3][1] > 1150
    for left, true in told:
        assert left == pytest.approx(true, rel=0.35)
    assert told[-1] == (0.0, 0.0)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_what_is_expected_counts_less_and_less(
    monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    watch = Watch(monkeypatch)
    clock = Clock(1000, None, DEFAULT_SCHEDULE, None)
    clock.expect((3.0,))
    ratios = [left / true for left, true in watch.told(clock, (3.0 * factor, 3.0 * factor))[:-1]]
    assert ratios == sorted(ratios, reverse=factor < 1)
    assert ratios[10] == pytest.approx(1, abs=0.05)


def test_nothing_is_told_before_something_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(monkeypatch)
    clock = Clock(1000, None, HALVES, None)
    assert clock.seconds_left(True) is None
    told = watch.told(clock, (2.0, 0.58))
    # The first steps are not timed. Those of whole views are reckoned from their pixels.
    assert told[0][0] == 0
    for left, true in told[2:]:
        assert left == pytest.approx(true, rel=0.01)


def test_a_fit_that_is_over_before_anything_is_known_has_no_time_left() -> None:
    clock = Clock(3, None, DEFAULT_SCHEDULE, None)
    for left in (None, None, 0.0):
        clock.count()
        assert clock.seconds_left(True) == left


def test_a_fit_goes_on_at_the_pace_of_earlier_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    Watch(monkeypatch)
    clock = Clock(1000, None, DEFAULT_SCHEDULE, (1000, 250, 500.0))
    assert clock.seconds_left(True) == pytest.approx(1500)
    assert clock.seconds == 500


def test_a_budget_is_shared_by_steps_of_different_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(monkeypatch)
    clock = Clock(1000, 100.0, HALVES, None, search=(10.0, 10.0))
    clock.plan(False)
    assert clock.planned == 1000  # nothing is known
    clock.expect((1.0, 0.25))
    clock.plan(False)
    assert clock.planned == 128
    for _ in range(50):
        watch.now += 0.25
        clock.count()
    assert clock.seconds == 12.5
    clock.plan(False)
    assert clock.planned == 128
    clock.plan(True)
    assert clock.planned == 128  # though there is time for more
    watch.now += 24.0
    clock.plan(False)
    assert 90 < clock.planned < 128


def test_a_fit_without_time_has_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    Watch(monkeypatch)
    clock = Clock(1000, 1e-9, DEFAULT_SCHEDULE, None)
    clock.expect((1.0,))
    clock.plan(False)
    assert clock.planned == 1


def test_steps_are_tried_without_a_trace() -> None:
    """The pace of each size is measured, and the fit is as if nothing had been tried."""
    light_field = synthetic((2, 2), (40, 48))
    header = make_header(light_field, PROFILES["default"], Parallax(1.0), 16)
    found = []
    for n_steps in (60, 100):
        model = SceneModel(header)
        seed_random_numbers(torch.device("cpu"), 3)
        views = ViewBatches(light_field, np.zeros((9, 1), np.int64), torch.device("cpu"))
        run = Steps(
            model, views, PRESETS["fast"], HALVES, 8, 8.0, None, Exposure(np.ones((2, 2))), None,
        )  # fmt: skip
        state = run.copies()
        assert state.keep(0)
        pace = expected_pace(run, state, HALVES, n_steps)
        assert model.level == 0
        views.start(0)
        for step in range(8):
            run.advance(step / 8)
        views.close()
        found.append((pace, model.latents.detach().clone(), model.weights.detach().clone()))
    (short, *expected), (pace, *tensors) = found
    assert short is None
    assert pace is not None
    # So small steps take as long at any size where other programs run beside them.
    assert len(pace) == 2
    assert min(pace) > 0
    for tensor, other in zip(tensors, expected, strict=True):
        assert torch.equal(tensor, other)
        assert tensor.abs().sum() > 0


def test_whole_views_are_tried_and_taken_back() -> None:
    light_field = synthetic((2, 2), (24, 32))
    model = SceneModel(make_header(light_field, PROFILES["default"], Parallax(1.0), 16))
    seed_random_numbers(torch.device("cpu"), 3)
    views = ViewBatches(light_field, np.zeros((9, 1), np.int64), torch.device("cpu"))
    run = Steps(
        model, views, PRESETS["fast"], HALVES, 8, 8.0, None, Exposure(np.ones((2, 2))), None,
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
