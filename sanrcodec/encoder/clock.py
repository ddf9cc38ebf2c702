# SPDX-License-Identifier: MIT
"""Time and steps of a fit; knows nothing of what a step does, but how much work it is."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Clock"]

_EXPECTED_SHARE = 0.02  # of a fit, which count for as much as what was expected


class Clock:
    """Steps done and planned, and how these follow from the time that there is.

    Work is counted in steps of whole views: those of smaller views are parts of one.

    Args:
        steps: That the fit may take.
        budget: Seconds for all of them, or None.
        work: Share of a fit's work between two progresses, as
            :meth:`~sanrcodec.encoder.schedule.Schedule.work` gives it.
        earlier: Steps planned and done, and seconds spent, by processes before this one.

    Attributes:
        planned, done: Steps.
        begun: Time on the monotonic clock, in seconds.
    """

    def __init__(
        self,
        steps: int,
        budget: float | None,
        work: Callable[[float, float], float],
        earlier: tuple[int, int, float] | None,
    ) -> None:
        self.steps, self.budget, self._work = steps, budget, work
        self.planned, self.done, self.spent = earlier or (steps, 0, 0.0)
        self.begun = self._timed_from = time.monotonic()
        self._timed: float | None = None
        self._expected: float | None = None

    def expect(self, seconds: float, work: Callable[[float, float], float]) -> None:
        """Take over what is known before the first step: of one of whole views, and of the work."""
        self._expected, self._work = seconds, work

    @property
    def seconds(self) -> float:
        """Of this fit, those of earlier processes included."""
        return self.spent + time.monotonic() - self.begun

    @property
    def work_done(self) -> float:
        """Steps of whole views that what is done is worth, those of earlier processes included."""
        return self.planned * self._work(0.0, self.done / self.planned)

    @property
    def work_left(self) -> float:
        """Steps of whole views that what is planned is worth."""
        return self._left(self.planned)

    def count(self) -> None:
        """One more step is done."""
        progress = self.done / self.planned
        self.done += 1
        if self._timed is not None:
            self._timed += self.planned * self._work(progress, self.done / self.planned)

    def seconds_per_work(self) -> float | None:
        """Mean of this process's steps and of what was expected; None while nothing is known."""
        now = time.monotonic()
        if self._timed is None and self.done < self.planned:
            # The first steps capture graphs and warm caches: time starts behind them.
            self._timed, self._timed_from = 0.0, now
            return self._expected
        timed, seconds = self._timed or 0.0, now - self._timed_from
        if self._expected is not None:
            # The first few steps of a fit say less than what was tried before.
            known = _EXPECTED_SHARE * self.planned * self._work(0.0, 1.0)
            timed, seconds = timed + known, seconds + known * self._expected
        return seconds / max(timed or 1.0, 1e-6)

    def plan(self, per_work: float, ahead: float) -> None:
        """Plan as many steps as there is time for, and one at least.

        Args:
            per_work: Seconds of a step of whole views.
            ahead: Such steps whose time goes to other work.
        """
        if self.budget is None:
            return
        # Rounded latents cost no more per step than noisy ones: time extrapolates.
        left = (self.budget - self.seconds) / max(per_work, 1e-6) - ahead
        # The largest number of steps whose work is done in time.
        low, high = max(1, self.done), self.steps
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._left(middle) <= left else (low, middle - 1)
        self.planned = low

    def _left(self, planned: int) -> float:
        return planned * self._work(self.done / planned, 1.0) if planned else 0.0
