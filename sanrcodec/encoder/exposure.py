# SPDX-License-Identifier: MIT
"""How bright each view is, and which views show nothing.

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

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Exposure:
    """Brightness of the views ``[V, U]``.

    Attributes:
        gain: float64, mean luma as a share of what is usual: the median of all
            views that are not black beside the brightest one.
        black: float64, share of black pixels; or one number ``[1, 1]`` for all views.
    """

    gain: Floats
    black: Floats = field(default_factory=lambda: np.zeros((1, 1)))

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
    def _excess(self) -> Floats:
        """Share of black pixels beyond what most views have."""
        lit = np.broadcast_to(self.black, self.gain.shape)[~self.is_black]
        usual = float(np.median(lit)) if lit.size else 0.0
        excess: Floats = self.black - usual
        return excess


def measure_exposure(light_field: LightField) -> Exposure:
    """Measure the brightness of all views; each is read once."""
    means, black = [], []
    for view in light_field.views():
        luma = luma_of(view)
        means.append(float(luma.mean()))
        black.append(float((luma < BLACK * bright_luma(luma)).mean()))
    mean = np.array(means)
    lit = mean[mean > _DEAD * mean.max()]
    gain = mean / np.median(lit) if len(lit) else np.ones_like(mean)
    shape = light_field.grid
    return Exposure(gain.reshape(shape), np.array(black).reshape(shape))


def luma_of(view: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Luma, float32 ``[H, W]``, of the samples ``[H, W, C]`` of a view, in their unit."""
    if view.shape[-1] == 1:
        return view[..., 0].astype(np.float32)
    luma: npt.NDArray[np.float32] = view.astype(np.float32) @ np.array(YCC_FROM_RGB[0], np.float32)
    return luma


def bright_luma(luma: npt.NDArray[np.float32]) -> float:
    """What the bright pixels of a view have, from its luma ``[H, W]``."""
    return float(np.quantile(luma, _BRIGHT))
