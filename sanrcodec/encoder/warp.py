# SPDX-License-Identifier: MIT
"""The warp in torch: what views see of a layer; the float twin of sanrcodec.scene.warp.

Must not know how many layers there are.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sanrcodec.arithmetic.axes import minimum_filter
from sanrcodec.arithmetic.torchops import torch_ops
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.encoder.functions import upsample_axis
from sanrcodec.encoder.part import Part
from sanrcodec.scene import warp

__all__ = ["HALF_AFTER", "HALF_BEFORE", "Warp", "half_samples"]

_OPS = torch_ops("cpu")  # for operations that stay on the device of their arrays
# A pair of filters: a sample itself, and the one halfway to the next.
_HALF_TAPS = (
    (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0),
    tuple(t / 64 for t in warp.HALF_SAMPLE_TAPS),
)
# Samples that a half sample looks at, before and behind the whole one in front of it.
HALF_BEFORE, HALF_AFTER = 3, 4


def half_samples(x: Tensor, rows: range | None = None) -> Tensor:
    """All phases, interleaved.

    Args:
        x: ``[..., H, W]``.
        rows: Those to keep, of ``x``.

    Returns:
        ``[..., 2 * number of rows, 2 W]``.
    """
    rows = range(x.shape[-2]) if rows is None else rows
    # Columns first: along them a CPU interleaves samples one by one.
    x = upsample_axis(x, _HALF_TAPS, -1, HALF_BEFORE, 2 * x.shape[-1])
    return upsample_axis(x, _HALF_TAPS, -2, HALF_BEFORE, 2 * len(rows), 2 * rows.start)


class Warp(Part):
    """Twin of :class:`sanrcodec.scene.warp.Layer`.

    Args:
        header: Stream header.
        level: Of the canvas.
    """

    def __init__(self, header: StreamHeader, level: int = 0) -> None:
        super().__init__()
        self.margins = -(-header.margin_y >> level), -(-header.margin_x >> level)
        self.n_threads = torch.get_num_threads()

    def forward(
        self, textures: list[Tensor], disparity: Tensor, base: Tensor, angular: Tensor
    ) -> list[Tensor]:
        """One layer as seen from some views.

        Args:
            textures: ``[F, 2 Hc, 2 Wc]`` each, with any F.
            disparity: ``[Hc, Wc]`` in pixels of whole views per view.
            base: ``[B, H, W, 2]``, canvas positions (y, x) of the views' pixels without parallax.
            angular: ``[B, H, 1, 2]``, the views' angular offsets, in canvas pixels per pixel of
                whole views.

        Returns:
            ``[B, F, H, W]`` of each.
        """
        height, width = disparity.shape
        flat = disparity.flatten()

        def pixel_of(q: Tensor) -> Tensor:
            row = (q[..., 0] + 0.5).floor().clamp(0, height - 1)
            column = (q[..., 1] + 0.5).floor().clamp(0, width - 1)
            return (row * width + column).long()

        with torch.no_grad():
            q = base.detach()
            plane: Any = disparity  # to a type checker all arrays are numpy's
            nearest: Any = minimum_filter(plane, self.margins, _OPS).flatten()
            # The last of the steps is the one that has a gradient.
            steps = (warp.N_DISPARITY_STEPS - 1) * [flat]
            for disparities in (nearest, *steps):
                q = base - angular * disparities[pixel_of(q)][..., None]
            pixel = pixel_of(q)
        d = flat.index_select(0, pixel.flatten()).reshape(pixel.shape)
        q = base - angular * d[..., None]
        n, h, w, _ = q.shape
        y, x = q.unbind(-1)
        y = 2 * (2 * y.clamp(0, height - 1)) / (2 * height - 1) - 1
        x = 2 * (2 * x.clamp(0, width - 1)) / (2 * width - 1) - 1
        grid = torch.stack([x, y], -1).reshape(1, n * h, w, 2)
        sampled = [_sampled(texture, grid, self.n_threads) for texture in textures]
        return [x.reshape(-1, n, h, w).transpose(0, 1) for x in sampled]


def _sampled(texture: Tensor, grid: Tensor, n_threads: int) -> Tensor:
    """Samples of ``[F, H, W]`` at the places of a grid ``[1, h, w, 2]``, ``F * h * w`` of them.

    On a CPU torch has one thread for each image of a batch, hence groups of planes as images.
    """
    n_groups = 1 if texture.is_cuda else math.gcd(len(texture), n_threads)
    return F.grid_sample(
        texture.unflatten(0, (n_groups, -1)),
        grid.expand(n_groups, -1, -1, -1),
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )
