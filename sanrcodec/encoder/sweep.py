# SPDX-License-Identifier: MIT
"""Plane sweep: how the views move, a first disparity of the center, and one of what outlines hide.

A start for the fit only; nothing of it reaches the file but the direction of the parallax.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sanrcodec.color import YCC_FROM_RGB
from sanrcodec.encoder.exposure import Exposure, measure_exposure
from sanrcodec.encoder.images import box_mean, median_filter, warped
from sanrcodec.lightfield import LightField
from sanrcodec.presets import Parallax

__all__ = ["Geometry", "estimate_geometry"]

_MIN_PLANES, _MAX_PLANES = 48, 112
_MAX_STEP_PX = 0.75  # between two planes, in the outermost view
_MAX_COARSE_STEP_PX = 1.0  # likewise while the range is searched, in pixels of the reduced views
_MIN_COARSE_PLANES = 16
_MAX_CROSS, _MAX_DIAGONAL = 16, 8  # views that are compared with the one at the center
# Of the longer side, for the outermost view: more than the margins hold, of which the canvas then
# lacks the outermost parts.
_MAX_TOTAL_SHIFT = 0.4
_MAX_SWEPT_PIXELS = 2**22  # of all views that are compared at once
_MAX_ERROR = 0.1  # of a pixel, as a share of the peak
_LEAST_GAIN = 0.03  # of the score, for which an unusual order of the views is believed
_FOUND = 0.95  # of the score of the worst order; a geometry must do better
_ALIKE = 0.6  # of the score of unlike views, below which views are alike
_DISTINCT = 0.3  # of the contrast of the best places, with which a place votes for the range
_STILL = 1.1  # of the score of the best planes, up to which no disparity is as good


@dataclass(frozen=True, slots=True)
class Geometry:
    """Disparities in pixels per view (p = q + a * d), float32 ``[H, W]``.

    Attributes:
        near, far: Disparity of the front and of the occluded layer.
        parallax: Direction and extent of the disparities.
    """

    near: Tensor
    far: Tensor
    parallax: Parallax

    def to(self, device: torch.device | str) -> Geometry:
        """Return the same on another device."""
        return Geometry(self.near.to(device), self.far.to(device), self.parallax)


class _Order(NamedTuple):
    """Which axes the parallax has in the grid as it was given."""

    mirrored: bool
    transposed: bool

    def angular(self, positions: Tensor) -> Tensor:
        """Offsets ``[N, 2]`` along the parallax of offsets in the grid."""
        if self.transposed:
            positions = positions.flip(1)
        return positions * positions.new_tensor([1.0, -1.0 if self.mirrored else 1.0])


class _Views(NamedTuple):
    """Some views, the reference first.

    Attributes:
        positions: ``[N, 2]``, offsets from the reference in the grid.
        luma: ``[N, 1, H, W]``, less its local mean.
    """

    positions: Tensor
    luma: Tensor


class _Match(NamedTuple):
    """How well planes match.

    Attributes:
        planes: Disparities.
        cost: ``[n_planes, H, W]``, of the side of the center that matches best.
        best: ``[H, W]``, the plane that matches best on all sides together.
        contrast: ``[H, W]``, by how much it does so against the mean of all planes.
        score: Mean over pixels of the smallest cost, where all sides must match.
    """

    planes: Tensor
    cost: Tensor
    best: Tensor
    contrast: Tensor
    score: float


def estimate_geometry(
    light_field: LightField, device: torch.device | str, exposure: Exposure | None = None
) -> Geometry | None:
    """Sweep planes of constant disparity through the views.

    The matching cost of a plane is the smallest of four means over the views above, below, left
    and right of the center, so that a view in which the point is occluded does not spoil it (Kang,
    Szeliski and Chai, CVPR 2001), truncated and averaged over a small window. The range of the
    disparities is searched from the inner views outward: those next to the center cannot be
    mistaken by much, and each larger ring narrows what the last one found.

    Args:
        light_field: Views, of which the usable ones are compared.
        device: Where to compute.
        exposure: Of the light field; measured if it is not given.

    Returns:
        None where there is but one usable view, or where no order of the axes explains the views
        better than any other.
    """
    exposure = exposure or measure_exposure(light_field)
    chosen = _choice(light_field.grid, exposure)
    if len(chosen) < 2:
        return None
    h, w = light_field.shape[2:4]
    radius = max(light_field.grid[0] - 1, light_field.grid[1] - 1) / 2
    reach = max(1.0, _MAX_TOTAL_SHIFT * max(h, w)) / radius
    factor = max(1, min(4, min(h, w) // 64))
    views = _load(light_field, exposure, chosen, factor, device)
    found = _best_order(views, light_field.grid, reach / factor)
    if found is None:
        return None
    order, match = found
    low, high = (factor * end for end in _range(match))
    margin = 1.5 * factor * float(match.planes[1] - match.planes[0])
    low, high = max(low - margin, -reach), min(high + margin, reach)
    n_planes = math.ceil((high - low) * radius / _MAX_STEP_PX) + 1
    planes = torch.linspace(
        low, high, max(_MIN_PLANES, min(n_planes, _MAX_PLANES)), device=views.luma.device
    )
    if factor > 1:
        views = _load(light_field, exposure, chosen, 1, device)
    angular = order.angular(views.positions)
    match = _sweep(views.luma, angular, planes)
    disparity = median_filter(_subplane_minimum(match))
    near_is_low = _near_is_low(views.luma, angular, disparity)
    near = disparity if near_is_low else -disparity
    extent = float(disparity.abs().max())
    parallax = Parallax(extent, order.mirrored, not near_is_low, order.transposed)
    # The views were compared with one of them; the canvas may lie between two.
    away = torch.tensor(
        [[(n - 1) / 2 - c for n, c in zip(light_field.grid, chosen[0], strict=True)]]
    )
    if bool(away.any()):
        near = _moved(near, order.angular(-away.to(near)) * (1 if near_is_low else -1))
    return Geometry(near, _highest_around(near, radius), parallax)


def _choice(grid: tuple[int, int], exposure: Exposure) -> list[tuple[int, int]]:
    """Views to compare, the reference first: the usable one that is nearest to the center."""
    n_v, n_u = grid
    usable = [(v, u) for v, u in np.ndindex(n_v, n_u) if not exposure.is_dark[v, u]]
    if not usable:
        return []
    center = min(usable, key=lambda p: abs(p[0] - n_v // 2) + abs(p[1] - n_u // 2))
    others = [p for p in usable if p != center]
    # Both axes of the cross say most about occlusion; the corners give the longest baselines, and
    # tell the order of the axes.
    cross = [p for p in others if p[0] == center[0] or p[1] == center[1]]
    diagonal = [p for p in others if abs(p[0] - center[0]) == abs(p[1] - center[1])]
    return [
        center,
        *_thinned(cross, center, _MAX_CROSS),
        *_thinned(diagonal, center, _MAX_DIAGONAL),
    ]


def _thinned(
    places: list[tuple[int, int]], center: tuple[int, int], n: int
) -> list[tuple[int, int]]:
    """About ``n`` of some places, at the nearest and farthest distance and evenly between."""
    rings: dict[int, list[tuple[int, int]]] = {}
    for p in places:
        rings.setdefault(max(abs(p[0] - center[0]), abs(p[1] - center[1])), []).append(p)
    distances = sorted(rings)
    n_rings = min(len(distances), max(1, n * len(distances) // max(1, len(places))))
    step = (len(distances) - 1) / max(1, n_rings - 1)
    return [p for i in range(n_rings) for p in rings[distances[round(i * step)]]]


def _load(
    light_field: LightField,
    exposure: Exposure,
    chosen: list[tuple[int, int]],
    factor: int,
    device: torch.device | str,
) -> _Views:
    """Luma of some views, reduced by a factor, without what the exposure does to it."""
    planes = []
    for v, u in chosen:
        view = torch.as_tensor(light_field.view(v, u).astype("float32"), device=device)
        view = view / ((1 << light_field.bit_depth) - 1) / float(exposure.gain[v, u])
        planes.append(
            view @ view.new_tensor(YCC_FROM_RGB[0]) if view.shape[2] == 3 else view[..., 0]
        )
    stack = torch.stack(planes)[:, None]
    if factor > 1:
        stack = F.avg_pool2d(stack, factor)
    # Vignetting differs per view: compare what is left after the local mean.
    stack = stack - box_mean(stack, max(3, 15 // factor | 1))
    positions = torch.tensor(chosen, device=device, dtype=torch.float32)
    return _Views(positions - positions[:1], stack)


def _best_order(views: _Views, grid: tuple[int, int], reach: float) -> tuple[_Order, _Match] | None:
    """The order of the axes with which the views fit best; None if none fits."""
    found = [(o, _outward(views, o.angular(views.positions), reach)) for o in _orders(grid)]
    usual, best = found[0], min(found, key=lambda f: f[1].score)
    if best[1].score > (1 - _LEAST_GAIN) * usual[1].score:
        best = usual
    worst = max(match.score for _, match in found)
    if best[1].score < _FOUND * worst or _are_still(views, best[1]):
        return best
    return None


def _are_still(views: _Views, match: _Match) -> bool:
    """Whether the views are alike as they are, so that no order of the axes is better."""
    if match.score > _ALIKE * _contrast(views):
        return False
    zero = views.luma.new_zeros(1)
    return _sweep(views.luma, views.positions, zero).score <= _STILL * match.score


def _contrast(views: _Views) -> float:
    """The score of views that have nothing to do with each other."""
    center = views.luma[:1]
    h, w = center.shape[2:]
    moved = [center.roll((h * i // 4, w * j // 4), (2, 3)) for i, j in ((1, 2), (2, 1), (2, 3))]
    return float((torch.cat(moved) - center).abs().clamp(max=_MAX_ERROR).mean())


def _orders(grid: tuple[int, int]) -> list[_Order]:
    """All orders that can be told apart; the usual one first."""
    mirrored = (False, True) if min(grid) > 1 else (False,)
    return [_Order(m, t) for t in (False, True) for m in mirrored]


def _outward(views: _Views, angular: Tensor, reach: float) -> _Match:
    """Search the range of disparities up to ``reach``, ring by ring."""
    distance = angular.abs().amax(1)
    low, high = -reach, reach
    rings = list(_rings(distance))
    # The last one again, with the finer steps that its narrower range allows.
    for ring in (*rings, rings[-1]):
        within = distance <= ring
        n = math.ceil((high - low) * ring / _MAX_COARSE_STEP_PX)
        n = max(_MIN_COARSE_PLANES, min(n, _MAX_PLANES)) | 1
        planes = torch.linspace(low, high, n, device=angular.device)
        match = _sweep(views.luma[within], angular[within], planes)
        low, high = _range(match)
        margin = 1.5 * float(planes[1] - planes[0])
        low, high = max(low - margin, -reach), min(high + margin, reach)
    return match


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


def _range(match: _Match) -> tuple[float, float]:
    """Smallest and largest disparity that pixels vote for, outliers aside.

    Flat places match everywhere: only those with a distinct minimum vote. All sides must agree: of
    many planes one matches some side of nearly any place by chance.
    """
    contrast = match.contrast
    distinct = max(float(contrast.median()), _DISTINCT * float(torch.quantile(contrast, 0.95)))
    voters = match.best[contrast >= distinct]
    low, high = (float(torch.quantile(voters, q)) for q in (0.003, 0.997))
    return low, high


def _sweep(luma: Tensor, angular: Tensor, planes: Tensor) -> _Match:
    """Match planes of constant disparity."""
    angular = angular[1:]
    center, others = luma[:1], luma[1:]
    sides = torch.stack(
        [angular[:, 0] < 0, angular[:, 0] > 0, angular[:, 1] < 0, angular[:, 1] > 0]
    ).float()
    sides = sides[sides.sum(1) > 0]
    shares = sides / sides.sum(1, keepdim=True)
    # A few views at a time, so that large ones do not take many times their memory.
    n = max(1, _MAX_SWEPT_PIXELS // center.numel())
    parts = list(zip(others.split(n), angular.split(n), shares.split(n, 1), strict=True))
    costs, least = [], torch.full_like(center[0, 0], math.inf)
    best, total = torch.zeros_like(least), torch.zeros_like(least)
    for d in planes:
        means = center.new_zeros(len(sides), *center.shape[1:])
        for views, offsets, share in parts:
            difference = (warped(views, offsets * d) - center).abs().clamp(max=_MAX_ERROR)
            # What lies beyond the frame is no match, though its repeated border may look like one.
            difference[~_inside(offsets * d, center)] = _MAX_ERROR
            means += torch.tensordot(share, difference, 1)
        means = box_mean(box_mean(means, 3), 3)
        costs.append(means.amin(0)[0])
        together = means.mean(0)[0]
        best = torch.where(together < least, d, best)
        least = torch.minimum(least, together)
        total += together
    contrast = total / len(planes) - least
    return _Match(planes, torch.stack(costs), best, contrast, float(least.mean()))


def _inside(shift: Tensor, image: Tensor) -> Tensor:
    """Which pixels of an image, moved by ``[N, 2]`` pixels, are within it: ``[N, 1, H, W]``."""
    axes = []
    for axis, size in enumerate(image.shape[2:]):
        position = torch.arange(size, device=image.device) + shift[:, axis, None]
        axes.append((position >= -0.5) & (position <= size - 0.5))
    rows, columns = axes
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _subplane_minimum(match: _Match) -> Tensor:
    """Disparity of the smallest cost, refined by a parabola through its neighbors."""
    planes, cost = match.planes, match.cost
    index = cost.argmin(0).clamp(1, len(planes) - 2)
    left, middle, right = (cost.gather(0, (index + k)[None])[0] for k in (-1, 0, 1))
    curvature = left - 2 * middle + right
    offset = torch.where(
        curvature > 1e-6, 0.5 * (left - right) / curvature.clamp(min=1e-6), torch.zeros_like(left)
    )
    return planes[index] + offset.clamp(-0.5, 0.5) * (planes[1] - planes[0])


def _highest_around(disparity: Tensor, radius: float) -> Tensor:
    """Largest disparity as far around a pixel as layers move against each other."""
    span = float(disparity.max() - disparity.min())
    size = 2 * min(24, max(2, round(span * radius / 2 + 1))) + 1
    pad = size // 2
    padded = F.pad(disparity[None, None], (pad, pad, pad, pad), mode="replicate")
    return box_mean(F.max_pool2d(padded, size, 1), 5)[0, 0]


def _moved(disparity: Tensor, offset: Tensor) -> Tensor:
    """The disparity map ``[H, W]`` of a place ``[1, 2]`` views away, as far as it is seen."""
    moved = disparity
    for _ in range(3):
        shift = offset[:, None, None] * moved[None, ..., None]
        moved = warped(disparity[None, None], shift)[0, 0]
    return moved


def _near_is_low(luma: Tensor, angular: Tensor, disparity: Tensor) -> bool:
    """Which end of the disparity range is in front: the order whose splatted views fit better."""
    errors = []
    h, w = disparity.shape
    y, x = torch.meshgrid(
        torch.arange(h, device=luma.device), torch.arange(w, device=luma.device), indexing="ij"
    )
    far_views = angular.abs().sum(1).argsort(descending=True)[:4].tolist()
    for sign in (1.0, -1.0):
        total = 0.0
        for k in far_views:
            row = (y + (angular[k, 0] * disparity).round().long()).clamp(0, h - 1)
            column = (x + (angular[k, 1] * disparity).round().long()).clamp(0, w - 1)
            target = (row * w + column).flatten()
            depth = torch.full((h * w,), float("inf"), device=luma.device)
            depth.scatter_reduce_(0, target, (sign * disparity).flatten(), "amin")
            in_front = (sign * disparity).flatten() <= depth[target] + 1e-4
            difference = (luma[k, 0].flatten()[target] - luma[0, 0].flatten()).abs()
            total += float(difference.clamp(max=_MAX_ERROR)[in_front].mean())
        errors.append(total)
    return errors[0] <= errors[1]
