# SPDX-License-Identifier: MIT
"""How bright each view is, and which views show nothing.

Must not change samples: dark views are coded as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sanrcodec.color import YCC_FROM_RGB
from sanrcodec.lightfield import LightField

__all__ = ["Exposure", "measure_exposure"]

_DEAD, _DARK = 0.05, 0.5  # of the usual brightness


@dataclass(frozen=True, slots=True)
class Exposure:
    """Brightness of the views ``[V, U]``.

    Attributes:
        gain: float64, mean luma as a share of what is usual: the median of all
            views that are not black beside the brightest one.
    """

    gain: npt.NDArray[np.float64]

    @property
    def is_dead(self) -> npt.NDArray[np.bool_]:
        """Views that are black or nearly so: they say nothing of the scene."""
        return self.gain < _DEAD

    @property
    def is_dark(self) -> npt.NDArray[np.bool_]:
        """Views that are far darker than the others, dead ones among them."""
        return self.gain < _DARK


def measure_exposure(light_field: LightField) -> Exposure:
    """Measure the brightness of all views; each is read once."""
    means = np.array([_mean_luma(view) for view in light_field.views()])
    lit = means[means > _DEAD * means.max()]
    gain = means / np.median(lit) if len(lit) else np.ones_like(means)
    return Exposure(gain.reshape(light_field.grid))


def _mean_luma(view: npt.NDArray[np.generic]) -> float:
    mean = view.mean((0, 1), dtype=np.float64)
    return float(mean @ np.array(YCC_FROM_RGB[0]) if len(mean) == 3 else mean[0])
