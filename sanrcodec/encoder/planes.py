# SPDX-License-Identifier: MIT
"""Planes of constant disparity, and how well views match on each.

Must not choose planes, nor know of grids.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sanrcodec.encoder.images import box_mean

__all__ = ["MAX_ERROR", "Match", "sweep_planes"]

MAX_ERROR = 0.1  # of a pixel, as a share of the peak


class Match(NamedTuple):
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


def sweep_planes(luma: Tensor, angular: Tensor, planes: Tensor) -> Match:
    """Match planes of constant disparity.

    The cost of a plane is the smallest of four means over the views above, below, left and right
    of the center, so that a view in which the point is occluded does not spoil it (Kang, Szeliski
    and Chai, CVPR 2001), truncated and averaged over a small window.

    Args:
        luma: ``[N, 1, H, W]``, the view at the center first.
        angular: ``[N, 2]``, offsets (y, x) from it along the parallax, in views.
        planes: ``[n_planes]``, disparities in pixels per view.
    """
    center, others = luma[0, 0], F.pad(luma[1:], (1, 1, 1, 1), mode="replicate")[:, 0]
    offsets = angular[1:].tolist()
    on_side = [(v < 0, v > 0, u < 0, u > 0) for v, u in offsets]
    sides = [[i for i, on in enumerate(on_side) if on[k]] for k in range(4)]
    shares = [{i: 1 / len(side) for i in side} for side in sides if side]  # of views in a mean
    costs, least = [], torch.full_like(center, math.inf)
    best, total = torch.zeros_like(least), torch.zeros_like(least)
    for d in planes.tolist():
        means = center.new_zeros(len(shares), *center.shape)
        for i, (view, (v, u)) in enumerate(zip(others, offsets, strict=True)):
            difference = _difference(center, view, v * d, u * d)
            for mean, share in zip(means, shares, strict=True):
                if i in share:
                    mean.add_(difference, alpha=share[i])
        means = box_mean(box_mean(means[:, None], 3), 3)[:, 0]
        costs.append(means.amin(0))
        together = means.mean(0)
        best = torch.where(together < least, d, best)
        least = torch.minimum(least, together)
        total += together
    contrast = total / len(planes) - least
    return Match(planes, torch.stack(costs), best, contrast, float(least.mean()))


def _difference(center: Tensor, view: Tensor, shift_y: float, shift_x: float) -> Tensor:
    """Truncated error ``[H, W]`` of a view that is moved by some pixels, bilinearly.

    What lies beyond the frame is no match, though its repeated border may look like one.

    Args:
        center: ``[H, W]``.
        view: ``[H + 2, W + 2]``, with its border repeated once.
        shift_y: In pixels.
        shift_x: Likewise.
    """
    error = torch.full_like(center, MAX_ERROR)
    y, n_y, row, f_y = _overlap(center.shape[0], shift_y)
    x, n_x, column, f_x = _overlap(center.shape[1], shift_x)
    if n_y <= 0 or n_x <= 0:
        return error
    window = view[row : row + n_y + 1, column : column + n_x + 1]
    window = torch.lerp(window[:-1], window[1:], f_y)
    moved = torch.lerp(window[:, :-1], window[:, 1:], f_x)
    inside = moved.sub_(center[y : y + n_y, x : x + n_x]).abs_().clamp_(max=MAX_ERROR)
    error[y : y + n_y, x : x + n_x] = inside
    return error


def _overlap(size: int, shift: float) -> tuple[int, int, int, float]:
    """First pixel and number of pixels whose moved places are within a frame; and the first place.

    The place is in the frame with a border of one pixel: a whole number, and what is left.
    """
    first = max(0, math.ceil(-0.5 - shift))
    last = min(size - 1, math.floor(size - 0.5 - shift))
    place = first + shift + 1
    return first, last - first + 1, math.floor(place), place - math.floor(place)
