# SPDX-License-Identifier: MIT
"""The range of disparities that pixels of matched planes vote for; must not choose planes."""

from __future__ import annotations

import torch
from torch import Tensor

from sanrcodec.encoder.images import median_filter, warped
from sanrcodec.encoder.planes import Match, sweep_planes

__all__ = ["is_distinct", "voted_range"]

_DISTINCT = 0.3  # of the contrast of the best places, with which a place votes
_OUTLIERS = 0.003  # of the votes, at either end
_MARGIN = 1.5  # planes beyond the last vote
_SAME_PX = 0.5  # or one plane, by which two views may differ


def voted_range(
    match: Match, luma: Tensor, angular: Tensor, *, by_two: bool = False
) -> tuple[float, float]:
    """Smallest and largest disparity that pixels vote for, outliers aside, and somewhat more.

    Flat places match everywhere: only those with a distinct minimum vote. All sides must agree,
    and the places around: of many planes one matches some side of nearly any place by chance.

    Args:
        match: Of the views that follow.
        luma: ``[N, 1, H, W]``, as :func:`~sanrcodec.encoder.planes.sweep_planes` takes it.
        angular: ``[N, 2]``, likewise.
        by_two: Count only votes that the farthest view confirms. Few views match by chance
            so often that chance decides the range; it hardly strikes both views alike.
    """
    best = median_filter(match.best)
    voters = is_distinct(match.contrast)
    if by_two:
        confirmed = voters & _is_confirmed(match.planes, best, luma, angular)
        voters = confirmed if bool(confirmed.any()) else voters
    low, high = (float(torch.quantile(best[voters], q)) for q in (_OUTLIERS, 1 - _OUTLIERS))
    margin = _MARGIN * float(match.planes[1] - match.planes[0])
    return low - margin, high + margin


def is_distinct(contrast: Tensor) -> Tensor:
    """Which pixels ``[H, W]`` match one plane clearly better than others, by :class:`Match`."""
    # torch.quantile takes a limited number of values.
    sample = contrast.flatten()[:: max(1, contrast.numel() // 2**20)]
    least = max(float(sample.median()), _DISTINCT * float(torch.quantile(sample, 0.95)))
    return contrast >= least


def _is_confirmed(planes: Tensor, best: Tensor, luma: Tensor, angular: Tensor) -> Tensor:
    """Where the farthest view, matched with the others, has the same disparity ``[H, W]``."""
    n = len(luma)
    farthest = int(angular.abs().sum(1).argmax())
    order = [farthest, *(k for k in range(n) if k != farthest)]
    there = sweep_planes(luma[order], angular[order] - angular[farthest], planes)
    shift = angular[farthest] * best[None, ..., None]
    seen = warped(median_filter(there.best)[None, None], shift)[0, 0]
    same = max(float(planes[1] - planes[0]), _SAME_PX / float(angular[farthest].abs().max()))
    return (seen - best).abs() <= same
