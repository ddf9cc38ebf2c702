# SPDX-License-Identifier: MIT
"""How bright and how noisy each view is, and which views show nothing.

Must not change samples: dark views are coded as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sanrcodec.color import YCC_FROM_RGB
from sanrcodec.lightfield import LightField

__all__ = ["BLACK", "Exposure", "bright_luma", "luma_of", "measure_exposure"]

_DEAD, _DARK = 0.05, 0.5  # of the usual brightness
BLACK = 0.05  # of what a view's bright pixels have: below it a pixel is black
_BRIGHT = 0.95  # share of the pixels of a view that are darker than its bright ones
_MOSTLY = 0.5  # of its pixels, black beyond what is usual: a view says nothing of the scene
_SPECKLED = 0.001  # likewise: some of its pixels may be dead
_NOISY = 1.5  # times the usual variance of noise; texture alone makes a difference of 1.4
_ROUNDING = 1 / 12  # variance of rounding to samples

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Exposure:
    """Brightness of the views ``[V, U]``.

    Attributes:
        gain: float64, mean luma as a share of what is usual: the median of all
            views that are not black beside the brightest one.
        black: float64, share of black pixels; or one number ``[1, 1]`` for all views.
        noise: float64, variance of the noise in samples squared, fine texture included; likewise.
        has_light: Whether any view is not black all over. Views that all are black count as usual.
    """

    gain: Floats
    black: Floats = field(default_factory=lambda: np.zeros((1, 1)))
    noise: Floats = field(default_factory=lambda: np.zeros((1, 1)))
    has_light: bool = True

    @property
    def is_black(self) -> npt.NDArray[np.bool_]:
        """Views that are black or nearly so."""
        return self.gain < _DEAD

    @property
    def is_dead(self) -> npt.NDArray[np.bool_]:
        """Views that are black, or whose pixels mostly are: they say nothing of the scene."""
        return self.is_black | (self._excess > _MOSTLY)

    @property
    def is_dark(self) -> npt.NDArray[np.bool_]:
        """Views that are far darker than the others, dead ones among them."""
        return (self.gain < _DARK) | self.is_dead

    @property
    def is_speckled(self) -> npt.NDArray[np.bool_]:
        """Views that are not dead, but have black pixels that others do not have."""
        return (self._excess > _SPECKLED) & ~self.is_dead

    @property
    def excess_noise(self) -> Floats:
        """Variance of the noise as a share of what is usual, 1 where that is no clear excess."""
        noise = np.broadcast_to(self.noise, self.gain.shape) + _ROUNDING
        lit = noise[~self.is_dead]
        share = noise / (float(np.median(lit)) if lit.size else 1.0)
        return np.where((share > _NOISY) & ~self.is_dead, share, 1.0)

    @property
    def _excess(self) -> Floats:
        """Share of black pixels beyond what most views have."""
        lit = np.broadcast_to(self.black, self.gain.shape)[~self.is_black]
        usual = float(np.median(lit)) if lit.size else 0.0
        excess: Floats = self.black - usual
        return excess


def measure_exposure(light_field: LightField) -> Exposure:
    """Measure the brightness and noise of all views; each is read once."""
    means, black, noise = [], [], []
    for view in light_field.views():
        luma = luma_of(view)
        is_black = luma < BLACK * bright_luma(luma)
        means.append(float(luma.mean()))
        black.append(float(is_black.mean()))
        noise.append(_noise(luma, is_black))
    mean = np.array(means)
    lit = mean[mean > _DEAD * mean.max()]
    gain = mean / np.median(lit) if len(lit) else np.ones_like(mean)
    grid = light_field.grid
    of_views = np.reshape(gain, grid), np.reshape(black, grid), np.reshape(noise, grid)
    return Exposure(*of_views, has_light=len(lit) > 0)


def luma_of(view: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Luma, float32 ``[H, W]``, of the samples ``[H, W, C]`` of a view, in their unit."""
    if view.shape[-1] == 1:
        return view[..., 0].astype(np.float32)
    luma: npt.NDArray[np.float32] = view.astype(np.float32) @ np.array(YCC_FROM_RGB[0], np.float32)
    return luma


def bright_luma(luma: npt.NDArray[np.float32]) -> float:
    """What the bright pixels of a view have, from its luma ``[H, W]``."""
    return float(np.quantile(luma, _BRIGHT))


def _noise(luma: npt.NDArray[np.float32], is_black: npt.NDArray[np.bool_]) -> float:
    """Variance of the noise of a view, from its luma and black pixels ``[H, W]``.

    Of the differences of second differences, which slopes and straight edges do not have
    (Immerkaer, CVIU 1996), by their median, which texture moves little.
    """
    if min(luma.shape) < 3:
        return 0.0
    rows = luma[:-2] - 2 * luma[1:-1] + luma[2:]
    second = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    touched = is_black[:-2] | is_black[1:-1] | is_black[2:]
    second = np.abs(second[~(touched[:, :-2] | touched[:, 1:-1] | touched[:, 2:])])
    # The factors of nine pixels have a sum of squares of 36; a median is 0.6745 deviations.
    return float(np.square(np.median(second) / (6 * 0.6745))) if second.size else 0.0
