# SPDX-License-Identifier: MIT
"""What an encoding was asked for, checked; knows neither samples nor devices."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from sanrcodec.encoder.export import smallest_size
from sanrcodec.encoder.schedule import SCHEDULES, Schedule
from sanrcodec.encoder.target import Target, target_of
from sanrcodec.errors import LightFieldError
from sanrcodec.lightfield import LightField
from sanrcodec.presets import (
    DEFAULT_LMBDA,
    FLAT_PROFILE,
    PRESETS,
    PROFILES,
    checked_number,
    checked_whole,
    gain_of,
    make_header,
)

__all__ = ["Options", "checked_options"]


@dataclass(frozen=True, slots=True)
class Options:
    """All that decides about a fit, but for the light field and the processes.

    Attributes:
        preset, profile: Their names.
        lmbda: Weight of the rate, from which a fit with a target only starts.
        target: What the file shall be like, or None.
        steps: Of the fit.
        schedule: What happens when.
        time_budget: Seconds, or None.
        seed: Of the fit.
    """

    preset: str
    profile: str
    lmbda: float
    target: Target | None
    steps: int
    schedule: Schedule
    time_budget: float | None
    seed: int

    @property
    def encoder(self) -> str:
        """Name and version of this package."""
        from sanrcodec import __version__

        return f"sanrcodec {__version__}"

    def notes(self, lmbda: float) -> dict[str, Any]:
        """What a file can tell of them.

        Args:
            lmbda: That the fit ended with.
        """
        named: dict[str, Any] = {
            "preset": self.preset, "profile": self.profile, "lmbda": lmbda, "seed": self.seed,
        }  # fmt: skip
        if self.target is not None:
            named["target"] = f"{self.target.name} {self.target.value:g}"
        return named

    def identity(self, n_processes: int) -> dict[str, Any]:
        """Name and value of all that the state of a fit depends on, for a checkpoint.

        Args:
            n_processes: That share the fit.
        """
        return {
            "encoder": self.encoder, **self.notes(self.lmbda), "steps": self.steps,
            "time budget": self.time_budget, "processes": n_processes,
            **{f"schedule's {name}": str(value) for name, value in asdict(self.schedule).items()},
        }  # fmt: skip


def checked_options(
    light_field: LightField,
    *,
    lmbda: float | None,
    bpp: float | None,
    psnr: float | None,
    max_size: int | None,
    quality: float | None,
    preset: str,
    profile: str,
    steps: int | None,
    schedule: Schedule | None,
    time_budget: float | None,
    seed: int,
    asked_as: str = "",
) -> Options:
    """The options of :func:`sanrcodec.encode`, which describes them.

    Raises:
        LightFieldError: one is outside its range, two contradict each other, or no file is as small
            as it is asked for.
        LimitError: the light field is larger than the format allows.
    """
    if preset not in PRESETS or profile not in PROFILES:
        raise LightFieldError(
            f"preset {preset}, profile {profile}: "
            f"expected {'|'.join(PRESETS)} and {'|'.join(PROFILES)}"
        )
    n_pixels, n_views = math.prod(light_field.shape[:4]), math.prod(light_field.grid)
    target = target_of(
        n_pixels, bpp=bpp, psnr=psnr, max_size=max_size, quality=quality, asked_as=asked_as
    )
    if target is not None and lmbda is not None:
        raise LightFieldError(f"lmbda and {target.name} contradict each other; give one of them")
    if target is not None and target.bits is not None:
        _check_size(target, target.bits, light_field, preset, profile)
    if lmbda is None:
        lmbda = target.guess(n_pixels, n_views) if target else DEFAULT_LMBDA
    usual = PRESETS[preset].steps_for(*light_field.shape[2:4])
    return Options(
        preset=preset,
        profile=profile,
        lmbda=checked_number("lmbda", lmbda),
        target=target,
        steps=usual if steps is None else checked_whole("steps", steps),
        schedule=SCHEDULES[preset] if schedule is None else schedule,
        time_budget=None if time_budget is None else checked_number("time_budget", time_budget),
        seed=checked_whole("seed", seed),
    )


def _check_size(
    target: Target, bits: float, light_field: LightField, preset: str, profile: str
) -> None:
    """Refuse a target of so many bits if no file of the light field can be as small.

    Raises:
        LightFieldError: says how small a file can be.
        LimitError: the light field is larger than the format allows.
    """
    # Where the views tell no geometry, short fits choose between these two.
    models = PRESETS[preset].model(PROFILES[profile]), PROFILES[FLAT_PROFILE]
    gain = gain_of(DEFAULT_LMBDA)
    least = min(smallest_size(make_header(light_field, model, None, gain)) for model in models)
    if 8 * least > bits and target.missed(least, math.nan):
        raise LightFieldError(
            f"{target.label} asks for {bits / 8:.0f} bytes, but every file of this "
            f"light field has {least} or more; ask for a larger size"
        )
