# SPDX-License-Identifier: MIT
"""Moves of single weights to the next integer, where that lowers the cost of a finished fit.

A fit ends where straight-through rounding left each weight, on one side or the other. What that
costs no gradient tells: a bias of the colors that is off by half a step shifts every view. Must not
touch latents or the weights' steps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.probe import Probe
from sanrcodec.encoder.scene import Known

__all__ = ["move_weights"]

_PER_ROUND = 24  # tries by the same gradient
_LEAST_GAIN = 1e-7  # of the cost: less is rounding
# Of the mean curvature of tried weights of a tensor, what is expected of its others: those of large
# slopes are tried first, and curve more than most.
_SHARE_OF_USUAL = 0.05


def move_weights(
    model: SceneModel,
    probe: Probe,
    lmbda: float | Tensor,
    *,
    n_tries: int,
    views_at_once: int,
    importance: Callable[[Tensor], Tensor] | None = None,
    held: Tensor | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Move weights by one step each, one after the other, as long as that lowers the cost.

    The gradient tells which to try first. How a try ends tells the curvature, of the weight and of
    others of its tensor: a move that is expected to go too far is not tried again. Collective.

    Args:
        model: Whose latents rest. What rounding takes off its weights stays there: a target may
            still ask for finer steps.
        probe: The views by which the cost is judged.
        lmbda: Weight of the rate in the cost.
        n_tries: At most.
        views_at_once: Of the probe, that are synthesized together.
        importance: Gives the factors ``[B]`` of the errors of views, int64 ``[B]``; 1 by default.
        held: Weights that stay, bool ``[N]``.
        should_stop: Polled on rank 0 before each gradient.

    Returns:
        Number of weights that were moved.
    """
    search = _Search(model, probe, lmbda, views_at_once, importance, held)
    return search.run(n_tries, should_stop)


class _Search:
    """The cost of a model with some of its weights moved."""

    def __init__(
        self,
        model: SceneModel,
        probe: Probe,
        lmbda: float | Tensor,
        views_at_once: int,
        importance: Callable[[Tensor], Tensor] | None,
        held: Tensor | None,
    ) -> None:
        self._model, self._lmbda, self._held = model, lmbda, held
        self._latents = model.rounded_latents()
        self._batches = []
        for begin in range(0, len(probe.index), views_at_once):
            index, target = probe.batch(probe.index[begin : begin + views_at_once])
            self._batches.append((index, target, importance(index) if importance else None))
        vector = model.weight_vector
        self._quantum = vector.quantum
        self._groups = [spec.name.split(".")[0] for spec in vector.specs for _ in range(spec.size)]
        sizes = torch.tensor([spec.size for spec in vector.specs], device=self._quantum.device)
        self._n_tensors = len(sizes)
        self._tensor = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
        # Of the cost along each weight, per step squared; NaN where it was not tried.
        self._curvature = torch.full_like(self._quantum, torch.nan)
        with torch.no_grad():
            self._known = Known()
            self._figures = self._measure(self._known)

    def run(self, n_tries: int, should_stop: Callable[[], bool]) -> int:
        """Try moves; tells how many were kept."""
        kept, slope = 0, None
        while n_tries > 0 and not self._stops(should_stop):
            slope = self._slope() if slope is None else slope
            promising = self._promising(slope, min(n_tries, _PER_ROUND))
            if not promising:
                break
            n_tries -= len(promising)
            n_moved = sum(self._try(*move) for move in promising)
            kept, slope = kept + n_moved, None if n_moved else slope
        return kept

    def _stops(self, should_stop: Callable[[], bool]) -> bool:
        return bool(self._model.ranks.follow(should_stop())[0])

    def _slope(self) -> Tensor:
        """Of the cost along each weight, ``[N]`` per step."""
        model = self._model
        total = torch.zeros_like(self._quantum)
        for index, target, importance in self._batches:
            cost, *_ = model.loss(index, target, lambda _: self._latents, self._lmbda, importance)
            (gradient,) = torch.autograd.grad(cost, [model.weights])
            total += gradient
        model.ranks.average_(total)
        total *= self._quantum / len(self._batches)
        return total if self._held is None else total.masked_fill_(self._held, 0.0)

    def _promising(self, slope: Tensor, most: int) -> list[tuple[int, float]]:
        """Weights whose move is expected to lower the cost, with their slopes.

        The best ones first, and no more than asked for. They leave the device together, since
        asking it for a number waits for it.
        """
        tried = ~self._curvature.isnan()
        known = torch.where(tried, self._curvature, 0.0)
        sums = [
            slope.new_zeros(self._n_tensors).index_add_(0, self._tensor, x)
            for x in (known, tried.float())
        ]
        usual = (sums[0] / sums[1].clamp(min=1)).index_select(0, self._tensor)
        gain = slope.abs() - 0.5 * torch.where(tried, known, _SHARE_OF_USUAL * usual)
        best = gain.argsort(descending=True)[:most]
        best = best[gain[best] > 0]
        return list(zip(best.tolist(), slope[best].tolist(), strict=True))

    @torch.no_grad()
    def _try(self, i: int, slope: float) -> bool:
        """Move one weight down its slope; tells whether it stays there."""
        weights = self._model.weights
        kept, cost = weights[i].clone(), self._cost(self._figures)
        weights[i] -= self._quantum[i] * (1.0 if slope > 0 else -1.0)
        group = self._groups[i]
        known = self._known.without(group)
        try:
            figures = self._measure(known, group, self._figures)
        except RuntimeError:  # the memory is full
            weights[i] = kept
            raise
        change = self._cost(figures) - cost
        self._curvature[i] = 2 * (change + abs(slope))
        if change < -_LEAST_GAIN * cost:
            self._known, self._figures = known, figures
            return True
        weights[i] = kept
        return False

    def _measure(
        self, known: Known, group: str = "", before: list[Tensor] | None = None
    ) -> list[Tensor]:
        """Figures of all batches, see :meth:`SceneModel.figures`."""
        model, latents = self._model, self._latents
        found: list[Tensor] = []
        for k, (index, target, importance) in enumerate(self._batches):
            earlier = before[k] if before else None
            if found and earlier is not None and group == "arm":
                # Only bits differ, which are those of all views.
                found.append(torch.cat([earlier[:1], found[0][1:]]))
            else:
                found.append(
                    model.figures(latents, index, target, known, group, earlier, importance)
                )
        return found

    def _cost(self, figures: list[Tensor]) -> float:
        """Of the model, in squared levels."""
        header = self._model.header
        mse, _, bits = torch.stack(figures).mean(0)
        return float(mse + self._lmbda * bits / (header.height * header.width))
