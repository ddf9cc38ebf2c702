# SPDX-License-Identifier: MIT
"""Latent pyramids: grids of several levels, brought to the size of the canvas.

Must not know what the levels mean. See format_spec.md sections 7.2 and 8.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sanrcodec.arithmetic.axes import along, padded
from sanrcodec.arithmetic.ops import Array, Ops
from sanrcodec.bitstream.grids import level_shape
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.scene.formats import LATENT_BITS, LATENT_MAX_Q

__all__ = ["UPSAMPLING_TAPS", "Pyramid", "finest_level"]

# Doubles a latent plane along one axis, in 1/128: the sample a quarter to the right of the fourth
# tap, mirrored the one to its left. As fits of single pictures learned it: smoother than
# interpolation, since it also spreads the noise of quantization.
UPSAMPLING_TAPS = (8, 8, -3, 73, 30, -2, 10, 4)
# What doubling does to the means of the pairs it makes, in 1/256, by distance: the mean of both
# filters. Smaller views, which double less often, would be too sharp without it.
SMOOTHING_TAPS = (146, 27, 6, 18, 4)


def finest_level(level: int) -> int:
    """Finest level of the grids that a scene of a level is made from.

    Grids somewhat finer than the canvas are averaged to its size: the means of their latents are
    not zero, and a fit relies on them.
    """
    return level // 2


@dataclass(frozen=True, slots=True)
class Pyramid:
    """Levels of one trunk's latents.

    Attributes:
        canvas: Size ``(Hc, Wc)``.
        first: Finest level.
        n_levels: Number of levels.
    """

    canvas: tuple[int, int]
    first: int
    n_levels: int

    @classmethod
    def of(cls, header: StreamHeader, trunk: str) -> Pyramid:
        """Pyramid of the trunk of that name: ``texture``, ``geometry`` or ``slope``."""
        if trunk == "geometry":
            return cls(header.canvas, header.geometry_first, header.geometry_levels)
        if trunk == "slope":
            return cls(header.canvas, header.slope_first, header.slope_levels)
        return cls(header.canvas, 0, header.texture_levels)

    def mac(self) -> float:
        """Multiply-accumulates of doubling all levels to the canvas."""
        coarsest = self.first + self.n_levels - 1
        total = 0
        for level in range(coarsest):
            n_scales = min(coarsest - level, self.n_levels)
            # Rows first: half of the samples of this level, then all of them.
            n_samples = 3 * math.prod(level_shape(self.canvas, level)) // 2
            total += n_scales * len(UPSAMPLING_TAPS) * n_samples
        return float(total)

    def planes(self, latents: list[npt.NDArray[np.int32]], level: int, ops: Ops) -> list[Array]:
        """Bring all levels to the canvas: float32 ``[Hc, Wc]``, coarse to fine, Q7.

        They are doubled level by level, or averaged if finer; those that are not given are zero.

        Args:
            latents: int32 ``[Hg, Wg]``, coarse to fine.
            level: Of the canvas.
            ops: Array backend.
        """
        coarsest = self.first + self.n_levels - 1
        planes: list[Array] = []
        for k in range(coarsest, level - 1, -1):
            shape = level_shape(self.canvas, k)
            for i, plane in enumerate(planes):
                tall = _double_axis(plane, 0, ops)[: shape[0]]
                planes[i] = _double_axis(tall, 1, ops)[:, : shape[1]]
            if k >= self.first:
                latent = latents[coarsest - k]
                planes.append(ops.asarray(latent << LATENT_BITS, ops.float32))
        if level:
            planes = [_smooth_axis(_smooth_axis(plane, 0, ops), 1, ops) for plane in planes]
        for i in range(len(planes), len(latents)):
            shift = level - (coarsest - i)
            mean_q = _block_sums(latents[i], 1 << shift) << (LATENT_BITS - 2 * shift)
            planes.append(ops.asarray(mean_q, ops.float32))
        zeros = ops.zeros(level_shape(self.canvas, level), ops.float32)
        return planes + [zeros] * (self.n_levels - len(planes))


def _double_axis(x: Array, axis: int, ops: Ops) -> Array:
    """Double one axis of a plane with UPSAMPLING_TAPS; see format_spec.md section 7.2."""
    n = x.shape[axis]
    wide = padded(x, axis, 4, 4, ops)
    shape = list(x.shape)
    shape[axis] *= 2
    out = ops.zeros(tuple(shape), ops.float32)
    for odd in (0, 1):
        total: Array | float = 0.5
        for k, tap in enumerate(UPSAMPLING_TAPS):
            start = k + 1 if odd else 7 - k
            part = wide[along(axis, start, start + n)] * (tap * 2.0**-7)
            part += total
            total = part
        ops.floor(part, out=part)
        out[along(axis, odd, None, 2)] = ops.clip(part, -LATENT_MAX_Q, LATENT_MAX_Q, out=part)
    return out


def _smooth_axis(x: Array, axis: int, ops: Ops) -> Array:
    """Smooth one axis of a plane with SMOOTHING_TAPS; see format_spec.md section 8.5."""
    n, reach = x.shape[axis], len(SMOOTHING_TAPS) - 1
    wide = padded(x, axis, reach, reach, ops)
    total: Array = x * (SMOOTHING_TAPS[0] * 2.0**-8) + 0.5
    for k, tap in enumerate(SMOOTHING_TAPS[1:], start=1):
        pair = wide[along(axis, reach - k, reach - k + n)]
        pair = pair + wide[along(axis, reach + k, reach + k + n)]
        pair *= tap * 2.0**-8
        total += pair
    ops.floor(total, out=total)
    return ops.clip(total, -LATENT_MAX_Q, LATENT_MAX_Q, out=total)


def _block_sums(x: npt.NDArray[np.int32], size: int) -> npt.NDArray[np.int32]:
    """Sums of ``size x size`` samples; last rows and columns are repeated to fill a block."""
    height, width = (-(-n // size) for n in x.shape)
    x = np.pad(
        x, [(0, size * m - n) for m, n in zip((height, width), x.shape, strict=True)], "edge"
    )
    sums: npt.NDArray[np.int32] = x.reshape(height, size, width, size).sum((1, 3), np.int32)
    return sums
