# SPDX-License-Identifier: MIT
"""What a fit starts from: how the views are lit and move, which scene suits them, and its model.

Must not fit that model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sanrcodec.bitstream.defaults import untrained
from sanrcodec.encoder.checkpoint import Checkpoint
from sanrcodec.encoder.contest import Contest, new_model
from sanrcodec.encoder.dead_pixels import Mask, describe_dead_pixels, find_dead_pixels
from sanrcodec.encoder.distributed import Ranks
from sanrcodec.encoder.exposure import Exposure, measure_exposure
from sanrcodec.encoder.faults import limits_of
from sanrcodec.encoder.fitting import FitState
from sanrcodec.encoder.geometry_report import (
    describe_exposure,
    describe_geometry,
    describe_order,
)
from sanrcodec.encoder.memory import check_memory
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.options import Options
from sanrcodec.encoder.resumable import checked_contest, checked_fit, checked_geometry
from sanrcodec.encoder.sweep import Geometry, estimate_geometry
from sanrcodec.errors import located
from sanrcodec.lightfield import LightField
from sanrcodec.presets import FLAT_PROFILE, PRESETS, PROFILES
from sanrcodec.scene.parts import tensor_specs

__all__ = ["Start", "prepare", "warn_of_start"]

_LEAST_SECONDS = 0.1  # of a fit


@dataclass(frozen=True, slots=True)
class Start:
    """A model before its fit.

    Attributes:
        model: Its initial state.
        geometry: Of the plane sweep, on the CPU, or None.
        dead_pixels: bool ``[H, W]`` of each view that has some.
        state: Where the fit goes on, or None.
        exposure: Of the light field; None where the model has no gains for it.
        has_light: Whether any view is not black.
        time_budget: Seconds that are left for the steps, or None.
        outcome: Of the search for geometry, as a result tells it.
        contest: Whether the scene has layers, and how many seconds it took to find that out; None
            if that was no question.
    """

    model: SceneModel
    geometry: Geometry | None
    dead_pixels: dict[tuple[int, int], Mask]
    state: FitState | None
    exposure: Exposure | None
    has_light: bool
    time_budget: float | None
    outcome: str
    contest: tuple[bool, float] | None


def prepare(
    light_field: LightField,
    options: Options,
    device: torch.device,
    checkpoint: Checkpoint | None,
    ranks: Ranks,
    should_stop: Callable[[], bool],
    tell: Callable[[str], None],
) -> Start:
    """Look at the light field, and make the model for it; collective.

    Args:
        light_field: To fit.
        options: Of the encoding.
        device: Where to fit.
        checkpoint: Whose geometry, contest and state are taken over, if it has been written before.
        ranks: That share the fit.
        should_stop: Polled by the short fits of a contest, as by the fit itself.
        tell: Called with a line of what is dark, if anything is, one of what the plane sweep found,
            and another one after a contest.

    Raises:
        SanrError: the memory is too small, or the checkpoint is none of this fit.
    """
    height, width = light_field.shape[2:4]
    profile = PRESETS[options.preset].model(PROFILES[options.profile])
    has_layers = profile["layers"] > 0
    sweeps = has_layers and light_field.grid != (1, 1)
    ranks.each(lambda: check_memory(height * width, has_layers, device, ranks))
    exposure = ranks.share(lambda: measure_exposure(light_field))
    geometry, contest, state = ranks.share(
        lambda: _swept_or_kept(
            light_field, exposure, sweeps, device, checkpoint, options.steps, ranks.size
        )
    )
    if exposure.has_light and (line := describe_exposure(exposure)):
        tell(line)
    tell(describe_geometry(geometry, light_field.grid, sweeps))
    outcome = "none" if not sweeps else "found" if geometry else "not found"
    budget = options.time_budget
    if outcome == "not found":
        # Its layers begin flat: they may still find what the sweep did not.
        flat = {**PROFILES[FLAT_PROFILE], "per_view": int(exposure.is_dead.any())}
        if contest is None:
            begun = time.monotonic()
            found = Contest.of(
                light_field, (profile, flat), exposure, options, device, ranks, should_stop
            )
            tell(str(found))
            contest = found.has_layers, ranks.share(lambda: time.monotonic() - begun)
        has_layers, seconds = contest
        profile = profile if has_layers else flat
        budget = budget and max(budget - seconds, _LEAST_SECONDS)
    model = new_model(light_field, profile, geometry, exposure, options, device, ranks)
    used = exposure if model.header.per_view else None
    # Without a geometry nothing tells where another view shows the same.
    extent = geometry.extent if geometry else None
    dead = ranks.share(
        lambda: {} if extent is None else find_dead_pixels(light_field, exposure, extent)
    )
    return Start(model, geometry, dead, state, used, exposure.has_light, budget, outcome, contest)


def warn_of_start(start: Start, light_field: LightField, warn: Callable[[str], None]) -> None:
    """Say before a fit what will cost quality or bytes, or looks wrong in the input.

    Args:
        start: Of the fit.
        light_field: To fit.
        warn: Called with each line.
    """
    header, geometry = start.model.header, start.geometry
    if not start.has_light:
        warn("all views are black; look with sanr inspect whether the input is the right one")
    # Networks that begin as pseudo-random numbers make files larger.
    if names := untrained(tensor_specs(header)):
        warn(
            "no weights were trained for a scene model of this shape; "
            f"these tensors begin at random: {', '.join(names)}"
        )
    if line := describe_order(light_field):
        warn(line)
    for line in limits_of(geometry.extent if geometry else 0.0, header):
        warn(line)
    if start.dead_pixels:
        warn(describe_dead_pixels(start.dead_pixels))


def _swept_or_kept(
    light_field: LightField,
    exposure: Exposure,
    sweeps: bool,
    device: torch.device,
    checkpoint: Checkpoint | None,
    steps: int,
    n_ranks: int,
) -> tuple[Geometry | None, tuple[bool, float] | None, FitState | None]:
    """Geometry on the CPU; the outcome of a contest and the state of the fit to go on from, if any.

    The swept geometry is part of the checkpoint: another device might find a slightly different
    one, and with it another model.
    """
    kept = checkpoint.load() if checkpoint else None
    if kept is not None and checkpoint is not None:
        n_v, n_u, height, width, _ = light_field.shape
        size = (height, width) if sweeps and n_v * n_u > 1 else None
        with located(str(checkpoint.path)):
            geometry = checked_geometry(kept.get("geometry"), size)
            contest = checked_contest(kept.get("contest"), size is not None and geometry is None)
            return geometry, contest, checked_fit(kept.get("fit"), steps, n_ranks)
    with torch.no_grad():
        geometry = estimate_geometry(light_field, device, exposure) if sweeps else None
    return geometry.to("cpu") if geometry else None, None, None
