# SPDX-License-Identifier: MIT
"""One running fit: its tensors, and an optimization step at every stage of it.

Must not know of time, checkpoints or files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypedDict

import torch
from torch import Tensor

from sanrcodec.encoder.batches import ViewBatches
from sanrcodec.encoder.control import RateControl
from sanrcodec.encoder.exposure import Exposure
from sanrcodec.encoder.gains import held_gains
from sanrcodec.encoder.graphs import StepGraphs
from sanrcodec.encoder.guide import GeometryGuide
from sanrcodec.encoder.importance import ViewImportance
from sanrcodec.encoder.last_good import LastGood
from sanrcodec.encoder.model import Quantizer, SceneModel
from sanrcodec.encoder.optimizer import Adam
from sanrcodec.encoder.process import restore_random_state
from sanrcodec.encoder.quantize import noisy_round
from sanrcodec.encoder.schedule import Schedule, Stage
from sanrcodec.encoder.sweep import Geometry
from sanrcodec.errors import SanrError
from sanrcodec.presets import Preset

__all__ = ["FitState", "Steps"]


class FitState(TypedDict):
    """Where a fit can go on.

    ``random`` has each rank's :func:`~sanrcodec.encoder.process.random_state`.
    """

    planned: int
    done: int
    seconds: float
    tensors: list[Tensor]
    random: list[list[Tensor]]


class Steps:
    """One running fit: its tensors, and a step at every stage.

    Args:
        model: That is fitted, in place.
        views: This rank's rows of them, in the order of the steps.
        preset: Rates.
        schedule: What happens when.
        n_steps: Planned; the owner keeps ``total`` at what is planned later.
        lmbda: Weight of the rate; where a control starts from.
        geometry: From the plane sweep, or None.
        exposure: Of the light field.
        control: Whose lmbda is followed, if there is one.

    Attributes:
        count, total: float32 ``[]`` on the model's device, steps done and planned.
        figures: float32 ``[2]``, running means of the bits of the file and of the log of the mean
            squared error.
        coarsened: ``[]`` on the CPU, 1 once the weights' steps have been searched.
    """

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
        control: RateControl | None,
    ) -> None:
        self.model, self.views, self.schedule = model, views, schedule
        self.control = control
        self.lmbda: float | Tensor = control.lmbda if control else lmbda
        self.preset = preset
        self.rates = preset.latent_rate_at(lmbda), preset.weight_rate
        header = model.header
        device = self.device = model.latents.device
        self.count = torch.zeros((), device=device)
        self.total = torch.full((), float(n_steps), device=device)
        self.figures = torch.zeros(2, device=device)  # bits, log of the squared error
        self.optimizers = (
            Adam(model.latents, self._latent_epsilon(), preset.square_decay),
            Adam(model.weights, schedule.weight_epsilon, preset.square_decay),
        )
        self.geometry = geometry if header.layers else None
        self.guide = self._guide()
        is_dead = torch.from_numpy(exposure.is_dead.ravel())
        noise = torch.from_numpy(exposure.excess_noise.ravel())
        self.importance = ViewImportance(is_dead, schedule.importance, device, noise)
        self.held = held_gains(model, exposure)
        # Gradients of latents and weights, what the log shows, and the sum of each view's errors
        # and their number: all that the ranks average.
        n_views = len(self.importance.mse)
        sizes = [model.latents.numel(), model.weights.numel(), 2, 2 * n_views]
        self.averaged = torch.zeros(sum(sizes), device=device)
        self.parts = self.averaged.split(sizes)
        self.gradients = self.averaged[: sum(sizes[:2])]
        self.damping = torch.ones((), device=device)  # factor of the rates
        self.soundness = torch.zeros((), device=device)  # NaN as soon as a gradient is not finite
        self.coarsened = torch.zeros(())  # not on the device: asking it would wait
        self.graphs = StepGraphs(device)

    def advance(self, progress: float) -> None:
        """One optimization step."""
        stage = self.schedule.stage_at(progress)
        stage = stage._replace(guided=stage.guided and self.guide is not None)
        if stage.phase.level != self.model.level:
            self.model.set_level(stage.phase.level)
            self.guide = self._guide()
        self.views.load()
        if stage.phase.latents_rest and not self.coarsened:
            self._coarsen()
        # Its collectives are captured, too: all ranks are at the same stage.
        self.graphs.run(self._step, stage, self.state)

    def attempt(self, level: int) -> None:
        """One step at a level, on whatever views are loaded, and wait for it; changes the state."""
        phase = next(phase for phase in self.schedule.phases if phase.level == level)
        if level != self.model.level:
            self.model.set_level(level)
        self._step(Stage(phase, guided=False))
        self.figures.tolist()

    @contextmanager
    def ahead(self) -> Iterator[Callable[[int], None]]:
        """Try the first steps of whole views; afterwards all is as before.

        Gives what does so many of them. They load views: those of the next step must be asked for
        anew.
        """
        kept, level = self.copies(), self.model.level
        kept.keep(0)
        begin, _ = self.schedule.span(0)
        self.count.copy_(begin * self.total)
        self.model.set_level(0)
        stage = Stage(self.schedule.stage_at(begin).phase, guided=False)

        def go(n_steps: int) -> None:
            for _ in range(n_steps):
                self.views.load()
                self._step(stage)

        try:
            yield go
        finally:
            kept.restore()
            self.model.set_level(level)

    def _guide(self) -> GeometryGuide | None:
        if self.geometry is None:
            return None
        return GeometryGuide(self.model.band, self.geometry)

    def _coarsen(self) -> None:
        """Coarsen the weights' steps, as soon as the latents rest; what is left adapts to them."""
        if self.schedule.coarsens:
            views = self.views
            self.model.coarsen(views.index, views.targets(), self.lmbda)
            if self.control:
                self.control.rest()
        self.coarsened.fill_(1)

    def state(self) -> list[Tensor]:
        """All that a step changes, random numbers aside."""
        latents, weights = (o.state() for o in self.optimizers)
        return [
            self.count, self.figures, latents[0], weights[0], self.coarsened, self.damping,
            self.model.weight_vector.step, *self.importance.state(), *latents[1:], *weights[1:],
            *(self.control.state() if self.control else []),
        ]  # fmt: skip

    def copies(self) -> LastGood:
        """Keeper of copies of the state."""
        watched = [tensor for optimizer in self.optimizers for tensor in optimizer.state()]
        return LastGood(self.state(), [self.soundness, *watched])

    def calm(self, factor: float) -> None:
        """Lower the rates, after a divergence and the return to a state before it."""
        self.damping.fill_(factor)
        self.soundness.zero_()

    def resume(self, state: FitState) -> None:
        """Go on where another process was."""
        if [t.shape for t in state["tensors"]] != [t.shape for t in self.state()]:
            raise SanrError("the checkpoint is of another scene model; remove it to begin anew")
        try:
            for tensor, kept in zip(self.state(), state["tensors"], strict=True):
                tensor.copy_(kept)
            restore_random_state(self.device, state["random"][self.model.ranks.rank])
        except (RuntimeError, TypeError):  # numbers of another kind
            raise SanrError("the checkpoint's state is damaged; remove it to begin anew") from None

    def _latent_epsilon(self) -> float | Tensor:
        header = self.model.header
        return self.schedule.latent_epsilon * (self.lmbda / (header.height * header.width))

    def _step(self, stage: Stage) -> None:
        progress = (self.count / self.total).clamp(max=1.0)
        self._backward(stage, progress)
        self.model.ranks.average_(self.averaged[self._n_resting(stage) :])
        self._update(stage, progress)

    def _n_resting(self, stage: Stage) -> int:
        """Number of the latents whose gradients no step of a stage has: none, or all of them."""
        return self.model.latents.numel() if stage.phase.latents_rest else 0

    def _backward(self, stage: Stage, progress: Tensor) -> None:
        """This rank's share of the gradients and of the bits, and the errors of all views."""
        schedule, phase, index = self.schedule, stage.phase, self.views.index
        quantize: Quantizer = _resting
        if not phase.latents_rest:
            temperature, width = schedule.annealing(phase, progress)
            quantize = partial(noisy_round, temperature=temperature, width=width)
        color_weight = None
        if stage.colored:
            color_weight = schedule.color_weight * schedule.color_share(progress)
        loss, figures, scene = self.model.loss(
            index, self.views.targets(), quantize, self.lmbda * schedule.lmbda_factor(progress),
            self.importance.of(index), color_weight,
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
        resting = self._n_resting(stage)
        torch.cat([*gradients, shown, errors.flatten()], out=self.averaged[resting:])

    def _update(self, stage: Stage, progress: Tensor) -> None:
        """One step of the optimizers along the averaged gradients."""
        schedule, phase = self.schedule, stage.phase
        *gradients, figures, errors = self.parts
        # Parameters stay finite in any case: others become indices, on which kernels crash.
        self.soundness.add_(self.gradients.sum() * 0)
        self.gradients.nan_to_num_(0.0, 0.0, 0.0)
        self.count += 1
        pace = schedule.decay(phase, progress) * self.damping * schedule.warm_up(self.count)
        first = int(phase.latents_rest)
        self.optimizers[0].epsilon = self._latent_epsilon()
        for optimizer, gradient, rate in zip(
            self.optimizers[first:], gradients[first:], self.rates[first:], strict=True
        ):
            optimizer.step(gradient, rate * phase.rate * pace, self.count)
        total, times = errors.view(2, -1)
        late = progress >= schedule.importance.lost_from
        self.importance.observe(total, times, progress >= schedule.guide_until, late)
        self.figures.lerp_(figures, (self.count <= 1).float().clamp(min=0.1))


def _resting(x: Tensor) -> Tensor:
    """Latents that no step changes: none of what leads to them is differentiated."""
    return torch.round(x.detach())
