# SPDX-License-Identifier: MIT
"""What views see of the layers of a canvas, and the gradients, as a few kernels.

The twin of :class:`sanrcodec.encoder.warp.Warp` and of what the views make of its samples. Must
not know how the layers came about.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sanrcodec.encoder.kernels.device import warp as device
from sanrcodec.encoder.kernels.launch import BLOCK, N_COPIES, launch
from sanrcodec.scene.warp import N_DISPARITY_STEPS

__all__ = ["composite"]


def composite(
    textures: Tensor,
    slopes: Tensor | None,
    disparities: Tensor,
    poses: Tensor,
    reach: tuple[int, int],
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
        poses: ``[B, 6]``: canvas pixels that a view moves for each unit of disparity, the shift of
            the view in canvas pixels, and its place by which slopes count; (y, x) of each.
        reach: Canvas pixels around, in which the search for a position looks for what is nearest.
        size: ``(H, W)`` of a view.
        origin: Canvas position (y, x) of a view's first pixel, without parallax and shift.

    Returns:
        ``[B, F, H, W]``.
    """
    textures, disparities, poses = (t.contiguous() for t in (textures, disparities, poses))
    slopes = textures.new_empty(0, 1, 1) if slopes is None else slopes.contiguous()
    pixels = _search(disparities.detach(), poses.detach(), *reach, *size, *origin)
    features: Tensor = _forward(textures, slopes, disparities, poses, pixels, *origin)
    return features


@torch.library.custom_op("sanrcodec::seen_pixels", mutates_args=())
def _search(
    disparities: Tensor, poses: Tensor, reach_y: int, reach_x: int, view_height: int,
    view_width: int, top: float, left: float,
) -> Tensor:  # fmt: skip
    """Which canvas pixel each pixel of a view sees, int32 ``[L, B, H, W]``."""
    n_layers, height, width = disparities.shape
    shape = n_layers, len(poses), view_height, view_width
    # Pooling has the maximum only.
    far = F.max_pool2d(-disparities[None], (2 * reach_y + 1, 1), 1, (reach_y, 0))
    nearest = -F.max_pool2d(far, (1, 2 * reach_x + 1), 1, (0, reach_x))
    pixels = torch.empty(shape, dtype=torch.int32, device=poses.device)
    n_blocks = n_layers * _n_blocks(pixels)
    launch(
        device.search, poses, n_blocks,
        disparities, nearest, poses, pixels, n_blocks, *shape[1:], height, width, top, left,
        n_layers=n_layers, n_lookups=N_DISPARITY_STEPS - 1,
    )  # fmt: skip
    return pixels


@_search.register_fake
def _(
    disparities: Tensor, poses: Tensor, reach_y: int, reach_x: int, view_height: int,
    view_width: int, top: float, left: float,
) -> Tensor:  # fmt: skip
    shape = len(disparities), len(poses), view_height, view_width
    return disparities.new_empty(shape, dtype=torch.int32)


def _n_blocks(pixels: Tensor) -> int:
    _, n_views, height, width = pixels.shape
    return n_views * -(-height * width // BLOCK)


def _sizes(textures: Tensor, slopes: Tensor, pixels: Tensor, disparities: Tensor) -> list[int]:
    """Views, pixels of a view, of the canvas, features, and those of them that have slopes."""
    sizes = *pixels.shape[1:], *disparities.shape[1:], _n_features(textures), len(slopes) // 2
    return list(sizes)


def _n_features(textures: Tensor) -> int:
    return textures.shape[1] - (len(textures) > 1)


@torch.library.custom_op("sanrcodec::composite", mutates_args=())
def _forward(
    textures: Tensor, slopes: Tensor, disparities: Tensor, poses: Tensor, pixels: Tensor,
    top: float, left: float,
) -> Tensor:  # fmt: skip
    _, n_views, *size = pixels.shape
    features = textures.new_empty(n_views, _n_features(textures), *size)
    n_blocks = _n_blocks(pixels)
    launch(
        device.forward, textures, n_blocks,
        textures, slopes, disparities, pixels, poses, features,
        n_blocks, *_sizes(textures, slopes, pixels, disparities), top, left,
        n_layers=len(textures), n_channels=textures.shape[1],
    )  # fmt: skip
    return features


@_forward.register_fake
def _(
    textures: Tensor, slopes: Tensor, disparities: Tensor, poses: Tensor, pixels: Tensor,
    top: float, left: float,
) -> Tensor:  # fmt: skip
    return textures.new_empty(len(poses), _n_features(textures), *pixels.shape[2:])


@torch.library.custom_op("sanrcodec::composite_backward", mutates_args=())
def _backward(
    textures: Tensor, slopes: Tensor, disparities: Tensor, poses: Tensor, pixels: Tensor,
    gradient: Tensor, top: float, left: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of textures, slopes, disparities and poses."""
    g_textures, g_slopes = torch.zeros_like(textures), torch.zeros_like(slopes)
    g_disparities = torch.zeros_like(disparities)
    sums = poses.new_zeros(N_COPIES, len(poses), 8)
    n_blocks = _n_blocks(pixels)
    launch(
        device.backward, textures, n_blocks,
        textures, slopes, disparities, pixels, poses, gradient.contiguous(),
        g_textures, g_slopes, g_disparities, sums,
        n_blocks, *_sizes(textures, slopes, pixels, disparities), N_COPIES, top, left,
        n_layers=len(textures), n_channels=textures.shape[1],
    )  # fmt: skip
    return g_textures, g_slopes, g_disparities, sums.sum(0)[:, :6].contiguous()


@_backward.register_fake
def _(
    textures: Tensor, slopes: Tensor, disparities: Tensor, poses: Tensor, pixels: Tensor,
    gradient: Tensor, top: float, left: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    none = torch.empty_like
    return none(textures), none(slopes), none(disparities), none(poses)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, top, left = inputs
    ctx.save_for_backward(*tensors)
    ctx.origin = top, left


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    found = _backward(*ctx.saved_tensors, gradient, *ctx.origin)
    return *found, None, None, None


_forward.register_autograd(_gradients, setup_context=_setup)
