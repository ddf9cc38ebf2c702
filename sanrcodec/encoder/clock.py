# SPDX-License-Identifier: MIT
"""Time and steps of a fit; knows nothing of what a step does, but how much work it is."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from sanrcodec.encoder.schedule import USUAL_COSTS, Schedule

__all__ = ["Clock"]

# Of the time that was expected of a fit: what counts as much as the steps that were timed, where
# these tell how a size that was not worked at yet compares with what was expected of it.
_EXPECTED_SHARE = 0.3
_EXPECTED_STEPS = 10.0  # of a size, which count as what was expected of them


class Clock:
    """Steps done and planned, and how these follow from the time that there is.

    A step costs more or less by the size that it works at, so each size has its own pace.

    Args:
        steps: That the fit may take.
        budget: Seconds for all of them, or None.
        schedule: Tells the size of each step.
        earlier: Steps planned and done, and seconds spent, by processes before this one.
        search: What the search for the weights' steps takes: as long as so many steps of whole
            views, and seconds that do not depend on their size.
        afterwards: What follows the last step takes, as a share of the planned steps, if each of
            them were one of whole views.

    Attributes:
        planned, done: Steps.
        begun: Time on the monotonic clock, in seconds.
    """

    def __init__(
        self,
        steps: int,
        budget: float | None,
        schedule: Schedule,
        earlier: tuple[int, int, float] | None,
        search: tuple[float, float] = (0.0, 0.0),
        afterwards: float = 0.0,
    ) -> None:
        self.steps, self.budget, self._schedule, self._search = steps, budget, schedule, search
        self._afterwards = afterwards
        self.planned, self.done, self.spent = earlier or (steps, 0, 0.0)
        self.begun = monotonic()
        self._expected: Sequence[float] = ()
        n_levels = 1 + max(phase.level for phase in schedule.phases)
        self._timed = [[0.0, 0] for _ in range(n_levels)]  # seconds and steps of each level
        # Of the last look at the time: that, steps done, and level, None before the first.
        self._last: tuple[float, int, int | None] = self.begun, self.done, None

    def expect(self, seconds: Sequence[float]) -> None:
        """Take over what is known of the seconds of a step at each level before the first one."""
        self._expected = seconds

    @property
    def seconds(self) -> float:
        """Of this fit, those of earlier processes included."""
        return self.spent + monotonic() - self.begun

    def count(self) -> None:
        """One more step is done."""
        self.done += 1

    def look(self) -> None:
        """Time the steps since the last look; call it where the device has done them."""
        now, level = monotonic(), self._level(self.done - 1)
        begun, done, before = self._last
        # The first steps of a size capture graphs and warm caches.
        if level == before == self._level(done) and self.done > done:
            self._timed[level][0] += now - begun
            self._timed[level][1] += self.done - done
        self._last = now, self.done, level

    def plan(self, searched: bool) -> None:
        """Plan as many steps as there is time for, and one at least.

        Args:
            searched: Whether the weights' steps are known. The latents rest then: they would move
                again if the end of the fit came to be further away, so that no steps are added.
        """
        costs = self._costs()
        if self.budget is None or costs is None:
            return
        # Rounded latents cost no more per step than noisy ones: time extrapolates.
        left = self.budget - self.seconds - (0.0 if searched else self._search_seconds(costs))
        # The largest number of steps whose work is done in time.
        low = max(1, self.done)
        high = max(low, self.planned if searched else self.steps)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._left(middle, costs) <= left else (low, middle - 1)
        self.planned = low

    def seconds_left(self, searched: bool) -> float | None:
        """Of the steps that are planned, the search for the weights' steps, and what follows.

        Args:
            searched: Whether that is done.

        Returns:
            None while nothing is known; 0 at the end in any case.
        """
        if self.done >= self.planned:
            return 0.0
        costs = self._costs()
        if costs is None:
            return None
        return self._left(self.planned, costs) + (0.0 if searched else self._search_seconds(costs))

    def _search_seconds(self, costs: Sequence[float]) -> float:
        steps, seconds = self._search
        return steps * costs[0] + seconds

    def _costs(self) -> list[float] | None:
        """Seconds of a step at each level."""
        timed = [(seconds, n) for seconds, n in self._timed]
        n_timed = sum(n for _, n in timed)
        if self._expected:
            expected = list(self._expected)
            known = _EXPECTED_SHARE * self.planned * self._schedule.work(0.0, 1.0, expected)
        elif n_timed:
            expected, known = list(USUAL_COSTS[: len(timed)]), 0.0
        elif self.spent and self.done:  # by earlier processes
            expected = list(USUAL_COSTS[: len(timed)])
            work = self.planned * self._schedule.work(0.0, self.done / self.planned, expected)
            return [self.spent / work * cost for cost in expected]
        else:
            return None
        in_time = sum(n * cost for (_, n), cost in zip(timed, expected, strict=True))
        ratio = (sum(seconds for seconds, _ in timed) + known) / max(in_time + known, 1e-9)
        return [
            (seconds + _EXPECTED_STEPS * ratio * cost) / (n + _EXPECTED_STEPS)
            for (seconds, n), cost in zip(timed, expected, strict=True)
        ]

    def _level(self, step: int) -> int:
        """Of a step, counted from 0."""
        return self._schedule.stage_at(step / self.planned).phase.level

    def _left(self, planned: int, costs: Sequence[float]) -> float:
        if not planned:
            return 0.0
        work = self._schedule.work(self.done / planned, 1.0, costs)
        return planned * (work + self._afterwards * costs[0])
