# SPDX-License-Identifier: MIT
"""Time and steps of a fit; knows nothing of what a step does."""

from __future__ import annotations

import time

__all__ = ["Clock"]


class Clock:
    """Steps done and planned, and how these follow from the time that there is.

    Args:
        steps: That the fit may take.
        budget: Seconds for all of them, or None.
        earlier: Steps planned and done, and seconds spent, by processes before this one.

    Attributes:
        planned, done: Steps.
        begun: Time on the monotonic clock, in seconds.
    """

    def __init__(
        self, steps: int, budget: float | None, earlier: tuple[int, int, float] | None
    ) -> None:
        self.steps, self.budget = steps, budget
        self.planned, self.done, self.spent = earlier or (steps, 0, 0.0)
        self.begun = self.timed_from = time.monotonic()
        self.timed_at: int | None = None

    @property
    def seconds(self) -> float:
        """Of this fit, those of earlier processes included."""
        return self.spent + time.monotonic() - self.begun

    def seconds_per_step(self) -> float | None:
        """Mean of the latest steps; None where the time begins to count just now."""
        now = time.monotonic()
        if self.timed_at is None and self.done < self.planned:
            # The first steps capture graphs and warm caches: time starts behind them.
            self.timed_at, self.timed_from = self.done, now
            return None
        return (now - self.timed_from) / max(1, self.done - (self.timed_at or 0))

    def plan(self, per_step: float, steps_ahead: int) -> None:
        """Plan as many steps as there is time for, ``steps_ahead`` of which go to other work."""
        if self.budget is not None:
            # Rounded latents cost no more per step than noisy ones: time extrapolates.
            left = (self.budget - self.seconds) / max(per_step, 1e-6) - steps_ahead
            self.planned = min(self.steps, self.done + max(0, int(left)))
