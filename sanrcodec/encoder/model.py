# SPDX-License-Identifier: MIT
"""The model of a fit: latents and weights, the scene that they make, and what both cost.

Must not write files or schedule a fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sanrcodec.bitstream.grids import LATENT_MAX
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.tensors import Weights
from sanrcodec.bitstream.weights import SHIFT_MAX
from sanrcodec.encoder.bands import Band
from sanrcodec.encoder.distributed import ALONE, Ranks
from sanrcodec.encoder.functions import clamp
from sanrcodec.encoder.images import block_means
from sanrcodec.encoder.loss import (
    color_outliers,
    mse_yuv,
    outlier_block,
    plane_errors,
    plane_means,
)
from sanrcodec.encoder.parameters import LatentVector, WeightVector
from sanrcodec.encoder.part import FloatWeights
from sanrcodec.encoder.rarity import rare_weights
from sanrcodec.encoder.rate import LatentRate
from sanrcodec.encoder.scene import FloatScene, Known, Scene
from sanrcodec.encoder.views import Views

__all__ = ["Quantizer", "SceneModel"]

Quantizer = Callable[[Tensor], Tensor]

_STEP_FAILURES = 2  # doublings of a step that did not pay, after which no more are tried


class _Parts(NamedTuple):
    """What depends on the size of the canvas."""

    rate: LatentRate
    scene: Scene
    views: Views
    band: Band


class SceneModel(nn.Module):
    """Scene of one light field: latents, networks, and how they become views and bits.

    Args:
        header: Shape of the scene.
        device: Where the parameters live.
        ranks: The processes that share the steps of a fit. Each computes a band of the rows of all
            views, and what that sees of the scene. Of the latents' bits each estimates those of its
            share, of which the mean over the ranks is exact.
        has_rare_colors: Whether pixels of a rare color count for more in the cost.

    Attributes:
        latents: All latents, float32 ``[N]`` in steps.
        weights: All weights, float32 ``[n]``, as differences to their defaults.
        latent_vector, weight_vector: How grids and tensors lie in them.
        level: Of the canvas, at which the model works.
        band: Rows of the views that this rank computes; all of them if it is alone.
        rows: The same, of whole views.
    """

    def __init__(
        self,
        header: StreamHeader,
        device: torch.device | str = "cpu",
        ranks: Ranks = ALONE,
        has_rare_colors: bool = False,
    ) -> None:
        super().__init__()
        self.header, self.ranks, self.has_rare_colors = header, ranks, has_rare_colors
        self.latent_vector = LatentVector(header)
        self.weight_vector = WeightVector(header, device)
        self.latents = nn.Parameter(torch.zeros(self.latent_vector.size, device=device))
        self.weights = nn.Parameter(torch.zeros(self.weight_vector.size, device=device))
        self._at: dict[int, _Parts] = {}
        self.set_level(0)
        self.rows = self.band.rows

    def set_level(self, level: int) -> None:
        """Work at the size of a level from now on.

        Views are smaller by ``2**level``, and so is the canvas. Finer latents are taken to be zero
        and free of bits, which suits a fit that has not begun with them.

        Args:
            level: 0 for whole views; less than there are levels of texture and of geometry, and at
                most 2 if there are several ranks.

        Raises:
            SanrError: several ranks cannot share that level.
        """
        header, ranks, device = self.header, self.ranks, self.latents.device
        if level not in self._at:
            share, band = (ranks.rank, ranks.size), Band(header, ranks, level)
            self._at[level] = _Parts(
                LatentRate(header, self.latent_vector, device, share, level),
                Scene(header, level),
                Views(band, device),
                band,
            )
        self.level = level
        self.rate, self.scene_part, self.views_part, self.band = self._at[level]

    def quantized_weights(self) -> tuple[FloatWeights, Tensor]:
        """Real weights after rounding (straight-through), per tensor, and their bits, ``[]``."""
        weights, bits = self.weight_vector(self.weights)
        return weights, bits

    def rounded_latents(self) -> Tensor:
        """Latents ``[N]`` as the file holds them, still floats."""
        return torch.round(self.latents.detach()).clamp(-LATENT_MAX, LATENT_MAX)

    def latent_bits(self, latents: Tensor, weights: FloatWeights) -> Tensor:
        """Estimated bits of quantized latents ``[N]``, summed, from this rank's share of them."""
        bits: Tensor = self.rate(latents, weights)
        return bits

    def scene(
        self, latents: Tensor, weights: FloatWeights, known: Known | None = None
    ) -> FloatScene:
        """Canonical scene, of the rows that this rank's band of the views can see.

        Args:
            latents: Quantized, ``[N]``.
            weights: Real weights per tensor.
            known: Parts of the scene that are not computed again; gets those that are computed.
        """
        known = Known() if known is None else known

        def seen() -> FloatScene:
            planes = self.latent_vector.planes(latents)
            scene: FloatScene = self.scene_part(planes, weights, self.band.window, known)
            return scene

        return known.once("scene", seen)

    def views(self, scene: FloatScene, weights: FloatWeights, index: Tensor) -> Tensor:
        """Colors ``[B, C, h, W]`` of the views ``v * U + u``, of this rank's rows of them.

        See :class:`Views`.
        """
        views: Tensor = self.views_part(scene, weights, index)
        return views

    def errors(self, views: Tensor, target: Tensor) -> Tensor:
        """:func:`plane_errors` ``[B, C]`` of whole views, the same on all ranks; collective.

        Args:
            views: ``[B, C, h, W]``, this rank's rows.
            target: Likewise.
        """
        return self.band.mean(plane_errors(views, target))

    def loss(
        self,
        index: Tensor,
        target: Tensor,
        quantize: Quantizer,
        lmbda: float | Tensor,
        importance: Tensor | None = None,
        color_weight: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor], FloatScene]:
        """Rate-distortion cost ``D + lmbda * R`` of some views.

        D is the mean squared error of which PSNR-YUV is the decibel, R the estimated bits of the
        whole file per pixel of one view. Collective: the mean over the ranks of the costs, and of
        their gradients, is what one process would find.

        Args:
            index: int64 ``[B]``, the same on all ranks.
            target: ``[B, C, h, W]``, this rank's rows of whole views, as :meth:`views` gives them
                at level 0.
            quantize: Latents ``[n]`` -> quantized latents.
            lmbda: Weight of the rate.
            importance: ``[B]``, factor of each view's error in the cost; 1 by default.
            color_weight: ``[]``, of :func:`~sanrcodec.encoder.loss.color_outliers` in the cost; 0
                by default.

        Returns:
            Cost, figures (``bits`` of this rank's share, ``mse``, and ``view_mse`` of each view),
            and the scene.
        """
        weights, weight_bits = self.quantized_weights()
        vector = self.latent_vector
        active: Tensor = self.latents
        if self.level:
            active = active[: vector.size_down_to(self.level)]
        latents = clamp(quantize(active), -LATENT_MAX, LATENT_MAX)
        if self.level:
            latents = F.pad(latents, (0, vector.size - len(active)))
        bits = self.latent_bits(latents, weights) + weight_bits
        scene = self.scene(latents, weights)
        views = self.views(scene, weights, index)
        target = block_means(target, 1 << self.level)
        squares = F.mse_loss(views, target, reduction="none")
        distortion, errors = self._distortion(squares, target, importance)
        cost = distortion + lmbda * self._per_pixel(bits)
        errors = errors.detach()
        # Of each view, and of all.
        view_mse, mse = mse_yuv(torch.cat([errors, errors.mean(0, keepdim=True)])).split(
            [len(errors), 1]
        )
        if color_weight is not None:
            outliers = color_outliers(squares, view_mse, self.level).mean()
            cost = cost + color_weight * self.band.part(outliers, outlier_block(self.level))
        figures = {"bits": bits.detach(), "mse": mse[0], "view_mse": view_mse}
        return cost, figures, scene

    def figures(
        self,
        latents: Tensor,
        index: Tensor,
        target: Tensor,
        known: Known,
        group: str = "",
        before: Tensor | None = None,
        importance: Tensor | None = None,
    ) -> Tensor:
        """Squared error in levels, bits of the latents, and bits of these and the weights: ``[3]``.

        The error has what pixels of a rare color cost beside it. Collective.

        Args:
            latents: Integers ``[N]``.
            index: int64 ``[B]``, the views by which to judge.
            target: ``[B, C, h, W]``, this rank's rows of these views, at the size of the level.
            known: Parts of the scene that are not computed again; gets those that are computed.
            group: Of the tensor that has changed since ``before``.
            before: Earlier figures, of which what the tensor cannot change is taken.
            importance: ``[B]``, factor of each view's error; 1 by default.
        """
        weights, weight_bits = self.quantized_weights()
        # The entropy networks' tensors cannot change a sample, and no others the latents' rate.
        if before is not None and group == "arm":
            mse = before[0]
        else:
            views = self.views(self.scene(latents, weights, known), weights, index)
            squares = F.mse_loss(views, target, reduction="none")
            mse, _ = self._distortion(squares, target, importance)
        if before is not None and group != "arm":
            latent_bits = before[1]
        else:
            latent_bits = self.latent_bits(latents, weights)
        found = torch.stack([mse, latent_bits, latent_bits + weight_bits])
        self.ranks.average_(found)
        return found

    def _distortion(
        self, squares: Tensor, target: Tensor, importance: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """What errors cost, ``[]``, and those of the planes, ``[B, C]``; collective.

        Args:
            squares: ``[B, C, h, W]``, squared errors in 0..1 of this rank's rows.
            target: ``[B, C, h, W]``, what the views should be.
            importance: ``[B]``, factor of each view's error; 1 by default.
        """
        errors = self.band.mean(plane_means(squares))
        weighted = errors if importance is None else errors * importance[:, None]
        cost = mse_yuv(weighted.mean(0))
        if self.has_rare_colors:
            rare = plane_means(squares * rare_weights(target, self.band.mean))
            cost = cost + self.band.mean(rare).sum(1).mean()
        return cost, errors

    @torch.no_grad()
    def coarsen(
        self,
        index: Tensor,
        target: Tensor,
        lmbda: float | Tensor,
    ) -> None:
        """Choose how coarsely each tensor's differences are coded, one after the other.

        How finely a weight must be known follows neither from its size nor from its gradient, but
        can be tried: the step is doubled as long as the cost of the rounded scene falls.
        Collective.

        Args:
            index: int64 ``[B]``, the views by which to judge.
            target: ``[B, C, h, W]``, this rank's rows of whole views, as :meth:`views` gives them
                at level 0.
            lmbda: Weight of the rate.
        """
        latents = self.rounded_latents()
        target = block_means(target, 1 << self.level)
        step = self.weight_vector.step

        def cost_of(figures: Tensor) -> Tensor:
            return figures[0] + lmbda * self._per_pixel(figures[2])

        known = Known()
        figures = self.figures(latents, index, target, known)
        for spec, part in zip(self.weight_vector.specs, self.weight_vector.slices, strict=True):
            group = spec.name.split(".")[0]
            kept, failures = 1.0, 0
            for shift in range(1, SHIFT_MAX + 1):
                step[part] = 2.0**shift
                parts = known.without(group)
                found = self.figures(latents, index, target, parts, group, figures)
                if cost_of(found) < cost_of(figures):
                    figures, known = found, parts
                    kept, failures = 2.0**shift, 0
                elif (failures := failures + 1) == _STEP_FAILURES:
                    break
            step[part] = kept

    @torch.no_grad()
    def load(self, weights: Weights, latents: list[np.ndarray]) -> None:
        """Take over the integers of a file with the same header."""
        self.weights.copy_(self.weight_vector.vector(weights))
        self.latents.copy_(self.latent_vector.vector(latents))

    @torch.no_grad()
    def integers(self) -> tuple[Weights, list[np.ndarray]]:
        """Weights and latents as the file holds them."""
        weights = self.weight_vector.integers(self.weights)
        return weights, self.latent_vector.integers(self.rounded_latents())

    def _per_pixel(self, bits: Tensor) -> Tensor:
        return bits / (self.header.height * self.header.width)
