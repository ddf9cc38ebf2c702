# SPDX-License-Identifier: MIT
"""Which axes the parallax has in the grid, and about how far the views move; makes no disparity.

Reads no views.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sanrcodec.encoder.planes import MAX_ERROR, Match, sweep_planes
from sanrcodec.encoder.votes import voted_range

__all__ = ["Found", "Search", "Views", "best_order"]

_MAX_PLANES, _MIN_PLANES = 112, 16
_MAX_STEP_PX = 1.0  # between two planes, in the outermost view
_LEAST_GAIN = 0.03  # of the score, for which an unusual order of the views is believed
# Of the score of the worst order, and of views in an order that means nothing.
_FOUND = 0.95  # a geometry must do better
_N_SHUFFLES = 16  # of which the order is taken that is least like the given one
_HOPELESS = 1.4  # of the score of the best order, beyond which another one is given up
_ALIKE = 0.3  # of the score of unlike views, below which views are alike
_FEW_VIEWS, _N_NARROWINGS = 4, 4  # up to which the last ring is searched so often
_LEAST_SIDE = 32  # pixels of reduced views
_STILL = 1.1  # of the score of the best planes, up to which no disparity is as good


class Order(NamedTuple):
    """Which axes the parallax has in the grid as it was given."""

    mirrored: bool
    transposed: bool

    def angular(self, positions: Tensor) -> Tensor:
        """Offsets ``[N, 2]`` along the parallax of offsets in the grid."""
        if self.transposed:
            positions = positions.flip(1)
        return positions * positions.new_tensor([1.0, -1.0 if self.mirrored else 1.0])


class Views(NamedTuple):
    """Some views, the reference first.

    Attributes:
        positions: ``[N, 2]``, offsets from the reference in the grid.
        luma: ``[N, 1, H, W]``, less its local mean.
    """

    positions: Tensor
    luma: Tensor


class Found(NamedTuple):
    """The order of the axes that fits best.

    Attributes:
        search: In it.
        is_checked: Whether the views fit clearly better than in any other arrangement that was
            tried. Few views often do not tell.
    """

    search: Search
    is_checked: bool


def best_order(views: Views, grid: tuple[int, int], reach: float) -> Found | None:
    """The order of the axes with which the views fit best; None if none fits.

    Args:
        views: To match.
        grid: Number of views ``(V, U)``.
        reach: Largest disparity, in pixels per view.
    """
    best, is_better = _search_orders(views, grid, reach)
    is_checked = is_better
    if is_better and len(views.luma) > _FEW_VIEWS:
        is_better = _is_better_than_chance(views, best)
    elif is_better:
        share = _share_of_rivals(views, grid, reach)
        is_better, is_checked = share * _FOUND <= 1, share < _FOUND
    return Found(best, is_checked) if is_better or _are_still(views, best.match) else None


def _share_of_rivals(views: Views, grid: tuple[int, int], reach: float) -> float:
    """Score of few views as a share of that in the best other arrangement, on reduced views."""
    if min(views.luma.shape[2:]) >= 2 * _LEAST_SIDE:
        views, reach = views._replace(luma=F.avg_pool2d(views.luma, 2)), reach / 2
    usual, *rivals = (
        _search_orders(one, grid, reach)[0].match.score
        for one in (views, *_other_arrangements(views))
    )
    return usual / max(min(rivals), 1e-9) if rivals else 0.0


def _search_orders(views: Views, grid: tuple[int, int], reach: float) -> tuple[Search, bool]:
    """The best order of the axes, and whether it is better than another one.

    An order that does far worse than another within some ring is not searched any further: wrong
    orders have wide ranges, and take the most time.
    """
    searches = [Search(views, order, reach) for order in _orders(grid)]
    rings = list(_rings(views.positions.abs().amax(1)))
    some_are_worse, are_few = False, len(views.luma) <= _FEW_VIEWS
    # The last one again, with the finer steps that its narrower range allows. Few views begin with
    # so wide a range, and steps so coarse, that scores mean little before.
    for ring in (*rings, *rings[-1:] * (_N_NARROWINGS if are_few else 1)):
        for search in searches:
            search.widen(ring)
        limit = math.inf if are_few else _HOPELESS * min(s.match.score for s in searches)
        kept = [search for search in searches if search.match.score <= limit]
        some_are_worse |= len(kept) < len(searches)
        searches = kept
    usual, best = searches[0], min(searches, key=lambda search: search.match.score)
    if best.match.score > (1 - _LEAST_GAIN) * usual.match.score:
        best = usual
    worst = max(search.match.score for search in searches)
    return best, some_are_worse or best.match.score < _FOUND * worst


def _other_arrangements(views: Views) -> Iterator[Views]:
    """The same views in all other orders, but those that only turn or mirror a grid.

    Of four views in a square there are three arrangements: one for each view that may lie opposite
    to the first.
    """
    places = views.positions.cpu()
    apart = torch.cdist(places, places).round(decimals=3)
    known = {tuple(apart.flatten().tolist())}
    for chosen in itertools.permutations(range(len(places))):
        between = tuple(apart[list(chosen)][:, list(chosen)].flatten().tolist())
        if between not in known:
            known.add(between)
            where = sorted(range(len(chosen)), key=lambda k: chosen[k])
            yield Views(views.positions, views.luma[where])


def _is_better_than_chance(views: Views, best: Search) -> bool:
    """Whether the views match better than they do in an order that has nothing to do with theirs.

    Of four orders of views that have none, one is some percent better than another by chance.
    """
    places = views.positions.cpu()
    random = torch.Generator().manual_seed(0)
    orders = [
        places[[0, *(1 + torch.randperm(len(places) - 1, generator=random)).tolist()]]
        for _ in range(_N_SHUFFLES)
    ]
    # The same order, a mirrored and a transposed one: all of these show.
    unlike = min(orders, key=lambda order: float((places.T @ order).norm()))
    angular = best.order.angular(unlike.to(views.positions))
    by_chance = sweep_planes(views.luma, angular, best.match.planes)
    return best.match.score < _FOUND * by_chance.score


def _are_still(views: Views, match: Match) -> bool:
    """Whether the views are alike as they are, so that no order of the axes is better."""
    if match.score > _ALIKE * _contrast(views):
        return False
    zero = views.luma.new_zeros(1)
    return sweep_planes(views.luma, views.positions, zero).score <= _STILL * match.score


def _contrast(views: Views) -> float:
    """The score of views that have nothing to do with each other."""
    center = views.luma[:1]
    h, w = center.shape[2:]
    moved = [center.roll((h * i // 4, w * j // 4), (2, 3)) for i, j in ((1, 2), (2, 1), (2, 3))]
    return float((torch.cat(moved) - center).abs().clamp(max=MAX_ERROR).mean())


def _orders(grid: tuple[int, int]) -> list[Order]:
    """All orders that can be told apart; the usual one first."""
    mirrored = (False, True) if min(grid) > 1 else (False,)
    return [Order(m, t) for t in (False, True) for m in mirrored]


class Search:
    """The range of disparities in one order of the axes, found ring by ring.

    Args:
        views: To match.
        order: Of the axes.
        reach: Largest disparity, in pixels per view.

    Attributes:
        order: As it was given.
        low, high: Ends of the range.
        match: Of the last ring.
    """

    match: Match

    def __init__(self, views: Views, order: Order, reach: float) -> None:
        self.order = order
        self._views, self._angular = views, order.angular(views.positions)
        self._reach, self.low, self.high = reach, -reach, reach

    def widen(self, ring: float) -> None:
        """Match the views of a ring within the range of the last one, which this narrows."""
        within = self._angular.abs().amax(1) <= ring
        n = math.ceil((self.high - self.low) * ring / _MAX_STEP_PX)
        n = max(_MIN_PLANES, min(n, _MAX_PLANES)) | 1
        planes = torch.linspace(self.low, self.high, n, device=self._angular.device)
        luma, angular = self._views.luma[within], self._angular[within]
        self.match = sweep_planes(luma, angular, planes)
        are_few = len(self._views.luma) <= _FEW_VIEWS
        low, high = voted_range(self.match, luma, angular, by_two=are_few)
        self.low, self.high = max(low, -self._reach), min(high, self._reach)


def _rings(distance: Tensor) -> Iterator[float]:
    """Growing distances from the center, the last of which holds all views."""
    distances = sorted(set(distance.tolist()) - {0.0})
    ring = distances[0]
    while ring < distances[-1]:
        yield ring
        ring = max(
            d for d in distances if d <= max(2 * ring, min(e for e in distances if e > ring))
        )
    yield distances[-1]
