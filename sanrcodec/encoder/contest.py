# SPDX-License-Identifier: MIT
"""Short fits of two profiles, where the views do not tell which of them suits a light field.

Must not decide when to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch

from sanrcodec.encoder.distributed import Ranks
from sanrcodec.encoder.exposure import Exposure
from sanrcodec.encoder.fitting import fit
from sanrcodec.encoder.gains import start_gains
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.options import Options
from sanrcodec.encoder.probe import Probe
from sanrcodec.encoder.rarity import has_rare_colors
from sanrcodec.encoder.sweep import Geometry
from sanrcodec.lightfield import LightField
from sanrcodec.presets import PRESETS, gain_of, make_header

__all__ = ["CONTEST_SHARE", "Contest", "new_model"]

CONTEST_SHARE = 1 / 8  # of the steps and of the time, for each profile
_LEAST_STEPS = 50  # fewer tell little
_N_VIEWS = 16  # that are looked at


def new_model(
    light_field: LightField,
    profile: Mapping[str, int],
    geometry: Geometry | None,
    exposure: Exposure,
    options: Options,
    device: torch.device,
    ranks: Ranks,
) -> SceneModel:
    """The model of a light field before its fit.

    Args:
        light_field: To fit.
        profile: Header values, one of :data:`sanrcodec.presets.PROFILES` or like it.
        geometry: From the plane sweep, or None.
        exposure: Of the light field.
        options: Of the fit. The step of the latents follows from their lmbda, and from their
            schedule whether rare colors count for more.
        device: Where its parameters live.
        ranks: That share it.

    Raises:
        LightFieldError, LimitError: of :func:`sanrcodec.presets.make_header`.
    """
    parallax = geometry.parallax if geometry else None
    header = make_header(light_field, profile, parallax, gain_of(options.lmbda))
    minds_colors = options.schedule.minds_rare_colors and has_rare_colors(light_field)
    model = SceneModel(header, device, ranks, minds_colors)
    start_gains(model, exposure)
    return model


class Contest(NamedTuple):
    """Two profiles, and the cost ``D + lmbda * R`` that each has after a short fit.

    Attributes:
        steps: Of each fit.
        with_layers, without: Costs.
    """

    steps: int
    with_layers: float
    without: float

    @classmethod
    def of(
        cls,
        light_field: LightField,
        profiles: tuple[Mapping[str, int], Mapping[str, int]],
        exposure: Exposure,
        options: Options,
        device: torch.device,
        ranks: Ranks,
        should_stop: Callable[[], bool],
    ) -> Contest:
        """Fit both without a geometry; collective.

        Args:
            light_field: To fit.
            profiles: With and without layers.
            exposure: Of the light field.
            options: Of the whole fit, of whose steps and time each takes an eighth, but at least 50
                steps or all of them.
            device: Where to fit.
            ranks: That share the fits.
            should_stop: As :func:`~sanrcodec.encoder.fitting.fit` takes it.
        """
        preset = PRESETS[options.preset]
        share = max(_LEAST_STEPS, round(CONTEST_SHARE * options.steps))
        steps = min(options.steps, share)
        budget = options.time_budget and CONTEST_SHARE * options.time_budget
        costs = []
        for profile in profiles:
            model = new_model(light_field, profile, None, exposure, options, device, ranks)
            fit(
                model, light_field, None, preset,
                exposure=exposure if model.header.per_view else None, lmbda=options.lmbda,
                steps=steps, schedule=options.schedule, time_budget=budget, seed=options.seed,
                should_stop=should_stop, warn=lambda line: None,
            )  # fmt: skip
            costs.append(_cost(model, light_field, exposure, options.lmbda))
        return ranks.share(lambda: cls(steps, *costs))

    @property
    def has_layers(self) -> bool:
        """Whether the scene with layers is the better one."""
        return self.with_layers <= self.without

    def __str__(self) -> str:
        """One line for the user."""
        kept = "with" if self.has_layers else "without"
        return (
            f"short fits ({self.steps} steps): cost {self.with_layers:.1f} with layers, "
            f"{self.without:.1f} without; fitted {kept} layers"
        )


def _cost(model: SceneModel, light_field: LightField, exposure: Exposure, lmbda: float) -> float:
    """The cost that the fit minimizes: black views, which it does not see, have no part in it."""
    probe = Probe(model, light_field, _N_VIEWS, exposure)
    height, width = light_field.shape[2:4]
    distortion: float = 255.0**2 / 10 ** (probe.lit_psnr_yuv() / 10)
    return distortion + lmbda * probe.bits() / (height * width)
