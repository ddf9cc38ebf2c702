# SPDX-License-Identifier: MIT
"""What the rest of a typical fit still changes in its file; must not look at any fit.

Numbers were read off fits of eight real scenes with targets, preset fast and preset medium, see
results/notebook/rate_control.md.
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Outlook", "end_gain_db", "growth_foreseen", "outlook_of"]

# What the networks still gain when the latents have come to rest: more in short fits, which begin
# with smaller views. Beyond the target, since none can be added then.
_END_DB, _END_OF_SHORT_DB, _SPARE_DB = 0.02, 0.1, 0.06
# Of the latents' bits, once whole views have been fitted too, at lmbda 1: of half the size, a
# quarter, ...; and how fast this falls with lmbda, since finer latents are the first to go.
_GROWTH_OF_SMALLER = ((1.4, 0.05), (2.9, 0.17), (6.0, 0.3))
# The same, of what some steps of whole views have shown.
_GROWTH_FORESEEN = 1.18, 0.04
# Share that is left of all other bits, at the begin of whole views, at their end, and at a quarter
# of the size: where a bit is cheap; what this falls by with the logarithm of its price, which is
# lmbda by the pixels of a view; and the least.
_LEFT_AT_BEGIN, _LEFT_AT_END, _LEFT_AT_QUARTER = (
    (0.68, 0.052, 0.3), (0.8, 0.03, 0.5), (0.8, 0.055, 0.25),
)  # fmt: skip
_CHEAP = 1.7e-6
_STEPS_SEEN = 640


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


def outlook_of(
    level: int, after_smaller: bool, progress: float, n_steps: int, lmbda: float, n_pixels: int
) -> Outlook:
    """What a fit has ahead of it.

    Args:
        level: Of the canvas now: views are smaller by ``2**level``.
        after_smaller: Whether the fit began with smaller views than these.
        progress: 0..1, of the steps of this size.
        n_steps: Of the whole fit.
        lmbda: That the latents have followed.
        n_pixels: Of a whole view.
    """
    if level:
        return _of_smaller(level, progress, n_steps, lmbda, n_pixels)
    if after_smaller:
        return _of_whole_after_smaller(progress, lmbda, n_pixels)
    return _of_whole(progress, n_steps)


def end_gain_db(after_smaller: bool) -> float:
    """What PSNR-YUV still gains when the latents have come to rest, in dB.

    Args:
        after_smaller: Whether the fit began with smaller views.
    """
    return _END_OF_SHORT_DB if after_smaller else _END_DB


def growth_foreseen(growth: float, lmbda: float) -> float:
    """Factor of the latents' bits until the end, after some steps of whole views were tried.

    Args:
        growth: By these steps, against half the size.
        lmbda: That the latents have followed.
    """
    factor, fall = _GROWTH_FORESEEN
    return growth * factor * math.pow(lmbda, -fall)


def _of_smaller(level: int, progress: float, n_steps: int, lmbda: float, n_pixels: int) -> Outlook:
    """While views are smaller: they come to be better than whole ones will be."""
    ahead = 1 - progress
    growth, fall = _GROWTH_OF_SMALLER[min(level, len(_GROWTH_OF_SMALLER)) - 1]
    gain_db = 2.2 * ahead - 1.1 if level == 1 else 2.5 * ahead - 0.5
    # Fewer steps of whole views than were seen do less.
    gain_db -= 0.5 * max(0.0, _STEPS_SEEN / n_steps - 1)
    left = _left(_LEFT_AT_QUARTER, lmbda, n_pixels)
    if level == 1:
        left = (0.8 + 0.2 * progress) * _left(_LEFT_AT_END, lmbda, n_pixels)
    return Outlook(growth * math.pow(lmbda, -fall), left, gain_db)


def _of_whole_after_smaller(progress: float, lmbda: float, n_pixels: int) -> Outlook:
    """On whole views, in a fit that began with smaller ones, as short fits do."""
    ahead = 1 - progress
    # Latents move by rates that fall until they rest: what is left to happen falls faster than the
    # steps that are left.
    growth = (lmbda / 2) ** (-0.045 * ahead**2)
    # The networks' bits fall with their rates; then the search for their steps takes a part.
    begin, end = (_left(of, lmbda, n_pixels) for of in (_LEFT_AT_BEGIN, _LEFT_AT_END))
    gain_db = 1.3 * math.pow(ahead, 2.8)
    gain_db += end_gain_db(after_smaller=True) - _SPARE_DB
    return Outlook(growth, begin + (end - begin) * progress, gain_db)


def _of_whole(progress: float, n_steps: int) -> Outlook:
    """On whole views from the first step on."""
    ahead = 1 - progress
    early = 6.5 * math.exp(-5.5 * progress) * math.pow(max(1.0, n_steps / 400), -0.35)
    steady = 0.8 * math.pow(ahead, 2.0) * min(1.0, n_steps / 8000)
    gain_db = max(early, steady) + end_gain_db(after_smaller=False) - _SPARE_DB
    # The networks' bits fall more than in short fits.
    left = 0.14 + 0.46 * progress
    return Outlook(1 - 0.1 * ahead, left, gain_db)


def _left(share: tuple[float, float, float], lmbda: float, n_pixels: int) -> float:
    """Share of all bits but those of the latents, by one of the triples above."""
    most, fall, least = share
    return max(least, most - fall * max(0.0, math.log(lmbda / n_pixels / _CHEAP)))
