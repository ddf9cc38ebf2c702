# SPDX-License-Identifier: MIT
"""Plane sweep: how the views move, a first disparity of the center, and one of what outlines hide.

A start for the fit only; nothing of it reaches the file but the direction of the parallax.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sanrcodec.color import YCC_FROM_RGB
from sanrcodec.encoder.axis_order import Views, best_order
from sanrcodec.encoder.exposure import Exposure, measure_exposure
from sanrcodec.encoder.images import box_mean, median_filter, warped
from sanrcodec.encoder.planes import MAX_ERROR, Match, sweep_planes
from sanrcodec.encoder.votes import is_distinct
from sanrcodec.lightfield import LightField
from sanrcodec.presets import Parallax

__all__ = ["Geometry", "estimate_geometry"]

_MIN_PLANES, _MAX_PLANES = 48, 112
_MAX_STEP_PX = 0.75  # between two planes, in the outermost view
_MAX_CROSS, _MAX_DIAGONAL = 16, 8  # views that are compared with the one at the center
# Of the longer side, for the outermost view: more than the margins hold, of which the canvas then
# lacks the outermost parts.
_MAX_TOTAL_SHIFT = 0.4
_N_FAR_VIEWS = 4  # that tell which end is in front
_APART_PX = 1.0  # of two pixels that move to the same place
_CERTAIN = 0.1  # evidence that leaves no doubt
_UNIFORM = 0.5  # levels from the local mean, below which there is nothing to match anywhere
_FLAT = 0.01  # mean distance from the local mean, as a share of the peak
_SLIGHT = 0.01  # evidence that is none: most arrays are stored as a camera moves down and right
_FLAT_COST = 1e-3  # from one end of the range to the other, what noise may decide


@dataclass(frozen=True, slots=True)
class Geometry:
    """Disparities in pixels per view (p = q + a * d), float32 ``[H, W]``.

    Attributes:
        near, far: Disparity of the front and of the occluded layer.
        parallax: Direction and extent of the disparities.
        is_certain: Whether occlusions show clearly which end of the disparities is in front.
        is_checked: Whether the views show clearly that they are in this order.
    """

    near: Tensor
    far: Tensor
    parallax: Parallax
    is_certain: bool = True
    is_checked: bool = True

    @property
    def extent(self) -> float:
        """Largest ``abs(disparity)``, in pixels per view."""
        return self.parallax.extent

    @property
    def mirrored(self) -> bool:
        """Whether the u axis runs against the v axis."""
        return self.parallax.mirrored

    @property
    def reversed(self) -> bool:
        """Whether both run the other way, so that the smallest disparity is the nearest."""
        return self.parallax.axes_reversed

    def to(self, device: torch.device | str) -> Geometry:
        """Return the same on another device."""
        return replace(self, near=self.near.to(device), far=self.far.to(device))


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
        One of disparity 0 where all views have one color: nothing in them moves. None where there
        is but one usable view, or where no order of the axes explains the views
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
    if float(views.luma.abs().max()) * ((1 << light_field.bit_depth) - 1) < _UNIFORM:
        return _still((h, w), device)
    found = best_order(views, light_field.grid, reach / factor)
    if found is None:
        return None
    search = found.search
    if factor > 1:
        views = _load(light_field, exposure, chosen, 1, device)
    order, low, high = search.order, factor * search.low, factor * search.high
    angular = order.angular(views.positions)
    n_planes = math.ceil((high - low) * radius / _MAX_STEP_PX) + 1
    planes = torch.linspace(
        low, high, max(_MIN_PLANES, min(n_planes, _MAX_PLANES)), device=views.luma.device
    )
    match = sweep_planes(views.luma, angular, planes)
    disparity = median_filter(_subplane_minimum(match))
    evidence = _evidence_of_front(views.luma, angular, disparity)
    near_is_low = evidence > -_SLIGHT
    near = disparity if near_is_low else -disparity
    extent = float(disparity.abs().max())
    parallax = Parallax(extent, order.mirrored, not near_is_low, order.transposed)
    # The views were compared with one of them; the canvas may lie between two.
    away = torch.tensor(
        [[(n - 1) / 2 - c for n, c in zip(light_field.grid, chosen[0], strict=True)]]
    )
    if bool(away.any()):
        near = _moved(near, order.angular(-away.to(near)) * (1 if near_is_low else -1))
    far = _highest_around(near, radius)
    # Of two views neither sees from another side what the other one hides.
    is_certain = abs(evidence) >= _CERTAIN and len(chosen) > 2
    return Geometry(near, far, parallax, is_certain, found.is_checked)


def _still(size: tuple[int, int], device: torch.device | str) -> Geometry:
    """The geometry of views in which nothing moves."""
    disparity = torch.zeros(size, device=device)
    return Geometry(disparity, disparity, Parallax(0.0), is_certain=False, is_checked=False)


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
) -> Views:
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
    return Views(positions - positions[:1], stack)


def _subplane_minimum(match: Match) -> Tensor:
    """Disparity of the smallest cost, refined by a parabola through its neighbors."""
    planes, cost = match.planes, match.cost
    # Where nothing tells the disparity, that of the middle is the least unlikely.
    middle = match.best[is_distinct(match.contrast)].median()
    doubt = _FLAT_COST * (planes - middle).abs() / (planes[-1] - planes[0])
    index = (cost + doubt[:, None, None]).argmin(0).clamp(1, len(planes) - 2)
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


def _evidence_of_front(luma: Tensor, angular: Tensor, disparity: Tensor) -> float:
    """How clearly the low end of the disparities is in front: -1 (the high end is) to 1.

    Where two pixels of the center move to the same place of another view, it shows the one in
    front: those of low disparity are compared with those of high disparity there. Flat
    places, whose disparity nothing tells, do not count.
    """
    h, w = disparity.shape
    y, x = torch.meshgrid(
        torch.arange(h, device=luma.device), torch.arange(w, device=luma.device), indexing="ij"
    )
    center = luma[0, 0].flatten()
    is_rough = box_mean(luma[:1].abs(), 5)[0, 0] > _FLAT
    low_error = high_error = 0.0
    for k in angular.abs().sum(1).argsort(descending=True)[:_N_FAR_VIEWS].tolist():
        row = y + (angular[k, 0] * disparity).round().long()
        column = x + (angular[k, 1] * disparity).round().long()
        inside = is_rough & (row >= 0) & (row < h) & (column >= 0) & (column < w)
        target, d = (row * w + column)[inside], disparity[inside]
        lowest = torch.full((h * w,), math.inf, device=luma.device)
        lowest.scatter_reduce_(0, target, d, "amin")
        highest = torch.full((h * w,), -math.inf, device=luma.device)
        highest.scatter_reduce_(0, target, d, "amax")
        apart = ((highest - lowest) * angular[k].abs().max() > _APART_PX)[target]
        error = (luma[k, 0].flatten()[target] - center[inside.flatten()]).abs()
        error.clamp_(max=MAX_ERROR)
        low_error += float(error[apart & (d == lowest[target])].sum())
        high_error += float(error[apart & (d == highest[target])].sum())
    return (high_error - low_error) / max(high_error + low_error, 1e-6)
