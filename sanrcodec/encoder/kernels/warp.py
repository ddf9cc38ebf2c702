# SPDX-License-Identifier: MIT
"""What views see of the layers of a canvas, and the gradients, as a few kernels.

The twin of :class:`sanrcodec.encoder.warp.Warp` and of what the views make of its samples. Must
not know how the layers came about.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from sanrcodec.encoder.kernels.device import warp as device
from sanrcodec.encoder.kernels.launch import BLOCK, N_COPIES, launch
from sanrcodec.scene.warp import N_DISPARITY_STEPS

__all__ = ["composite"]


def composite(
    textures: Tensor,
    slopes: Tensor | None,
    disparities: Tensor,
    nearest: Tensor,
    poses: Tensor,
    size: tuple[int, int],
    origin: tuple[float, float],
) -> Tensor:
    """Features of views: their layers, one in front of the other.

    Args:
        textures: ``[L, C, 2 Hc, 2 Wc]`` float32, front to back: the features, and where there are
            several layers their visibility, which the last one does without.
        slopes: ``[2 n, 2 Hc, 2 Wc]``, by how much the first ``n`` features of the front layer
            change along y, then along x; or None.
        disparities: ``[L, Hc, Wc]``.
        nearest: ``[L, Hc, Wc]``, the nearest of them around each, where the search for a position
            starts.
        poses: ``[B, 6]``: canvas pixels that a view moves for each unit of disparity, the shift of
            the view in canvas pixels, and its place by which slopes count; (y, x) of each.
        size: ``(H, W)`` of a view.
        origin: Canvas position (y, x) of a view's first pixel, without parallax and shift.

    Returns:
        ``[B, F, H, W]``.
    """
    textures, disparities, poses = (t.contiguous() for t in (textures, disparities, poses))
    slopes = textures.new_empty(0, 1, 1) if slopes is None else slopes.contiguous()
    pixels = _seen_pixels(disparities.detach(), nearest.contiguous(), poses.detach(), size, origin)
    features: Tensor = _Composite.apply(textures, slopes, disparities, poses, pixels, origin)  # type: ignore[no-untyped-call]
    return features


def _seen_pixels(
    disparities: Tensor,
    nearest: Tensor,
    poses: Tensor,
    size: tuple[int, int],
    origin: tuple[float, float],
) -> Tensor:
    """Which canvas pixel each pixel of a view sees, int32 ``[L, B, H, W]``."""
    n_layers, height, width = disparities.shape
    shape = n_layers, len(poses), *size
    pixels = torch.empty(shape, dtype=torch.int32, device=poses.device)
    n_blocks = n_layers * _n_blocks(pixels)
    launch(
        device.search, poses, n_blocks,
        disparities, nearest, poses, pixels, n_blocks, *shape[1:], height, width, *origin,
        n_layers=n_layers, n_lookups=N_DISPARITY_STEPS - 1,
    )  # fmt: skip
    return pixels


def _n_blocks(pixels: Tensor) -> int:
    _, n_views, height, width = pixels.shape
    return n_views * -(-height * width // BLOCK)


def _sizes(textures: Tensor, slopes: Tensor, disparities: Tensor, pixels: Tensor) -> list[int]:
    """Blocks, views, pixels of a view, of the canvas, features, and those that have slopes."""
    sizes = *pixels.shape[1:], *disparities.shape[1:], _n_features(textures), len(slopes) // 2
    return [_n_blocks(pixels), *sizes]


def _n_features(textures: Tensor) -> int:
    return textures.shape[1] - (len(textures) > 1)


class _Composite(Function):
    """What is seen at some pixels of the canvas."""

    @staticmethod
    def forward(
        ctx: Any,
        textures: Tensor,
        slopes: Tensor,
        disparities: Tensor,
        poses: Tensor,
        pixels: Tensor,
        origin: tuple[float, float],
    ) -> Tensor:
        """Sample the layers, front to back."""
        ctx.save_for_backward(textures, slopes, disparities, poses, pixels)
        ctx.origin = origin
        n_views, *size = pixels.shape[1:]
        features = textures.new_empty(n_views, _n_features(textures), *size)
        sizes = _sizes(textures, slopes, disparities, pixels)
        launch(
            device.forward, textures, sizes[0],
            textures, slopes, disparities, pixels, poses, features, *sizes, *origin,
            n_layers=len(textures), n_channels=textures.shape[1],
        )  # fmt: skip
        return features

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Sample them again, which takes less than to keep what was seen."""
        textures, slopes, disparities, poses, pixels = ctx.saved_tensors
        found = [torch.zeros_like(tensor) for tensor in (textures, slopes, disparities)]
        sums = poses.new_zeros(N_COPIES, len(poses), 8)
        sizes = _sizes(textures, slopes, disparities, pixels)
        launch(
            device.backward, textures, sizes[0],
            textures, slopes, disparities, pixels, poses, gradients[0].contiguous(), *found, sums,
            *sizes, N_COPIES, *ctx.origin,
            n_layers=len(textures), n_channels=textures.shape[1],
        )  # fmt: skip
        return *found, sums.sum(0)[:, :6], None, None
