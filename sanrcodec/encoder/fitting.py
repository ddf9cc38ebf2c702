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
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from sanrcodec.encoder.batches import ViewBatches, order_of_views
from sanrcodec.encoder.clock import Clock
from sanrcodec.encoder.distributed import ALONE, Ranks
from sanrcodec.encoder.exposure import Exposure
from sanrcodec.encoder.gains import held_gains
from sanrcodec.encoder.graphs import Rounding, StepGraphs, fuse
from sanrcodec.encoder.guide import GeometryGuide
from sanrcodec.encoder.importance import ViewImportance
from sanrcodec.encoder.last_good import LastGood
from sanrcodec.encoder.memory import is_out_of_memory
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.optimizer import Adam
from sanrcodec.encoder.process import random_state, restore_random_state, seed_random_numbers
from sanrcodec.encoder.quantize import noisy_round, straight_through
from sanrcodec.encoder.schedule import DEFAULT_SCHEDULE, Schedule, Stage
from sanrcodec.encoder.sweep import Geometry
from sanrcodec.errors import LightFieldError, SanrError
from sanrcodec.lightfield import LightField
from sanrcodec.presets import Preset

__all__ = ["FitProgress", "FitState", "fit"]

_logger = logging.getLogger(__name__)

_COARSEN_STEPS = 30  # about as long takes the search for the weights' steps
_LOG_EVERY = 25  # steps
_REPORT_SECONDS = 2.0
_RANK_SEED = 0x9E3779B9  # torch's generator on the CPU looks at 32 bits only


@dataclass(frozen=True, slots=True)
class FitProgress:
    """State of a fit, for progress lines.

    Attributes:
        step, steps: Done and planned.
        bpp: Estimated bits per pixel of the file.
        psnr_yuv: Of the latest views, in dB, before rounding to samples.
        seconds_left: Estimate.
    """

    step: int
    steps: int
    bpp: float
    psnr_yuv: float
    seconds_left: float


class FitState(TypedDict):
    """Where a fit can go on.

    ``random`` has each rank's :func:`~sanrcodec.encoder.process.random_state`.
    """

    planned: int
    done: int
    seconds: float
    tensors: list[Tensor]
    random: list[list[Tensor]]


class _Steps:
    """One running fit: its tensors, and a step at every stage."""

    def __init__(
        self,
        model: SceneModel,
        views: ViewBatches,
        preset: Preset,
        schedule: Schedule,
        n_steps: int,
        lmbda: float,
        geometry: Geometry | None,
        exposure: Exposure,
        ranks: Ranks,
        fuse_first: bool,
    ) -> None:
        self.model, self.views, self.schedule, self.ranks = model, views, schedule, ranks
        self.lmbda = lmbda
        self.rates = preset.latent_rate_at(lmbda), preset.weight_rate
        header = model.header
        device = self.device = model.latents.device
        self.count = torch.zeros((), device=device)
        self.total = torch.full((), float(n_steps), device=device)
        self.figures = torch.zeros(2, device=device)  # bits, log of the squared error
        bit = lmbda / (header.height * header.width)
        self.optimizers = (
            Adam(model.latents, schedule.latent_epsilon * bit),
            Adam(model.weights, schedule.weight_epsilon),
        )
        self.guide = GeometryGuide(header, geometry) if header.layers and geometry else None
        is_dead = torch.from_numpy(exposure.is_dead.ravel())
        self.importance = ViewImportance(is_dead, schedule.importance, device)
        self.held = held_gains(model, exposure)
        self.round: Rounding = noisy_round
        self.fuse_first = fuse_first
        # Gradients of latents and weights, what the log shows, and the sum of each view's errors
        # and their number: all that the ranks average.
        n_views = len(self.importance.mse)
        sizes = [model.latents.numel(), model.weights.numel(), 2, 2 * n_views]
        self.averaged = torch.zeros(sum(sizes), device=device)
        self.parts = self.averaged.split(sizes)
        self.soundness = torch.zeros((), device=device)  # NaN as soon as a gradient is not finite
        self.coarsened = torch.zeros(())  # not on the device: asking it would wait
        self.graphs = StepGraphs(device)

    def advance(self, progress: float) -> None:
        """One optimization step."""
        stage = self.schedule.stage_at(progress)
        stage = stage._replace(guided=stage.guided and self.guide is not None)
        rests = stage.phase.latents_rest
        self.views.load()
        if rests and not self.coarsened:
            self._coarsen()
        if self.fuse_first:
            self.fuse_first = False
            noise = torch.rand_like(self.model.latents) - 0.5
            self.round = fuse(
                self.model,
                lambda round: self._probe(round, noise),
                self.schedule.compile_tolerance,
            )
        if self.ranks.size == 1:
            self.graphs.run(self._step, stage, self.state)
            return
        # Between two graphs: a collective inside one would bind all ranks to the same replays.
        self.graphs.run(self._backward, stage, self.state)
        self.ranks.average_(self.averaged[self.model.latents.numel() if rests else 0 :])
        self.graphs.run(self._update, stage, self.state)

    def _coarsen(self) -> None:
        """Coarsen the weights' steps, as soon as the latents rest; what is left adapts to them."""
        if self.schedule.coarsens:
            # The compiled parts are for steps with gradients.
            fused = self.model.fuse(False)
            views = self.views
            self.model.coarsen(views.index, views.targets(), self.lmbda, self.ranks.average_)
            self.model.fuse(fused)
        self.coarsened.fill_(1)

    def _probe(self, round: Rounding, noise: Tensor) -> tuple[Tensor, ...]:
        """Gradients of latents and weights at the current state for a given noise."""

        def quantize(x: Tensor) -> Tensor:
            return round(x, noise.new_tensor(0.2), noise)

        loss, _, _ = self.model.loss(self.views.index, self.views.targets(), quantize, self.lmbda)
        return torch.autograd.grad(loss, [o.parameter for o in self.optimizers])

    def state(self) -> list[Tensor]:
        """All that a step changes, random numbers aside."""
        latents, weights = (o.state() for o in self.optimizers)
        return [
            self.count, self.figures, latents[0], weights[0], self.coarsened,
            self.model.weight_vector.step, *self.importance.state(), *latents[1:], *weights[1:],
        ]  # fmt: skip

    def copies(self) -> LastGood:
        """Keeper of copies of the state."""
        watched = [tensor for optimizer in self.optimizers for tensor in optimizer.state()]
        return LastGood(self.state(), [self.soundness, *watched])

    def resume(self, state: FitState) -> None:
        """Go on where another process was."""
        if [t.shape for t in state["tensors"]] != [t.shape for t in self.state()]:
            raise SanrError("the checkpoint is of another scene model; remove it to begin anew")
        try:
            for tensor, kept in zip(self.state(), state["tensors"], strict=True):
                tensor.copy_(kept)
            restore_random_state(self.device, state["random"][self.ranks.rank])
        except (RuntimeError, TypeError):  # numbers of another kind
            raise SanrError("the checkpoint's state is damaged; remove it to begin anew") from None

    def _step(self, stage: Stage) -> None:
        self._backward(stage)
        self._update(stage)

    def _backward(self, stage: Stage) -> None:
        """Gradients and figures of this rank's views."""
        schedule, phase, index = self.schedule, stage.phase, self.views.index
        progress = (self.count / self.total).clamp(max=1.0)
        if phase.latents_rest:
            quantize = straight_through
        else:
            temperature, width = schedule.annealing(phase, progress)

            def quantize(x: Tensor) -> Tensor:
                return self.round(x, temperature, width * (torch.rand_like(x) - 0.5))

        color_weight = None
        if stage.colored:
            color_weight = schedule.color_weight * schedule.color_share(progress)
        loss, figures, scene = self.model.loss(
            index, self.views.targets(), quantize, self.lmbda, self.importance.of(index),
            color_weight,
        )  # fmt: skip
        if stage.guided:
            assert self.guide is not None
            guide = schedule.guide_weight * self.guide(scene)
            loss = loss + guide * schedule.guide_share(progress)
        optimizers = self.optimizers[1:] if phase.latents_rest else self.optimizers
        gradients = torch.autograd.grad(loss, [o.parameter for o in optimizers])
        if self.held is not None:
            gradients[-1].masked_fill_(self.held, 0.0)
        errors = torch.stack([figures["view_mse"], torch.ones_like(figures["view_mse"])])
        errors = errors.new_zeros(2, len(self.importance.mse)).index_add(1, index, errors)
        shown = torch.stack([figures["bits"], figures["mse"].log()])
        parts = self.parts[1:] if phase.latents_rest else self.parts
        for part, values in zip(parts, (*gradients, shown, errors.flatten()), strict=True):
            part.copy_(values)

    def _update(self, stage: Stage) -> None:
        """One step of the optimizers along the averaged gradients."""
        schedule, phase = self.schedule, stage.phase
        progress = (self.count / self.total).clamp(max=1.0)
        *gradients, figures, errors = self.parts
        for gradient in gradients:
            # Parameters stay finite in any case: others become indices, on which kernels crash.
            self.soundness.add_(gradient.sum() * 0)
            gradient.nan_to_num_(0.0, 0.0, 0.0)
        self.count += 1
        decay, warm = schedule.decay(phase, progress), schedule.warm_up(self.count)
        first = int(phase.latents_rest)
        for optimizer, gradient, rate in zip(
            self.optimizers[first:], gradients[first:], self.rates[first:], strict=True
        ):
            optimizer.step(gradient, rate * phase.rate * decay * warm, self.count)
        total, times = errors.view(2, -1)
        self.importance.observe(total, times, progress >= schedule.guide_until)
        self.figures.lerp_(figures, 0.1)
        self.figures.add_((self.count <= 1).float() * (figures - self.figures))


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
    progress: Callable[[FitProgress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    ranks: Ranks = ALONE,
    state: FitState | None = None,
    save: Callable[[FitState], None] | None = None,
    save_seconds: float = 60.0,
) -> tuple[int, bool]:
    """Fit a model in place.

    Draws from the default generators of the CPU and of the model's device, which it seeds.

    Args:
        model: From its initial state; the same on all ranks, and again afterwards, but that each
            estimates the rate of its own share of the latents.
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
        progress: Called every few steps, on rank 0.
        should_stop: Polled every step, of rank 0; True ends the fit early with the state reached.
            A fit that diverges, whose memory ends or whose views cannot be read any more ends early
            too, with its last good state.
        ranks: The processes that share the views of each step.
        state: Where to go on, as given to ``save``.
        save: Called on rank 0 with the state before the first step, now and then, and at the end.
        save_seconds: Between two such calls, about.

    Returns:
        Steps done, and whether these are all that were planned.

    Raises:
        SanrError: the state is of another model, or not all of its numbers are finite.
    """
    device = model.latents.device
    n_pixels = int(np.prod(light_field.shape[:4]))
    exposure = exposure or Exposure(np.ones(light_field.grid))
    seen = np.flatnonzero(~exposure.is_dead)
    batch = min(-(-preset.views_per_step // ranks.size), len(seen))
    order = order_of_views(seen, batch * ranks.size, steps, seed)
    mine = order[:, ranks.rank * batch : (ranks.rank + 1) * batch]
    # Each rank draws noise of its own, so that their average is less noisy.
    seed_random_numbers(device, (seed + ranks.rank * _RANK_SEED) % 2**63)
    with closing(ViewBatches(light_field, mine, device)) as views:
        fuse_first = device.type == "cuda" and schedule.compiles(steps, time_budget)
        run = _Steps(
            model, views, preset, schedule, steps, lmbda, geometry, exposure, ranks, fuse_first
        )
        earlier = (state["planned"], state["done"], state["seconds"]) if state else None
        clock = Clock(steps, time_budget, earlier)
        if state:
            run.resume(state)
        good = run.copies()
        if not good.keep(clock.done):
            raise SanrError(
                "the checkpoint has values that are not finite; remove it to begin anew"
            )
        reported, saved, broken = clock.begun, clock.begun if state else -math.inf, ""
        views.start(clock.done)

        def report(figures: Tensor, per_step: float) -> None:
            if progress:
                bits, log_mse = figures.tolist()
                psnr = 20 * math.log10(255) - 10 / math.log(10) * log_mse
                left = (clock.planned - clock.done) * per_step
                progress(FitProgress(clock.done, clock.planned, bits / n_pixels, psnr, left))

        if clock.done and ranks.rank == 0:
            report(run.figures, clock.spent / clock.done)
        while True:
            stop = bool(broken) or clock.done >= clock.planned or should_stop()
            due = save is not None and (stop or time.monotonic() - saved >= save_seconds)
            if (stop or due) and ranks.rank == 0 and not broken and not good.keep(clock.done):
                broken, stop, due = "it diverged", True, save is not None
            if broken:
                reached, clock.done = clock.done, good.restore()
                _logger.warning(
                    "the fit ends in step %d: %s; what is kept is the state after step %d",
                    reached, broken, clock.done,
                )  # fmt: skip
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
            clock.done += 1
            # Asking a GPU for figures waits for it; a CPU's slow steps are reported as they come.
            slow = device.type == "cpu" and time.monotonic() - reported > _REPORT_SECONDS
            regular = clock.done % _LOG_EVERY == 0 or clock.done in (5, 10, planned)
            if ranks.rank or not (regular or slow):
                continue
            if not good.keep(clock.done):
                broken = "it diverged"
                continue
            figures = run.figures.cpu()
            reported = time.monotonic()
            per_step = clock.seconds_per_step()
            if per_step is None:
                continue
            clock.plan(per_step, 0 if run.coarsened else _COARSEN_STEPS)
            report(figures, per_step)
    model.fuse(False)
    return clock.done, not broken and clock.done >= clock.planned
