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
from sanrcodec.encoder.functions import clamp, upsample_axis
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

    def nearest(self, disparities: Tensor) -> Tensor:
        """The nearest disparities around, where the search for a position starts.

        Args:
            disparities: ``[L, Hc, Wc]``.

        Returns:
            ``[L, Hc, Wc]``, without gradient.
        """
        # To a type checker all arrays are numpy's.
        planes: Any = disparities.detach().permute(1, 2, 0)
        least: Any = minimum_filter(planes, self.margins, _OPS)
        nearest: Tensor = least.permute(2, 0, 1)
        return nearest

    def forward(
        self,
        textures: Tensor,
        slopes: Tensor | None,
        disparities: Tensor,
        base: Tensor,
        angular: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        """The layers as seen from some views.

        Args:
            textures: ``[L, F, 2 Hc, 2 Wc]``, with any F.
            slopes: Planes ``[S, 2 Hc, 2 Wc]`` of the first layer; may be None.
            disparities: ``[L, Hc, Wc]`` in pixels of whole views per view.
            base: ``[2, B, H, W]``, canvas positions (y, x) of the views' pixels without parallax.
            angular: ``[2, B, H, 1]``, the views' angular offsets, in canvas pixels per pixel of
                whole views.

        Returns:
            Samples ``[L, B, F, H, W]`` and ``[B, S, H, W]``.
        """
        with torch.no_grad():
            nearest = self.nearest(disparities)
        # Unbound, since the gradient of each indexing would be a stack of its own.
        layers = zip(disparities.unbind(), nearest.unbind(), strict=True)
        places = torch.stack([_places(*layer, base, angular) for layer in layers])
        sampled = _sampled(textures, places, self.n_threads).transpose(1, 2)
        if slopes is None:
            return sampled, None
        first = _sampled(slopes[None], places[:1], self.n_threads)
        return sampled, first[0].transpose(0, 1)


def _places(disparity: Tensor, nearest: Tensor, base: Tensor, angular: Tensor) -> Tensor:
    """Where some views see a layer: ``[B, H, W, 2]``, (x, y) as :func:`_share` has them.

    Args:
        disparity: Of the layer, ``[Hc, Wc]``.
        nearest: Likewise, the nearest around; has no gradient.
        base: As :meth:`Warp.forward` takes it.
        angular: Likewise.
    """
    height, width = disparity.shape
    flat = disparity.flatten()

    def at(disparities: Tensor, q: Tensor) -> Tensor:
        """The disparities at the pixels nearest to some positions."""
        y, x = (q + 0.5).unbind()
        # Clamped first, so that whole numbers come of cutting off.
        row, column = y.clamp(0, height - 1).int(), x.clamp(0, width - 1).int()
        pixel = torch.add(column, row, alpha=width)
        return disparities.index_select(0, pixel.flatten()).reshape(pixel.shape)

    with torch.no_grad():
        q = base
        # The last of the steps is the one that has a gradient.
        for disparities in (nearest.flatten(), *(warp.N_DISPARITY_STEPS - 1) * [flat]):
            q = torch.addcmul(base, angular, at(disparities, q), value=-1)
    y, x = torch.addcmul(base, angular, at(flat, q), value=-1).unbind()
    return torch.stack([_share(x, width), _share(y, height)], -1)


def _share(x: Tensor, size: int) -> Tensor:
    """Canvas positions along an axis, as -1..1 from the first to the last of ``2 size`` samples."""
    return clamp(x, 0.0, size - 1.0) * (4 / (2 * size - 1)) - 1


def _sampled(textures: Tensor, places: Tensor, n_threads: int) -> Tensor:
    """Samples ``[L, F, B, H, W]`` of ``[L, F, 2 Hc, 2 Wc]`` at places ``[L, B, H, W, 2]``.

    On a CPU torch has one thread for each image of a batch, hence groups of planes as images.
    """
    n, n_planes = textures.shape[:2]
    n_groups = 1 if textures.is_cuda else math.gcd(n_planes, n_threads // math.gcd(n, n_threads))
    grid = places.flatten(1, 2)
    sampled = F.grid_sample(
        textures.unflatten(1, (n_groups, -1)).flatten(0, 1),
        grid[:, None].expand(-1, n_groups, -1, -1, -1).flatten(0, 1),
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )
    return sampled.reshape(n, n_planes, *places.shape[1:4])
