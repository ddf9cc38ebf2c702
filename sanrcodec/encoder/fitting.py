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
from sanrcodec.encoder.memory import is_out_of_memory
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.pace import expected_pace
from sanrcodec.encoder.process import random_state, seed_random_numbers
from sanrcodec.encoder.schedule import DEFAULT_SCHEDULE, Schedule
from sanrcodec.encoder.steps import FitState, Steps
from sanrcodec.encoder.sweep import Geometry
from sanrcodec.errors import LightFieldError, SanrError
from sanrcodec.lightfield import LightField
from sanrcodec.presets import Preset

__all__ = ["FitProgress", "FitState", "fit"]

_logger = logging.getLogger(__name__)

# The search for the weights' steps takes as long as so many steps, and so many seconds: a GPU waits
# for its small kernels, and for graphs that are captured before.
_SEARCH_CPU, _SEARCH_CUDA = (20.0, 0.0), (20.0, 0.9)
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
            share the scene, the rate and the views of each step.
        light_field: What to fit.
        geometry: From the plane sweep, or None.
        exposure: Of the light field; by default all views are alike. Dead ones take no part, and
            keep the gain that :func:`~sanrcodec.encoder.gains.start_gains` gave them.
        preset: Rates, and views per step. The ranks share these evenly, with a few more if they do
            not divide, and one each at least: neither fewer steps nor larger batches pay off.
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
    n_pixels = int(np.prod(light_field.shape[:4]))
    exposure = exposure or Exposure(np.ones(light_field.grid))
    seen = np.flatnonzero(~exposure.is_dead)
    batch = min(-(-preset.views_per_step // ranks.size), len(seen))
    order = order_of_views(seen, batch * ranks.size, steps, seed)
    mine = order[:, ranks.rank * batch : (ranks.rank + 1) * batch]
    # All ranks draw the same noise: each computes a part of the same scene.
    seed_random_numbers(device, seed)
    with closing(ViewBatches(light_field, mine, device)) as views:
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
        search = _SEARCH_CUDA if device.type == "cuda" else _SEARCH_CPU
        clock = Clock(steps, time_budget, schedule, earlier, search)
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
        restarts = 0
        late: list[float] = []
        reported, saved, broken = clock.begun, clock.begun if state else -math.inf, ""
        views.start(clock.done)

        def report(figures: Tensor) -> None:
            searched = bool(run.coarsened)
            clock.plan(searched)
            left = clock.seconds_left(searched)
            if progress and left is not None:
                bits, log_mse = figures.tolist()
                psnr = 20 * math.log10(255) - 10 / math.log(10) * log_mse
                progress(FitProgress(clock.done, clock.planned, bits / n_pixels, psnr, left))

        if clock.done and ranks.rank == 0:
            report(run.figures)
        while True:
            stop = bool(broken) or clock.done >= clock.planned or should_stop()
            due = save is not None and (stop or time.monotonic() - saved >= save_seconds)
            if (stop or due) and ranks.rank == 0 and not broken and not good.keep(clock.done):
                broken, stop, due = _DIVERGED, True, save is not None
            if broken:
                reached, clock.done = clock.done, good.restore()
                if broken == _DIVERGED and restarts < _N_RESTARTS and ranks.size == 1:
                    restarts, broken, stop = restarts + 1, "", False
                    run.calm(_CALMER**restarts)
                    views.start(clock.done)
                    warn(
                        f"the fit diverged in step {reached}; it goes on from the state after step "
                        f"{clock.done} with {_CALMER**restarts:g} of the rates"
                    )
                    continue
                warn(
                    f"the fit ends in step {reached}: {broken}; what is kept is the state after "
                    f"step {clock.done}"
                )
            shared = ranks.follow(clock.planned, stop, due)
            planned, stop, due = int(shared[0]), bool(shared[1]), bool(shared[2])
            clock.planned = planned
            run.total.fill_(float(planned))
            if due:
                random = ranks.gather(random_state(device))
                if ranks.rank == 0 and save is not None:
                    save({
                        "planned": planned, "done": clock.done, "seconds": clock.seconds,
                        "tensors": [t.cpu() for t in run.state()], "random": random,
                    })  # fmt: skip
                saved = time.monotonic()
            if stop:
                break
            try:
                run.advance(clock.done / planned)
            except (LightFieldError, MemoryError, RuntimeError) as error:
                unread = isinstance(error, LightFieldError)
                if ranks.size > 1 or not good.done or not (unread or is_out_of_memory(error)):
                    raise
                broken = str(error) if unread else "the memory is full"
                continue
            clock.count()
            if control:
                if control.foresees(clock.done, planned):
                    control.foresee(run.ahead)
                    views.start(clock.done)
                control.look(clock.done, planned)
            # Asking a GPU for figures waits for it; a CPU's slow steps are reported as they come.
            slow = device.type == "cpu" and time.monotonic() - reported > _REPORT_SECONDS
            regular = clock.done % _LOG_EVERY == 0 or clock.done in (5, 10, planned)
            if ranks.rank or not (regular or slow):
                continue
            if not good.keep(clock.done):
                broken = _DIVERGED
                continue
            figures = run.figures.cpu()
            if not late and _is_late(schedule, clock.done / planned, _LOG_EVERY / planned):
                late = figures.tolist()
            reported = time.monotonic()
            clock.look()
            report(figures)
        if late and not control and clock.done >= clock.planned:
            per_bit = lmbda / math.prod(light_field.shape[2:4])
            costs = [
                math.exp(log_mse) + per_bit * bits for bits, log_mse in (late, run.figures.tolist())
            ]
            for line in backwards(*costs):
                warn(line)
        run.graphs.clear()
    model.set_level(0)
    return clock.done, not broken and clock.done >= clock.planned


def _is_late(schedule: Schedule, progress: float, memory: float) -> bool:
    """Whether half of a fit is done, and its figures are of whole views alone."""
    before = progress - memory
    return before >= _LATE and not schedule.stage_at(before).phase.level
