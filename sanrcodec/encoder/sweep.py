# SPDX-License-Identifier: MIT
"""Plane sweep: a first disparity of the center view, and one of what its outlines hide.

A start for the fit only; nothing of it reaches the file directly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sanrcodec.color import YCC_FROM_RGB
from sanrcodec.lightfield import LightField
from sanrcodec.presets import Parallax

__all__ = ["Geometry", "estimate_geometry"]

_N_PLANES = 48
_MAX_VIEWS = 24
_MAX_SWEPT_PIXELS = 2**22  # of all views that are compared at once
_MAX_TOTAL_SHIFT = 0.12  # of the smaller image side, for the outermost view


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


def estimate_geometry(light_field: LightField, device: torch.device | str) -> Geometry | None:
    """Sweep planes of constant disparity through the views; None if there is but one view.

    The matching cost of a plane is the smallest of four means over the views above, below, left
    and right of the center, so that a view in which the point is occluded does not spoil it (Kang,
    Szeliski and Chai, CVPR 2001), truncated and averaged over a small window.
    """
    n_v, n_u = light_field.grid
    if n_v * n_u == 1:
        return None
    h, w = light_field.shape[2:4]
    radius = max(n_v - 1, n_u - 1) / 2
    reach = max(1.0, _MAX_TOTAL_SHIFT * min(h, w)) / radius
    factor = max(1, min(4, min(h, w) // 64))
    positions, coarse = _luma(light_field, device, factor)
    # The range first, at low resolution and for both directions of the u axis.
    best, mirrored = None, False
    planes = torch.linspace(-reach, reach, 2 * _N_PLANES + 1, device=device)
    for mirror in (False, True) if n_v > 1 and n_u > 1 else (False,):
        cost = _sweep(coarse, positions, planes / factor, mirror)
        score = float(cost.min(0).values.mean())
        if best is None or score < 0.97 * best[0]:
            best, mirrored = (score, cost), mirror
    assert best is not None
    index = best[1].argmin(0)
    # Flat places match everywhere: only those with a distinct minimum vote for the range.
    contrast = best[1].mean(0) - best[1].min(0).values
    voters = planes[index[contrast >= contrast.median()]]
    step = float(planes[1] - planes[0])
    low, high = (float(torch.quantile(voters, q)) for q in (0.01, 0.99))
    planes = torch.linspace(low - 1.5 * step, high + 1.5 * step, _N_PLANES, device=device)

    positions, luma = _luma(light_field, device, 1)
    cost = _sweep(luma, positions, planes, mirrored)
    disparity = _median(_subplane_minimum(cost, planes))
    near_is_low = _near_is_low(luma, positions, disparity, mirrored)
    near = disparity if near_is_low else -disparity
    parallax = Parallax(float(disparity.abs().max()), mirrored, not near_is_low)
    return Geometry(near, _highest_around(near, radius), parallax)


def _luma(
    light_field: LightField, device: torch.device | str, factor: int
) -> tuple[Tensor, Tensor]:
    """Up to _MAX_VIEWS views: offsets ``[N, 2]`` from the center, luma ``[N, 1, H, W]``, 0..1."""
    n_v, n_u = light_field.grid
    center = (n_v // 2, n_u // 2)
    every = [(v, u) for v in range(n_v) for u in range(n_u) if (v, u) != center]
    # Both axes of the cross say most about occlusion; the corners give the longest baselines.
    cross = [p for p in every if p[0] == center[0] or p[1] == center[1]]
    corners = [p for p in every if p[0] in (0, n_v - 1) and p[1] in (0, n_u - 1) and p not in cross]
    chosen = (cross + corners)[:: max(1, -(-len(cross + corners) // _MAX_VIEWS))]
    planes = []
    for v, u in [center, *chosen]:
        view = torch.as_tensor(light_field.view(v, u).astype("float32"), device=device) / (
            (1 << light_field.bit_depth) - 1
        )
        planes.append(
            view @ view.new_tensor(YCC_FROM_RGB[0]) if view.shape[2] == 3 else view[..., 0]
        )
    stack = torch.stack(planes)[:, None]
    if factor > 1:
        stack = F.avg_pool2d(stack, factor)
    # Exposure and vignetting differ per view: compare what is left after the local mean.
    stack = stack - _box(stack, max(3, 15 // factor | 1))
    return torch.tensor(
        [[v - center[0], u - center[1]] for v, u in [center, *chosen]],
        device=device,
        dtype=torch.float32,
    ), stack


def _box(x: Tensor, size: int) -> Tensor:
    pad = size // 2
    return F.avg_pool2d(F.pad(x, (pad, pad, pad, pad), mode="replicate"), size, stride=1)


def _warp(x: Tensor, shift: Tensor) -> Tensor:
    """Sample ``[N, 1, H, W]`` shifted by ``[N, 2]`` (or ``[N, H, W, 2]``) pixels, (y, x)."""
    n, _, h, w = x.shape
    y = torch.arange(h, device=x.device, dtype=torch.float32)[:, None]
    z = torch.arange(w, device=x.device, dtype=torch.float32)[None, :]
    shift = shift if shift.dim() == 4 else shift[:, None, None, :]
    grid = torch.stack([
        (2 * (z + shift[..., 1]) + 1) / w - 1 + 0 * y,
        (2 * (y + shift[..., 0]) + 1) / h - 1 + 0 * z,
    ], -1)  # fmt: skip
    return F.grid_sample(
        x, grid.expand(n, h, w, 2), mode="bilinear", padding_mode="border", align_corners=False
    )


def _angular(positions: Tensor, mirrored: bool) -> Tensor:
    return positions * positions.new_tensor([1.0, -1.0 if mirrored else 1.0])


def _sweep(luma: Tensor, positions: Tensor, planes: Tensor, mirrored: bool) -> Tensor:
    """Matching cost ``[n_planes, H, W]``."""
    angular = _angular(positions, mirrored)[1:]
    center, others = luma[:1], luma[1:]
    sides = torch.stack(
        [angular[:, 0] < 0, angular[:, 0] > 0, angular[:, 1] < 0, angular[:, 1] > 0]
    ).float()
    sides = sides[sides.sum(1) > 0]
    shares = sides / sides.sum(1, keepdim=True)
    # A few views at a time, so that large ones do not take many times their memory.
    n = max(1, _MAX_SWEPT_PIXELS // center.numel())
    parts = list(zip(others.split(n), angular.split(n), shares.split(n, 1), strict=True))
    costs = []
    for d in planes:
        means = center.new_zeros(len(sides), *center.shape[1:])
        for views, offsets, share in parts:
            difference = (_warp(views, offsets * d) - center).abs().clamp(max=0.1)
            means += torch.tensordot(share, difference, 1)
        costs.append(_box(_box(means, 3), 3).amin(0)[0])
    return torch.stack(costs)


def _subplane_minimum(cost: Tensor, planes: Tensor) -> Tensor:
    """Disparity of the smallest cost, refined by a parabola through its neighbors."""
    index = cost.argmin(0).clamp(1, len(planes) - 2)
    left, middle, right = (cost.gather(0, (index + k)[None])[0] for k in (-1, 0, 1))
    curvature = left - 2 * middle + right
    offset = torch.where(
        curvature > 1e-6, 0.5 * (left - right) / curvature.clamp(min=1e-6), torch.zeros_like(left)
    )
    return planes[index] + offset.clamp(-0.5, 0.5) * (planes[1] - planes[0])


def _median(x: Tensor, size: int = 5) -> Tensor:
    pad = size // 2
    windows = (
        F.pad(x[None, None], (pad, pad, pad, pad), mode="replicate")
        .unfold(2, size, 1)
        .unfold(3, size, 1)
    )
    return windows.reshape(*x.shape, size * size).median(-1).values


def _highest_around(disparity: Tensor, radius: float) -> Tensor:
    """Largest disparity as far around a pixel as layers move against each other."""
    span = float(disparity.max() - disparity.min())
    size = 2 * min(24, max(2, round(span * radius / 2 + 1))) + 1
    pad = size // 2
    padded = F.pad(disparity[None, None], (pad, pad, pad, pad), mode="replicate")
    return _box(F.max_pool2d(padded, size, 1), 5)[0, 0]


def _near_is_low(luma: Tensor, positions: Tensor, disparity: Tensor, mirrored: bool) -> bool:
    """Which end of the disparity range is in front: the order whose splatted views fit better."""
    errors = []
    h, w = disparity.shape
    y, x = torch.meshgrid(
        torch.arange(h, device=luma.device), torch.arange(w, device=luma.device), indexing="ij"
    )
    angular = _angular(positions, mirrored)
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
            difference = (luma[k, 0].flatten()[target] - luma[0, 0].flatten()).abs().clamp(max=0.1)
            total += float(difference[in_front].mean())
        errors.append(total)
    return errors[0] <= errors[1]
