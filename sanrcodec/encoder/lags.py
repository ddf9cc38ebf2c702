# SPDX-License-Identifier: MIT
"""How fast latents follow lmbda: a model of that, which rate control looks ahead with.

Must not look at any fit: the rates of a schedule are all that it knows.
"""

from __future__ import annotations

import numpy as np
import torch

from sanrcodec.encoder.schedule import Schedule

__all__ = ["Lags"]

_STEPS = 40.0  # at full rate, in which two thirds of a change of lmbda have come to the latents
_N = 400  # places at which the rates of a schedule are looked up


class Lags:
    """Time, counted in lags of the latents behind lmbda.

    Args:
        schedule: Of the fit.
        until: Progress at which the latents come to rest.
    """

    def __init__(self, schedule: Schedule, until: float) -> None:
        self._at = np.linspace(0.0, until, _N + 1)
        middles = (self._at[1:] + self._at[:-1]) / 2
        rates = []
        for progress in middles:
            phase = schedule.stage_at(progress).phase
            rates.append(phase.rate * float(schedule.decay(phase, torch.tensor(progress))))
        self._sum = np.concatenate([[0.0], np.cumsum(rates) * until / _N])

    def between(self, begin: float, end: float) -> float:
        """Lags between two progresses, per step of the fit."""
        first, last = np.interp((begin, end), self._at, self._sum)
        return float(last - first) / _STEPS
