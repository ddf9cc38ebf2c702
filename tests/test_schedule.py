# SPDX-License-Identifier: MIT
"""What a fit is made of, apart from the model: schedule, optimizer, importance, views of a step."""

from __future__ import annotations

import math
from contextlib import closing

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sanrcodec.encoder.batches import ViewBatches, order_of_views  # noqa: E402
from sanrcodec.encoder.importance import ViewImportance  # noqa: E402
from sanrcodec.encoder.optimizer import Adam  # noqa: E402
from sanrcodec.encoder.schedule import (  # noqa: E402
    DEFAULT_SCHEDULE,
    SCHEDULES,
    Importance,
    Phase,
    Schedule,
)
from sanrcodec.errors import SanrError  # noqa: E402
from sanrcodec.lightfield import LightField  # noqa: E402
from sanrcodec.presets import PRESETS  # noqa: E402

SCHEDULE = Schedule(
    phases=(
        Phase("warm", until=0.5, temperature=(1.0, 0.5), noise=(0.0, 1.0)),
        Phase("cold", until=0.75, temperature=(0.5, 0.1), rate=0.3, rate_floor=0.2),
        Phase("rounded", until=1.0, temperature=None),
    ),
    guide_until=0.25,
)


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def test_stages() -> None:
    found = [SCHEDULE.stage_at(progress) for progress in (0, 0.24, 0.25, 0.5, 0.74, 0.75, 1.0)]
    assert [(stage.phase.name, stage.guided) for stage in found] == [
        ("warm", True), ("warm", True), ("warm", False), ("cold", False), ("cold", False),
        ("rounded", False), ("rounded", False),
    ]  # fmt: skip
    assert [stage.phase.latents_rest for stage in found[-3:]] == [False, True, True]
    assert not Schedule(guide_weight=0.0).stage_at(0.0).guided


def test_annealing_runs_from_start_to_end_of_a_phase() -> None:
    warm, cold, _ = SCHEDULE.phases
    for phase, progress, expected in [
        (warm, 0.0, (1.0, 0.0)), (warm, 0.25, (0.75, 0.5)), (warm, 0.5, (0.5, 1.0)),
        (cold, 0.5, (0.5, 0.8)), (cold, 0.75, (0.1, 1.0)),
    ]:  # fmt: skip
        found = SCHEDULE.annealing(phase, number(progress))
        assert tuple(map(float, found)) == pytest.approx(expected)


def test_rates_decay_from_the_start_of_a_phase_to_the_end_of_the_fit() -> None:
    warm, cold, rounded = SCHEDULE.phases
    for phase, progress, expected in [
        (warm, 0.0, 1.0), (warm, 0.5, 0.5), (cold, 0.5, 1.0), (cold, 0.75, 0.5), (cold, 0.99, 0.2),
        (rounded, 0.75, 1.0), (rounded, 1.0, 0.0),
    ]:  # fmt: skip
        assert float(SCHEDULE.decay(phase, number(progress))) == pytest.approx(expected, abs=1e-9)
    assert float(SCHEDULE.guide_share(number(0.125))) == 0.5
    assert [float(SCHEDULE.warm_up(number(n))) for n in (1, 10, 50)] == [0.05, 0.5, 1.0]


@pytest.mark.parametrize("square_decay", [0.99, 0.95])
def test_adam_is_that_of_torch(square_decay: float) -> None:
    torch.manual_seed(0)
    ours, theirs = torch.randn(50).double(), torch.nn.Parameter(torch.empty(50).double())
    theirs.data.copy_(ours)
    adam = Adam(ours, 1e-3, square_decay)
    reference = torch.optim.Adam([theirs], lr=0.1, betas=(0.9, square_decay), eps=1e-3)
    for step in range(1, 8):
        gradient = torch.randn(50).double()
        adam.step(gradient, number(0.1), number(step))
        theirs.grad = gradient
        reference.step()
    torch.testing.assert_close(ours, theirs.data)


def test_lmbda_falls_to_what_was_asked_for() -> None:
    schedule = Schedule(first_lmbda=4.0, lmbda_until=0.5)
    progress = torch.tensor([0.0, 0.25, 0.5, 0.9])
    torch.testing.assert_close(schedule.lmbda_factor(progress), torch.tensor([4.0, 2.0, 1.0, 1.0]))


def test_importance_grows_until_the_gap_is_closed() -> None:
    rule = Importance(max_gap_db=1.0, gain=0.1, maximum=4.0)
    views = ViewImportance(torch.zeros(3, dtype=torch.bool), rule, torch.device("cpu"))
    every = torch.arange(3)
    once, on, off = torch.ones(3), torch.tensor(True), torch.tensor(False)
    assert views.of(every).tolist() == pytest.approx([1, 1, 1])
    bad = torch.tensor([10.0, 10.0, 40.0])
    views.observe(bad, once, off, off)
    assert views.of(every).tolist() == pytest.approx([1, 1, 1])
    views.observe(bad, once, on, off)
    gap = 10 * math.log10(4) * 2 / 3 - 1  # of the last view, beyond the one that is allowed
    assert views.log_factor.tolist() == pytest.approx([0, 0, 0.1 * gap], abs=1e-4)
    assert float(views.of(every).mean()) == pytest.approx(1)
    for _ in range(100):
        views.observe(bad, once, on, off)
    assert views.log_factor.tolist() == pytest.approx([0, 0, math.log(4)], abs=1e-5)
    # What no step sees stays as it is.
    views.observe(torch.zeros(3), torch.zeros(3), on, off)
    assert views.mse.tolist() == pytest.approx(bad.tolist(), rel=1e-4)
    for _ in range(200):
        views.observe(torch.full((3,), 10.0), once, on, on)
    assert views.log_factor.tolist() == pytest.approx([0, 0, 0], abs=1e-5)


def test_a_view_that_nothing_helps_counts_like_the_others_again() -> None:
    rule = Importance(max_gap_db=1.0, gain=0.05, maximum=4.0, lost_gap_db=3.0)
    views = ViewImportance(torch.zeros(4, dtype=torch.bool), rule, torch.device("cpu"))
    every, once = torch.arange(4), torch.ones(4)
    on, off = torch.tensor(True), torch.tensor(False)
    errors = torch.tensor([10.0, 10.0, 20.0, 1000.0])
    views.observe(errors, once, on, on)
    assert float(views.log_factor[3]) > 0  # it has hardly been tried
    for _ in range(50):
        views.observe(errors, once, on, off)
    assert float(views.log_factor[3]) == pytest.approx(math.log(4))  # it is early
    for _ in range(50):
        views.observe(errors, once, on, on)
        assert views.of(every).tolist() == pytest.approx([1, 1, 1, 1])
    assert views.is_lost.tolist() == [0, 0, 0, 1]
    # Steps that do not see it change nothing.
    views.observe(errors * 0, once * 0, on, on)
    assert views.is_lost.tolist() == [0, 0, 0, 1]
    # Less than that below the mean it is brought up again.
    for _ in range(50):
        views.observe(torch.tensor([10.0, 10.0, 10.0, 25.0]), once, on, on)
    assert views.is_lost.tolist() == [0, 0, 0, 0]
    assert float(views.log_factor[3]) == pytest.approx(math.log(4))


def test_dead_views_have_no_importance() -> None:
    is_dead = torch.tensor([False, True, False])
    views = ViewImportance(is_dead, Importance(max_gap_db=1.0, gain=0.1), torch.device("cpu"))
    assert views.of(torch.arange(3)).tolist() == pytest.approx([1, 0, 1])
    # An error of 0 that was never measured is no good view beside which the others look bad.
    seen = (~is_dead).float()
    on = torch.tensor(True)
    views.observe(torch.tensor([10.0, 0.0, 10.0]) * seen, seen, on, on)
    assert views.log_factor.tolist() == [0, 0, 0]


def test_noisy_views_count_for_less_and_may_be_behind() -> None:
    rule = Importance(max_gap_db=1.0, gain=0.1)
    noise = torch.tensor([1.0, 1.0, 4.0, 4.0, 1.0])
    is_dead = torch.tensor([False, False, False, False, True])
    views = ViewImportance(is_dead, rule, torch.device("cpu"), noise)
    every = torch.arange(5)
    assert views.of(every).tolist() == pytest.approx([1.6, 1.6, 0.4, 0.4, 0])
    seen, on, off = (~is_dead).float(), torch.tensor(True), torch.tensor(False)
    for _ in range(5):  # as far behind as they are noisy
        views.observe(torch.tensor([10.0, 10.0, 40.0, 40.0, 0.0]), seen, on, off)
    assert views.log_factor.tolist() == pytest.approx([0, 0, 0, 0, 0], abs=1e-5)
    views.observe(torch.tensor([10.0, 10.0, 40.0, 400.0, 0.0]), seen, on, off)
    assert float(views.log_factor[3]) > 0
    assert views.log_factor[:3].tolist() == pytest.approx([0, 0, 0], abs=1e-5)


def test_every_view_has_its_turn() -> None:
    views = np.array([0, 1, 3, 4, 6, 7])
    order = order_of_views(views, 4, 30, seed=5)
    assert order.shape == (30, 4)
    for one_round in order.ravel().reshape(-1, 6):
        assert sorted(one_round) == views.tolist()
    assert (order == order_of_views(views, 4, 30, seed=5)).all()
    assert (order != order_of_views(views, 4, 30, seed=6)).any()


@pytest.mark.parametrize(("dtype", "bit_depth"), [(np.uint8, 8), (np.uint16, 16)])
def test_batches_bring_each_step_its_views(dtype: type, bit_depth: int) -> None:
    peak = (1 << bit_depth) - 1
    samples = np.random.default_rng(0).integers(0, peak + 1, (2, 3, 4, 5, 1)).astype(dtype)
    order = np.array([[5, 0], [2, 3], [1, 4]])
    views = ViewBatches(LightField(samples, bit_depth), order, torch.device("cpu"))
    with closing(views):
        views.start(2)
        for index in (order[2], order[0], order[1], order[2]):
            views.load()
            assert views.index.tolist() == index.tolist()
            expected = samples.reshape(6, 4, 5)[index] / peak
            np.testing.assert_allclose(views.targets()[:, 0].numpy(), expected, rtol=1e-6)


def test_every_preset_has_a_schedule() -> None:
    assert SCHEDULES.keys() == PRESETS.keys()


def test_views_never_become_smaller() -> None:
    whole, half = Phase("whole", until=1.0), Phase("half", until=0.5, level=1)
    for phases in [
        (Phase("whole", until=0.5), Phase("half", until=1.0, level=1)),
        (half,),
        (Phase("whole", until=0.4), half, whole),
        (Phase("rests", until=0.5, temperature=None, level=1), whole),
    ]:
        with pytest.raises(SanrError, match="levels"):
            Schedule(phases=phases)
    Schedule(phases=(half, whole))


def test_work_counts_smaller_views_by_their_pixels() -> None:
    schedule = Schedule(
        phases=(
            Phase("quarter", until=0.2, level=2),
            Phase("half", until=0.6, level=1),
            Phase("whole", until=1.0),
        )
    )
    assert schedule.work(0.0, 1.0) == pytest.approx(0.2 * 0.29**2 + 0.4 * 0.29 + 0.4)
    assert schedule.work(0.1, 0.3) == pytest.approx(0.1 * 0.29**2 + 0.1 * 0.29)
    assert schedule.work(0.7, 0.7) == 0
    assert schedule.work(0.0, 1.0, (1.0, 0.5, 0.1)) == pytest.approx(0.2 * 0.1 + 0.4 * 0.5 + 0.4)
    assert [schedule.span(level) for level in (2, 1, 0)] == [(0.0, 0.2), (0.2, 0.6), (0.6, 1.0)]
    assert DEFAULT_SCHEDULE.work(0.25, 1.0) == pytest.approx(0.75)
