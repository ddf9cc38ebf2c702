# SPDX-License-Identifier: MIT
"""The fit: rate-distortion optimization of a scene model to one light field.

Noisy rounding at a falling temperature (C3, Kim et al., CVPR 2024), with the swept disparity as a
guide at first; then the latents are rounded and only the networks go on. The numbers are those of
a :class:`~sanrcodec.encoder.schedule.Schedule`. Must not know of files or of the bitstream.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from sanrcodec.encoder.batches import ViewBatches, order_of_views
from sanrcodec.encoder.clock import Clock
from sanrcodec.encoder.control import RateControl
from sanrcodec.encoder.exposure import Exposure
from sanrcodec.encoder.faults import backwards
from sanrcodec.encoder.last_good import LastGood
from sanrcodec.encoder.memory import is_out_of_memory
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.pace import expected_pace
from sanrcodec.encoder.probe import Probe
from sanrcodec.encoder.process import random_state, seed_random_numbers
from sanrcodec.encoder.schedule import DEFAULT_SCHEDULE, Schedule
from sanrcodec.encoder.steps import FitState, Steps
from sanrcodec.encoder.sweep import Geometry
from sanrcodec.encoder.weight_moves import move_weights
from sanrcodec.errors import LightFieldError, SanrError
from sanrcodec.lightfield import LightField
from sanrcodec.presets import Preset

__all__ = ["FitProgress", "FitState", "fit"]

_logger = logging.getLogger(__name__)

# The search for the weights' steps takes as long as so many steps, and so many seconds: a GPU waits
# for its small kernels, and for graphs that are captured before.
_SEARCH_CPU, _SEARCH_CUDA = (16.0, 0.0), (20.0, 0.9)
# Moves of single weights that are tried after so many steps, by so many views, and what these tries
# take, in steps of whole views for each step of the fit.
_STEPS_PER_MOVE = 40
_VIEWS_CPU, _VIEWS_CUDA = 4, 16
_MOVES_CPU, _MOVES_CUDA = 0.04, 0.06
_LOG_EVERY = 25  # steps
_REPORT_SECONDS = 2.0
_TRIED_FROM_SECONDS = 30.0  # of the budget: trying steps takes several of them
_LATE = 0.5  # progress; what comes after must not make it worse
_DIVERGED = "it diverged"
_N_RESTARTS, _CALMER = 2, 0.5  # after a divergence, and the factor of the rates each time


@dataclass(frozen=True, slots=True)
class FitProgress:
    """State of a fit, for progress lines.

    Attributes:
        step, steps: Done and planned.
        bpp: Estimated bits per pixel of the file.
        psnr_yuv: Of the latest views, at the size that the phase works on, in dB, before rounding
            to samples.
        seconds_left: Estimate.
    """

    step: int
    steps: int
    bpp: float
    psnr_yuv: float
    seconds_left: float


def fit(
    model: SceneModel,
    light_field: LightField,
    geometry: Geometry | None,
    preset: Preset,
    *,
    exposure: Exposure | None = None,
    lmbda: float,
    steps: int,
    schedule: Schedule = DEFAULT_SCHEDULE,
    time_budget: float | None = None,
    seed: int = 0,
    on_estimate: Callable[[int, float], None] = lambda steps, seconds: None,
    progress: Callable[[FitProgress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    control: RateControl | None = None,
    state: FitState | None = None,
    save: Callable[[FitState], None] | None = None,
    save_seconds: float = 60.0,
    warn: Callable[[str], None] = _logger.warning,
) -> tuple[int, bool]:
    """Fit a model in place.

    Draws from the default generators of the CPU and of the model's device, which it seeds.

    Args:
        model: From its initial state; the same on all of its ranks, and again afterwards. They
            share the rows of the views of each step, and its rate.
        light_field: What to fit.
        geometry: From the plane sweep, or None.
        exposure: Of the light field; by default all views are alike. Dead ones take no part, and
            keep the gain that :func:`~sanrcodec.encoder.gains.start_gains` gave them.
        preset: Rates, and views per step, which are the same for any number of ranks: neither
            fewer steps nor larger batches pay off.
        lmbda: Weight of the rate in ``D + lmbda * R``.
        steps: Planned steps.
        schedule: What happens when.
        time_budget: Seconds after which the fit must be over, those before ``state`` included; the
            schedule shrinks to fit it.
        seed: Of the order of views and of the noise.
        on_estimate: Called before the first step, on rank 0, with the steps that are planned and
            the seconds that they will take; not for a fit that is short.
        progress: Called every few steps, on rank 0.
        should_stop: Polled every step, of rank 0; True ends the fit early with the state reached.
            A fit whose memory ends or whose views cannot be read any more ends early too, with its
            last good state. One that diverges goes on from there at half the rates, at most twice.
        control: Adapts ``lmbda``, which is where it starts, to a target.
        state: Where to go on, as given to ``save``.
        save: Called on rank 0 with the state before the first step, now and then, and at the end.
        save_seconds: Between two such calls, about.
        warn: Called with a line about what goes wrong.

    Returns:
        Steps done, and whether these are all that were planned.

    Raises:
        SanrError: the state is of another model, or not all of its numbers are finite.
    """
    device, ranks = model.latents.device, model.ranks
    exposure = exposure or Exposure(np.ones(light_field.grid))
    seen = np.flatnonzero(~exposure.is_dead)
    order = order_of_views(seen, min(preset.views_per_step, len(seen)), steps, seed)
    # All ranks draw the same noise: each computes a part of the same scene.
    seed_random_numbers(device, seed)
    with closing(ViewBatches(light_field, order, device, model.rows)) as views:
        run = Steps(
            model,
            views,
            preset,
            schedule,
            steps,
            lmbda,
            geometry,
            exposure,
            control,
        )
        earlier = (state["planned"], state["done"], state["seconds"]) if state else None
        on_gpu = device.type == "cuda"
        search, moves = (_SEARCH_CUDA, _MOVES_CUDA) if on_gpu else (_SEARCH_CPU, _MOVES_CPU)
        clock = Clock(steps, time_budget, schedule, earlier, search, moves)
        if state:
            run.resume(state)
        good = run.copies()
        if not good.keep(clock.done):
            raise SanrError(
                "the checkpoint has values that are not finite; remove it to begin anew"
            )
        has_time = time_budget is None or time_budget >= _TRIED_FROM_SECONDS
        if has_time and (pace := expected_pace(run, good, schedule, steps)):
            clock.expect(pace)
            if ranks.rank == 0:
                clock.plan(searched=False)
                on_estimate(clock.planned, clock.seconds_left(searched=False) or 0.0)
        caller = _Caller(progress, should_stop, save, save_seconds, warn)
        running = _Fit(run, clock, good, caller, saved=clock.begun if state else -math.inf)
        finished = running.go()
        if not control:
            running.warn_if_backwards(lmbda)
        run.graphs.clear()
    model.set_level(0)
    if finished and schedule.coarsens:
        _move_weights(run, light_field, exposure, clock.done, should_stop, warn)
    return clock.done, finished


def _move_weights(
    run: Steps,
    light_field: LightField,
    exposure: Exposure,
    done: int,
    should_stop: Callable[[], bool],
    warn: Callable[[str], None],
) -> None:
    """Move single weights after the last step, if there is anything to see and memory for it."""
    model, n_tries = run.model, done // _STEPS_PER_MOVE
    n_views = _VIEWS_CUDA if run.device.type == "cuda" else _VIEWS_CPU
    if not n_tries:
        return
    try:
        move_weights(
            model,
            Probe(model, light_field, n_views, exposure),
            run.control.reached if run.control else run.lmbda,
            n_tries=n_tries,
            views_at_once=run.preset.views_per_step,
            importance=run.importance.of,
            held=run.held,
            should_stop=should_stop,
        )
    except (LightFieldError, MemoryError, RuntimeError) as error:
        unread = isinstance(error, LightFieldError)
        if model.ranks.size > 1 or not (unread or is_out_of_memory(error)):
            raise
        reason = error if unread else "the memory is full"
        warn(f"no single weights are moved after the fit: {reason}")


@dataclass(frozen=True, slots=True)
class _Caller:
    """What the caller of :func:`fit` is asked for, and told."""

    progress: Callable[[FitProgress], None] | None
    should_stop: Callable[[], bool]
    save: Callable[[FitState], None] | None
    save_seconds: float
    warn: Callable[[str], None]


class _Fit:
    """What happens between the steps of a fit: it is kept, saved, told, ended or begun anew.

    Args:
        run: Its steps.
        clock: Their number and time.
        good: A copy of the state from which it begins.
        caller: Asked and told on rank 0, whom the other ranks follow.
        saved: When its state was saved, on the monotonic clock in seconds.
    """

    def __init__(
        self, run: Steps, clock: Clock, good: LastGood, caller: _Caller, saved: float
    ) -> None:
        self._run, self._clock, self._good, self._caller = run, clock, good, caller
        self._ranks = run.model.ranks
        self._reported, self._saved = clock.begun, saved
        self._broken = ""  # why it cannot go on
        self._restarts = 0
        self._late: list[float] = []  # figures of a progress that the end must not be worse than

    def go(self) -> bool:
        """Make the steps that are planned; tells whether all of them were made."""
        clock = self._clock
        self._run.views.start(clock.done)
        if clock.done and self._ranks.rank == 0:
            self._report(self._run.figures)
        while True:
            stop, due = self._wishes()
            if self._broken and self._goes_back():
                continue
            if self._agree(stop, due):
                break
            if self._step():
                self._look()
        return not self._broken and clock.done >= clock.planned

    def warn_if_backwards(self, lmbda: float) -> None:
        """Warn of a cost that rose in the second half of a fit that was finished.

        Args:
            lmbda: Weight of the rate, which was the same in all of it.
        """
        if not self._late or self._clock.done < self._clock.planned:
            return
        header = self._run.model.header
        per_bit = lmbda / (header.height * header.width)
        late, end = (
            math.exp(log_mse) + per_bit * bits
            for bits, log_mse in (self._late, self._run.figures.tolist())
        )
        for line in backwards(late, end):
            self._caller.warn(line)

    def _wishes(self) -> tuple[bool, bool]:
        """Whether the fit is to end, and whether its state is to be saved, of this rank alone."""
        clock, caller = self._clock, self._caller
        stop = bool(self._broken) or clock.done >= clock.planned or caller.should_stop()
        may_save = caller.save is not None
        due = may_save and (stop or time.monotonic() - self._saved >= caller.save_seconds)
        is_asked = (stop or due) and self._ranks.rank == 0 and not self._broken
        if is_asked and not self._good.keep(clock.done):
            self._broken = _DIVERGED
            return True, may_save
        return stop, due

    def _goes_back(self) -> bool:
        """Return to the last good state; tells whether the fit goes on from there."""
        clock = self._clock
        reached, clock.done = clock.done, self._good.restore()
        if self._broken == _DIVERGED and self._restarts < _N_RESTARTS and self._ranks.size == 1:
            self._restarts, self._broken = self._restarts + 1, ""
            rates = _CALMER**self._restarts
            self._run.calm(rates)
            self._run.views.start(clock.done)
            self._caller.warn(
                f"the fit diverged in step {reached}; it goes on from the state after step "
                f"{clock.done} with {rates:g} of the rates"
            )
            return True
        self._caller.warn(
            f"the fit ends in step {reached}: {self._broken}; what is kept is the state after "
            f"step {clock.done}"
        )
        return False

    def _agree(self, stop: bool, due: bool) -> bool:
        """Do as rank 0 wishes: plan its steps, save the state; tells whether it ends the fit."""
        shared = self._ranks.follow(self._clock.planned, stop, due)
        self._clock.planned, stop, due = int(shared[0]), bool(shared[1]), bool(shared[2])
        self._run.total.fill_(float(self._clock.planned))
        if due:
            self._save()
        return stop

    def _save(self) -> None:
        clock, save = self._clock, self._caller.save
        random = self._ranks.gather(random_state(self._run.device))
        if self._ranks.rank == 0 and save is not None:
            save({
                "planned": clock.planned, "done": clock.done, "seconds": clock.seconds,
                "tensors": [t.cpu() for t in self._run.state()], "random": random,
            })  # fmt: skip
        self._saved = time.monotonic()

    def _step(self) -> bool:
        """Make a step; tells whether that went well."""
        run, clock = self._run, self._clock
        try:
            run.advance(clock.done / clock.planned)
        except (LightFieldError, MemoryError, RuntimeError) as error:
            unread = isinstance(error, LightFieldError)
            has_copy = self._ranks.size == 1 and self._good.done
            if not has_copy or not (unread or is_out_of_memory(error)):
                raise
            self._broken = str(error) if unread else "the memory is full"
            return False
        clock.count()
        if run.control:
            if run.control.foresees(clock.done, clock.planned):
                run.control.foresee(run.ahead)
                run.views.start(clock.done)
            run.control.look(clock.done, clock.planned)
        return True

    def _look(self) -> None:
        """Report now and then, and notice a divergence."""
        run, clock = self._run, self._clock
        # Asking a GPU for figures waits for it; a CPU's slow steps are reported as they come.
        slow = run.device.type == "cpu" and time.monotonic() - self._reported > _REPORT_SECONDS
        regular = clock.done % _LOG_EVERY == 0 or clock.done in (5, 10, clock.planned)
        if self._ranks.rank or not (regular or slow):
            return
        if not self._good.keep(clock.done):
            self._broken = _DIVERGED
            return
        figures = run.figures.cpu()
        progress, memory = clock.done / clock.planned, _LOG_EVERY / clock.planned
        if not self._late and _is_late(run.schedule, progress, memory):
            self._late = figures.tolist()
        self._reported = time.monotonic()
        clock.look()
        self._report(figures)

    def _report(self, figures: Tensor) -> None:
        """Plan by the time that is left, and tell how far the fit is.

        Args:
            figures: float32 ``[2]``: bits of the file, log of the mean squared error.
        """
        clock, header = self._clock, self._run.model.header
        searched = bool(self._run.coarsened)
        clock.plan(searched)
        left = clock.seconds_left(searched)
        if self._caller.progress and left is not None:
            bits, log_mse = figures.tolist()
            bpp = bits / (header.n_v * header.n_u * header.height * header.width)
            psnr = 20 * math.log10(255) - 10 / math.log(10) * log_mse
            self._caller.progress(FitProgress(clock.done, clock.planned, bpp, psnr, left))


def _is_late(schedule: Schedule, progress: float, memory: float) -> bool:
    """Whether half of a fit is done, and its figures are of whole views alone."""
    before = progress - memory
    return before >= _LATE and not schedule.stage_at(before).phase.level
