# SPDX-License-Identifier: MIT
"""What the rest of a typical fit still changes in its file; must not look at any fit.

Numbers were read off fits with preset fast of real scenes (the notebook, format 0.8), and off
longer ones of whole views.
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Outlook", "outlook_of"]

_SPARE_DB = 0.15  # the end of a fit can take quality away, but not add any
# Of the latents' bits, once whole views have been fitted too: of half the size, a quarter, ...
_GROWTH_OF_SMALLER = (1.22, 2.5, 6.0)


class Outlook(NamedTuple):
    """The end of a fit, against what is there.

    Attributes:
        growth: Factor of the latents' bits.
        left: Share that is left of all other bits.
        gain_db: Of PSNR-YUV, rather too much than too little: bits that an early lmbda is too low
            for are never given back.
    """

    growth: float
    left: float
    gain_db: float


def outlook_of(level: int, after_smaller: bool, progress: float, n_steps: int) -> Outlook:
    """What a fit has ahead of it.

    Args:
        level: Of the canvas now: views are smaller by ``2**level``.
        after_smaller: Whether the fit began with smaller views than these.
        progress: 0..1, of the steps of this size.
        n_steps: Of the whole fit.
    """
    ahead = 1 - progress
    if level:
        growth = _GROWTH_OF_SMALLER[min(level, len(_GROWTH_OF_SMALLER)) - 1]
        # Smaller views come to be better than whole ones will be.
        return Outlook(growth, 0.55, 1.5 * ahead - 0.5)
    if after_smaller:
        return Outlook(1 - 0.06 * ahead, 0.55, math.pow(ahead, 1.5) - _SPARE_DB)
    early = 6.5 * math.exp(-5.5 * progress) * math.pow(max(1.0, n_steps / 400), -0.35)
    steady = 2.0 * math.pow(ahead, 1.3) * min(1.0, n_steps / 8000)
    # The search for the weights' steps halves their bits.
    left = 0.14 + 0.46 * progress
    return Outlook(1 - 0.18 * ahead, left, max(early, steady) - _SPARE_DB)
