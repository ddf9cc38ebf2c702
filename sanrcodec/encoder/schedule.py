# SPDX-License-Identifier: MIT
"""What happens when in a fit, as data: phases, rates, annealing, and all other numbers of it.

Must not know of models or devices. Progress is the share 0..1 of the planned steps that are done.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sanrcodec.errors import SanrError

__all__ = [
    "DEFAULT_SCHEDULE",
    "SCHEDULES",
    "USUAL_COSTS",
    "Importance",
    "Phase",
    "Schedule",
    "Stage",
]

# Of a step at each level, measured on a CPU: somewhat more than its share of pixels.
USUAL_COSTS = tuple(0.29**level for level in range(8))


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the fit. Pairs hold the values at its start and at its end, linear in between.

    Attributes:
        name: For messages.
        until: Progress at which it ends.
        temperature: Of the soft rounding, see :func:`~sanrcodec.encoder.quantize.noisy_round`.
            None: the latents are rounded and rest, and only the networks follow.
        noise: Width of the noise between the soft roundings, in latent steps.
        rate: Factor of the preset's rates. It falls from the start of the phase along half a cosine
            that ends with the fit (Loshchilov and Hutter, ICLR 2017).
        rate_floor: What this cosine falls to at least.
        level: Of the canvas: views are smaller by ``2**level``, and finer latents do not take part.
            Falls from phase to phase, and is 0 where the latents rest.
    """

    name: str
    until: float
    temperature: tuple[float, float] | None = (0.35, 0.08)
    noise: tuple[float, float] = (0.8, 1.0)
    rate: float = 1.0
    rate_floor: float = 0.0
    level: int = 0

    @property
    def latents_rest(self) -> bool:
        """Whether the latents are integers that no step changes."""
        return self.temperature is None


@dataclass(frozen=True, slots=True)
class Importance:
    """How the importance of views follows their quality.

    A view whose PSNR is further below the mean than the gap counts for more and more, until it is
    not: what few views see, occluded parts above all, is otherwise left out for the sake of many.
    A view that none of this helps shows what the scene cannot hold, as views at the rim of a
    lenslet's image do. It would spoil the others, and counts like any of them again.

    Attributes:
        max_gap_db: What is left to 1.5 dB is for the end of the fit, when latents are rounded.
        gain: Growth of the factor's logarithm, per dB beyond the gap and step that sees the view.
        maximum: Of the factor.
        recent: Share of a view's latest error in what is known of it.
        lost_gap_db: Beyond which nothing has helped.
        lost_from: Progress from which on views are lost.
    """

    max_gap_db: float = 1.3
    gain: float = 0.02
    maximum: float = 8.0
    recent: float = 0.3
    lost_gap_db: float = 3.0
    lost_from: float = 0.5


class Stage(NamedTuple):
    """What the steps at some progress have in common: all but the numbers that they work with.

    Attributes:
        phase: That they belong to.
        guided: Whether the swept disparity guides the geometry.
        colored: Whether color outliers count for more.
    """

    phase: Phase
    guided: bool
    colored: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that a fit does over time.

    Attributes:
        phases: In order; the last one ends at 1.
        warm_up_steps: Over which the rates rise from 0.
        guide_weight: Of the squared distance in pixels from the swept disparity, at the start.
        guide_until: Progress at which this weight has fallen to 0. Until then the importance of
            views does not change.
        color_weight: Of color outliers in the cost, at the start, see
            :func:`~sanrcodec.encoder.loss.color_outliers`.
        color_until: Progress at which this weight has fallen to 0, linearly.
        minds_rare_colors: Whether pixels of a rare color count for more from the first step to the
            last, see :mod:`~sanrcodec.encoder.rarity`. Long fits find most without, for fewer bits.
        first_lmbda: Factor of lmbda at the start. Where bits are dear, few latents come up, all of
            them of use; networks that know few latents let more of them come up in order. What is
            too much at first hardly ever goes away again.
        lmbda_until: Progress above 0 at which this factor has fallen to 1, geometrically.
        latent_epsilon: Adam's epsilon for the latents, in gradients that lmbda gives to one bit.
            Without it the latents that nothing pulls at wander at full rate, and each that strays
            over a threshold costs bits.
        weight_epsilon: Adam's epsilon for the weights.
        coarsens: Whether each tensor's quantization step is searched once the latents rest.
        importance: Of views.
    """

    phases: tuple[Phase, ...] = (
        Phase("soft", until=0.95, rate_floor=0.02),
        # The rate is higher again than before, since the noise has gone.
        Phase("rounded", until=1.0, temperature=None, rate=0.1),
    )
    warm_up_steps: int = 20
    guide_weight: float = 20.0
    guide_until: float = 0.1
    color_weight: float = 2.0
    color_until: float = 1.0
    minds_rare_colors: bool = False
    first_lmbda: float = 4.0
    lmbda_until: float = 0.5
    latent_epsilon: float = 1.0
    weight_epsilon: float = 1e-12
    coarsens: bool = True
    importance: Importance = Importance()

    def __post_init__(self) -> None:
        """Raise a SanrError where phases go back to smaller views, or end or rest with them."""
        levels = [phase.level for phase in self.phases]
        resting = [phase.level for phase in self.phases if phase.latents_rest]
        if levels != sorted(levels, reverse=True) or levels[-1] or any(resting):
            raise SanrError(
                f"the phases of a schedule have the levels {levels}: "
                "expected ones that fall to 0 before the latents rest"
            )

    def stage_at(self, progress: float) -> Stage:
        """Stage of the step that starts at some progress."""
        phase = next((p for p in self.phases if progress < p.until), self.phases[-1])
        return Stage(
            phase,
            guided=progress < self.guide_until and self.guide_weight > 0,
            colored=progress < self.color_until and self.color_weight > 0,
        )

    def span(self, level: int) -> tuple[float, float]:
        """Progress at which the steps of a size begin, and at which they end."""
        phases = [phase for phase in self.phases if phase.level == level]
        return self._start_of(phases[0]), phases[-1].until

    def annealing(self, phase: Phase, progress: Tensor) -> tuple[Tensor, Tensor]:
        """Temperature and width of the noise, of a phase whose latents do not rest."""
        assert phase.temperature is not None
        start = self._start_of(phase)
        local = (progress - start) / (phase.until - start)
        (hot, cold), (narrow, wide) = phase.temperature, phase.noise
        return hot + (cold - hot) * local, narrow + (wide - narrow) * local

    def decay(self, phase: Phase, progress: Tensor) -> Tensor:
        """The cosine that both rates follow, before warm-up and :attr:`Phase.rate`."""
        start = self._start_of(phase)
        local = (progress - start) / (1 - start)
        return (0.5 * (1 + torch.cos(math.pi * local))).clamp(min=phase.rate_floor)

    def warm_up(self, count: Tensor) -> Tensor:
        """Factor of the rates in the ``count``-th step, counted from 1."""
        return (count / self.warm_up_steps).clamp(max=1.0)

    def guide_share(self, progress: Tensor) -> Tensor:
        """What is left of the guide's weight while there is a guide."""
        return 1 - progress / self.guide_until

    def color_share(self, progress: Tensor) -> Tensor:
        """What is left of the weight of color outliers while they count for more."""
        return 1 - progress / self.color_until

    def lmbda_factor(self, progress: Tensor) -> Tensor:
        """What lmbda is multiplied by."""
        ahead = (1 - progress / self.lmbda_until).clamp(min=0.0)
        return torch.exp(ahead * math.log(self.first_lmbda))

    def work(self, begin: float, end: float, costs: Sequence[float] = USUAL_COSTS) -> float:
        """Share of the work between two progresses, if all of a fit of whole views were 1.

        Args:
            begin: Progress.
            end: Progress.
            costs: Of a step at each level, as shares of one of whole views.
        """
        starts = [0.0, *(p.until for p in self.phases[:-1])]
        return sum(
            max(0.0, min(end, phase.until) - max(begin, start)) * costs[phase.level]
            for start, phase in zip(starts, self.phases, strict=True)
        )

    def _start_of(self, phase: Phase) -> float:
        before = [p.until for p in self.phases if p.until < phase.until]
        return max(before, default=0.0)


DEFAULT_SCHEDULE = Schedule()

# By preset. Short fits go from coarse to fine: smaller views cost a fraction, and most of what a
# file holds is found on them. The rates rise again with each size, since finer latents begin there,
# but less than at first: what is found already would be lost.
SCHEDULES = {
    "fast": Schedule(
        phases=(
            Phase("quarter size", until=0.3, temperature=(0.35, 0.35), rate_floor=0.02, level=2),
            Phase("half size", 0.72, temperature=(0.35, 0.35), rate=0.6, rate_floor=0.02, level=1),
            Phase("soft", until=0.95, rate=0.6, rate_floor=0.02),
            DEFAULT_SCHEDULE.phases[-1],
        ),
        latent_epsilon=2.5,
        minds_rare_colors=True,
    ),
    "medium": DEFAULT_SCHEDULE,
    "slow": DEFAULT_SCHEDULE,
}
