# SPDX-License-Identifier: MIT
"""Which views count how much: less where they are noisy, and more where they fall behind.

Must not wait for a device: all that it knows are tensors, so that a CUDA graph can replay it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sanrcodec.encoder.schedule import Importance

__all__ = ["ViewImportance"]


class ViewImportance:
    """Factor of each view's error in the cost: an integral controller of its PSNR.

    Views of more noise than usual count for less, as in weighted least squares, and may be behind
    by as much: no scene shows their noise, and one that bends to it shows the others worse.

    Args:
        is_dead: bool ``[n_views]``, views that no step sees.
        rule: Target and speed.
        device: Of all tensors.
        noise: ``[n_views]``, variance of each view's noise as a share of what is usual, at least
            1; usual by default.

    Attributes:
        mse: ``[n_views]``, squared error of each view as far as it is known; 0 is not known yet.
        log_factor: ``[n_views]``.
        is_lost: ``[n_views]``, 1 where no factor has helped, else 0.
    """

    def __init__(
        self,
        is_dead: Tensor,
        rule: Importance,
        device: torch.device,
        noise: Tensor | None = None,
    ) -> None:
        self.rule = rule
        self.mse = torch.zeros(len(is_dead), device=device)
        self.n_seen = len(is_dead) - int(is_dead.sum())
        noise = torch.ones(len(is_dead)) if noise is None else noise.float()
        self._start = (-noise.log()).masked_fill(is_dead, -math.inf).to(device)
        self._allowed_db = (10 * noise.log10()).to(device)
        self.log_factor = torch.zeros_like(self.mse)
        self.is_lost = torch.zeros_like(self.mse)

    def of(self, index: Tensor) -> Tensor:
        """Factors of some views, int64 ``[B]`` -> ``[B]``; their mean over all seen views is 1."""
        factor = self.n_seen * (self.log_factor + self._start).softmax(0)
        return factor.index_select(0, index)

    def observe(self, total: Tensor, times: Tensor, active: Tensor, late: Tensor) -> None:
        """Adapt the factors of the views that a step has seen.

        Args:
            total: ``[n_views]``, sum of each view's squared errors in this step.
            times: ``[n_views]``, their number.
            active: bool ``[]``; where False, errors are noted but no factor changes.
            late: bool ``[]``; where True, a view beyond the rule's ``lost_gap_db`` is lost if the
                largest factor has not helped it.
        """
        rule = self.rule
        seen, known = times.clamp(max=1.0), self.mse > 0
        self.mse.lerp_(total / times.clamp(min=1e-6), seen * (1 - (1 - rule.recent) * known))
        known = self.mse > 0
        level = 10 * torch.log10(self.mse + 1e-3) - self._allowed_db
        gap = level - (level * known).sum() / known.sum()
        growth = rule.gain * (gap - rule.max_gap_db) * active
        highest = math.log(rule.maximum)
        factor = (self.log_factor + growth).clamp(0.0, highest)
        # In vain, if the largest factor has not helped.
        in_vain = (self.is_lost > 0) | (factor >= highest)
        is_lost = (late & (gap > rule.lost_gap_db) & in_vain).float()
        self.is_lost.lerp_(is_lost, seen)
        self.log_factor.lerp_(factor * (1 - is_lost), seen)

    def state(self) -> list[Tensor]:
        """What :meth:`observe` changes, not copied."""
        return [self.mse, self.log_factor, self.is_lost]
