# SPDX-License-Identifier: MIT
"""What the file of the model would be right now: bits and quality with everything rounded.

Must not change the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from sanrcodec.color import RGB_FROM_YCC, YCC_FROM_RGB
from sanrcodec.encoder.exposure import Exposure
from sanrcodec.encoder.images import block_means, color_planes
from sanrcodec.encoder.model import SceneModel
from sanrcodec.lightfield import LightField
from sanrcodec.metrics import PLANE_WEIGHTS, PSNR_CAP, psnr_yuv

__all__ = ["Probe"]

_GOLDEN = (math.sqrt(5) - 1) / 2
# A GPU waits for each small kernel: there several views are decoded at once, as long as they are
# few pixels. On a CPU that would only take memory.
_PIXELS_AT_ONCE = {"cuda": 1 << 22}
_FRAMING_BYTES = 50  # of signature, section table and checksums, about


class Probe:
    """Measures a model on some views; collective where that has several ranks.

    Args:
        model: To measure.
        light_field: The original.
        n_views: That are looked at, or as many as there are; spread evenly over the grid.
        exposure: Of the light field. Its black views decode to black, and are not looked at, but
            count in the mean as they are.

    Attributes:
        index: Numbers ``v * U + u`` of the views.
    """

    def __init__(
        self,
        model: SceneModel,
        light_field: LightField,
        n_views: int,
        exposure: Exposure | None = None,
    ) -> None:
        self.model, self.light_field = model, light_field
        exposure = exposure or Exposure(np.ones(light_field.grid))
        seen = np.flatnonzero(~exposure.is_black)
        count = len(seen)
        order = np.argsort(np.arange(count) * _GOLDEN % 1.0, kind="stable")
        places = order if n_views >= count else _spread(count, n_views)
        self.index = [int(seen[i]) for i in places]
        self._share = count / exposure.is_black.size
        self._exposure = exposure
        self._matrix = torch.tensor(YCC_FROM_RGB, device=model.latents.device)
        self._inverse = torch.tensor(RGB_FROM_YCC, device=model.latents.device)
        self._peak = float((1 << light_field.bit_depth) - 1)

    @cached_property
    def _of_black(self) -> float:
        """What black views, decoded to black, add to the mean PSNR-YUV of all."""
        levels = []
        for v, u in np.argwhere(self._exposure.is_black):
            view = self.light_field.view(int(v), int(u))
            levels.append(psnr_yuv(view, np.zeros_like(view), self.light_field.bit_depth))
        return sum(levels) / self._exposure.is_black.size

    def bits(self, latents: Tensor | None = None) -> float:
        """Estimated bits of the whole file, of these latents ``[N]`` or of the rounded ones."""
        return sum(self.parts(latents))

    @torch.no_grad()
    def parts(self, latents: Tensor | None = None) -> tuple[float, float]:
        """The same, of the latents, and of weights, header and framing."""
        weights, weight_bits = self.model.quantized_weights()
        latents = self.model.rounded_latents() if latents is None else latents
        bits = torch.stack([self.model.latent_bits(latents, weights), weight_bits])
        self.model.ranks.average_(bits)
        framing = 8 * (len(self.model.header.pack()) + _FRAMING_BYTES)
        return float(bits[0]), float(bits[1]) + framing

    def psnr_yuv(self, latents: Tensor | None = None) -> float:
        """PSNR-YUV in dB of the decoded samples, mean over all views, at the model's size."""
        return self._share * self.lit_psnr_yuv(latents) + self._of_black

    @torch.no_grad()
    def lit_psnr_yuv(self, latents: Tensor | None = None) -> float:
        """The same, mean over the views that are looked at: those that are not black."""
        weights, _ = self.model.quantized_weights()
        latents = self.model.rounded_latents() if latents is None else latents
        scene = self.model.scene(latents, weights)
        levels = []
        header = self.model.header
        n_views = max(
            1, _PIXELS_AT_ONCE.get(self._matrix.device.type, 1) // (header.height * header.width)
        )
        for begin in range(0, len(self.index), n_views):
            index, target = self.batch(self.index[begin : begin + n_views])
            target = block_means(target, 1 << self.model.level)
            errors = self.model.errors(self._shown(self.model.views(scene, weights, index)), target)
            # Views without light are exact, and count as the measure of quality counts them.
            planes = (-10 * torch.log10(errors / 255.0**2)).clamp(max=PSNR_CAP)
            levels.append(_combined(planes))
        return float(torch.cat(levels).mean())

    def _shown(self, views: Tensor) -> Tensor:
        """Views ``[B, C, H, W]`` as they are after rounding to samples."""
        samples = views.permute(0, 2, 3, 1)
        samples = samples @ self._inverse.T if views.shape[1] == 3 else samples
        samples = (samples.clamp(0, 1) * self._peak).round() / self._peak
        return color_planes(samples, self._matrix)

    def views(self) -> tuple[Tensor, Tensor]:
        """Index ``[B]`` of all its views, and targets as those of :meth:`batch`."""
        return self.batch(self.index)

    def batch(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Index ``[B]`` of some views, and targets: the rank's rows of them, ``[B, C, h, W]``.

        Both are on the device of the model.
        """
        device, n_u = self._matrix.device, self.light_field.grid[1]
        rows = slice(self.model.rows.start, self.model.rows.stop)
        views = (self.light_field.view(*divmod(number, n_u)) for number in numbers)
        samples = np.stack([view[rows] for view in views])
        # Whole samples are a quarter of the bytes that go to a device.
        whole = samples.astype(np.int32) if samples.dtype == np.uint16 else samples
        targets = torch.from_numpy(whole).to(device).float() / self._peak
        return torch.tensor(numbers, device=device), color_planes(targets, self._matrix)


def _combined(planes: Tensor) -> Tensor:
    """PSNR-YUV ``[B]`` of the PSNR of each plane ``[B, C]``."""
    return planes[:, 0] if planes.shape[1] == 1 else planes @ planes.new_tensor(PLANE_WEIGHTS)


def _spread(count: int, n_views: int) -> Sequence[int]:
    """Numbers that are spread over rows and columns alike, the middle one first."""
    return [int((0.5 + k * _GOLDEN) % 1.0 * count) for k in range(n_views)]
