# SPDX-License-Identifier: MIT
"""Pixels of a rare color: which they are, and whether a light field has any.

A small object is mostly outline. Where that lies between pixels in some views, the least error of
all views mixes it with what is around, and the object pales. Its own pixels count for more than
those around it, so that it keeps its color. Must not know of models.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sanrcodec.color import YCC_FROM_RGB
from sanrcodec.encoder.images import color_planes
from sanrcodec.lightfield import LightField

__all__ = ["has_rare_colors", "rare_weights", "rarity", "weights_of"]

_WEIGHT = 6.0  # of the error of a plane in the cost, where a color is as rare as can be
_MOST = 0.04  # of the mean of these weights over a view: what is not so rare counts for less
# From here on a color is rare, and at twice as much as rare as can be: its distance from the mean
# color of the view, squared, in units of what is usual there. Few scenes have such pixels at all.
_FROM = 12.0
_LEAST_DISTANCE = 20 / 255  # from the mean color: closer ones are no color of their own
_LEAST_SHARE = 5e-4  # of a view, that is rare


def rarity(planes: Tensor, mean: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
    """How rare the color of each pixel is in its view.

    Args:
        planes: As for :func:`rare_weights`.
        mean: Likewise.

    Returns:
        ``[B, 1, H, W]``, 0 to 1.
    """
    chroma = planes[:, 1:]
    distance = (chroma - mean(chroma.mean((2, 3), keepdim=True))).square().sum(1, keepdim=True)
    usual = mean(distance.mean((2, 3), keepdim=True)).clamp(min=_LEAST_DISTANCE**2 / _FROM)
    return (distance / (_FROM * usual) - 1).clamp(0.0, 1.0)


def rare_weights(planes: Tensor, mean: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
    """What the error of each pixel weighs in the cost beside that of its view: 0 for most.

    Args:
        planes: ``[B, 3, H, W]``, YCbCr of samples in 0..1, chroma around 0; or gray with one plane.
        mean: Gives the mean over whole views of the mean over the rows that there are, where these
            are not all.

    Returns:
        ``[B, 1, H, W]``, of all planes alike.
    """
    return weights_of(rarity(planes, mean), mean)


def weights_of(rare: Tensor, mean: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
    """The same of what :func:`rarity` gives.

    Args:
        rare: ``[B, 1, H, W]``.
        mean: As for :func:`rare_weights`.
    """
    share = mean(rare.mean((2, 3), keepdim=True))
    return rare * (_MOST / share.clamp(min=_MOST / _WEIGHT))


def has_rare_colors(light_field: LightField) -> bool:
    """Whether enough of the view in the middle has a rare color.

    Args:
        light_field: Of which one view is read.
    """
    n_v, n_u = light_field.grid
    view = torch.from_numpy(light_field.view(n_v // 2, n_u // 2).astype("float32"))
    planes = color_planes(view[None] / (2**light_field.bit_depth - 1), torch.tensor(YCC_FROM_RGB))
    return float(rarity(planes).mean()) > _LEAST_SHARE
