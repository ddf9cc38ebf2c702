# SPDX-License-Identifier: MIT
"""From a light field to a file: sweep, fit, export, and the check that it decodes as it should.

Must leave the caller's process as it was.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sanrcodec.arithmetic.torchops import usable_device
from sanrcodec.bitstream.container import SectionType
from sanrcodec.decoder import SanrFile
from sanrcodec.encoder.checkpoint import Checkpoint, fingerprint
from sanrcodec.encoder.control import RateControl
from sanrcodec.encoder.dead_pixels import without_dead_pixels
from sanrcodec.encoder.distributed import joined
from sanrcodec.encoder.export import export
from sanrcodec.encoder.faults import faults_of
from sanrcodec.encoder.fitting import FitProgress, FitState, fit
from sanrcodec.encoder.memory import told_when_out_of_memory
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.options import Options, checked_options
from sanrcodec.encoder.process import working_on
from sanrcodec.encoder.quality import Quality
from sanrcodec.encoder.result import EncodeResult
from sanrcodec.encoder.schedule import Schedule
from sanrcodec.encoder.selfcheck import checked_quality
from sanrcodec.encoder.settle import settle
from sanrcodec.encoder.start import prepare, warn_of_start
from sanrcodec.encoder.supplement import hidden_pixels, supplemented
from sanrcodec.errors import LightFieldError, SanrError
from sanrcodec.lightfield import LightField
from sanrcodec.presets import PRESETS, checked_number

__all__ = ["default_preset", "encode"]

_logger = logging.getLogger(__name__)


def encode(
    light_field: LightField | SanrFile | np.ndarray,
    *,
    lmbda: float | None = None,
    bpp: float | None = None,
    psnr: float | None = None,
    max_size: int | None = None,
    quality: float | None = None,
    asked_as: str = "",
    preset: str | None = None,
    profile: str = "default",
    steps: int | None = None,
    schedule: Schedule | None = None,
    time_budget: float | None = None,
    device: str | None = None,
    seed: int = 0,
    metadata: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 60.0,
    on_geometry: Callable[[str], None] = lambda line: None,
    on_estimate: Callable[[int, float], None] = lambda steps, seconds: None,
    progress: Callable[[FitProgress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> EncodeResult:
    """Encode a light field.

    All processes that torchrun started work at it together: rank 0 reads and writes the checkpoint
    and reports, and all return the same result.

    Args:
        light_field: The light field, or its samples of 8 bits, ``[V, U, H, W, C]``; or an opened
            file, to encode it anew.
        lmbda: Weight of the rate in ``D + lmbda * R``: D in squared 8-bit levels, R in bits of the
            file per pixel of one view. Higher gives smaller files. 8 if nothing else is asked for;
            excludes the next four, which exclude each other.
        bpp: Bits of the file per pixel of all views that it shall have, within 3 %.
        psnr: PSNR-YUV in dB, mean over the views, that it shall have, within 0.2 dB.
        max_size: Bytes that it must not exceed. It ends less than 5 % below, if the fit has use
            for them.
        quality: 1..100, a step of a ladder of PSNR-YUV, which is 25 + quality / 4 dB.
        asked_as: How messages name what is asked for, as a command does whose option it is; by
            default they name the argument and its value.
        preset: Effort, a name of :data:`sanrcodec.presets.PRESETS`; see :func:`default_preset`.
        profile: Scene model: default, or sanr (no geometry).
        steps: Instead of the preset's number of steps.
        schedule: What happens when in the fit, instead of the preset's, see
            :data:`sanrcodec.encoder.schedule.SCHEDULES`.
        time_budget: Seconds that the fit may take; shortens its schedule.
        device: As torch names it, or its own; a CUDA device if there is one, else the CPU.
        seed: Of the fit.
        metadata: Keep seed, preset and versions in the file. That a fit was ended early is told in
            any case.
        checkpoint: File that keeps the state of the fit. If it exists, the fit goes on from there;
            ``time_budget`` is that of all runs together. It is left in place: remove it when the
            result is safe. A state that cannot be written later than the first is a warning.
        checkpoint_seconds: Between two states, about.
        on_geometry: Called on rank 0 before the fit, with a line of the views that are dark, if any
            are, and one of what the plane sweep found. If that is nothing, short fits choose
            between a scene with layers and one without, in a quarter of the time of the fit;
            another line tells what they found.
        on_estimate: Called on rank 0 before the first step, with the steps that are planned and
            the seconds that they will take, which a few tried ones tell, or on CUDA devices the
            size of the views and the speed of the memory. Not for a fit of a few dozen steps.
        progress: Called with the state of the fit every few steps.
        should_stop: Polled every step; True ends the fit early, and the file is still written.

    Raises:
        LightFieldError: the samples or an option are not usable.
        SanrError: the memory is too small, another encoding uses the checkpoint, or the self-check
            failed.
    """
    begun = time.monotonic()
    warnings: list[str] = []

    def warn(line: str) -> None:
        warnings.append(line)
        _logger.warning("%s", line)

    device = None if device is None else str(device)  # a torch.device does too
    if not isinstance(light_field, LightField):
        light_field = _light_field(light_field)
    if metadata not in (True, False):
        raise LightFieldError(f"metadata is {metadata!r}, expected True or False")
    options = checked_options(
        light_field, lmbda=lmbda, bpp=bpp, psnr=psnr, max_size=max_size, quality=quality,
        preset=preset or default_preset(device), profile=profile, steps=steps, schedule=schedule,
        time_budget=time_budget, seed=seed, asked_as=asked_as,
    )  # fmt: skip
    save_seconds = checked_number("checkpoint_seconds", checkpoint_seconds)
    with joined() as ranks:
        chosen = ranks.each(lambda: usable_device(ranks.local_device(device)))
        identity = options.identity(ranks.size)
        if checkpoint is not None or ranks.size > 1:
            identity["light field"] = fingerprint(light_field)
        if any(other != (identity, chosen.type) for other in ranks.gather((identity, chosen.type))):
            raise SanrError("the processes of this job differ in input, options or kind of device")
        ranks.use(chosen)
        kept = Checkpoint(Path(checkpoint), identity) if checkpoint is not None else None
        with ExitStack() as held, working_on(chosen), told_when_out_of_memory(chosen):
            if kept:
                ranks.share(lambda: held.enter_context(kept.held()))
            tell = on_geometry if ranks.rank == 0 else lambda line: None
            start = prepare(light_field, options, chosen, kept, ranks, should_stop, tell)
            model, geometry = start.model, start.geometry
            if ranks.rank == 0:
                warn_of_start(start, light_field, warn)
            control = None
            if options.target:
                control = RateControl(
                    options.target, model, light_field, options.lmbda, options.schedule,
                    start.exposure,
                )  # fmt: skip

            def save(state: FitState) -> None:
                if not kept:
                    return
                try:
                    kept.save({
                        "geometry": asdict(geometry) if geometry else None,
                        "contest": start.contest, "fit": state,
                    })  # fmt: skip
                except SanrError as error:
                    if not state["done"]:
                        raise
                    warn(f"{error}; the fit goes on")

            done, finished = fit(
                model, without_dead_pixels(light_field, start.dead_pixels),
                geometry.to(chosen) if geometry else None,
                PRESETS[options.preset], exposure=start.exposure,
                lmbda=options.lmbda, steps=options.steps, schedule=options.schedule,
                time_budget=start.time_budget, seed=options.seed, on_estimate=on_estimate,
                progress=progress, should_stop=should_stop, control=control, state=start.state,
                save=save if kept else None, save_seconds=save_seconds, warn=warn,
            )  # fmt: skip
            reached = control.reached if control else options.lmbda

            notes = _notes(options, reached, done, finished, metadata)

            def measure(decoded: SanrFile) -> Quality:
                return ranks.share(lambda: checked_quality(decoded, light_field, chosen, warn))

            fitted = settle(control, lambda: _write(model, notes), measure)

            def finish() -> EncodeResult:
                hidden = hidden_pixels(light_field, start.dead_pixels, start.exposure)
                written = supplemented(
                    fitted, light_field, reached, options.target, hidden, finished, warn
                )
                for line in faults_of(written.quality, light_field.grid):
                    warn(line)
                n_bytes, target = len(written.content), options.target
                return EncodeResult(
                    content=written.content,
                    bpp=written.decoded.bpp,
                    estimated_bytes=written.estimated_bytes,
                    psnr_yuv=written.quality.mean,
                    psnr_yuv_min=written.quality.minimum,
                    geometry=start.outcome,
                    steps=done,
                    finished=finished,
                    seconds=time.monotonic() - begun,
                    device=(f"{ranks.size} x " if ranks.size > 1 else "") + _name(chosen),
                    lmbda=reached,
                    missed=target.missed(n_bytes, written.quality.mean) if target else "",
                    unused=target.unused(n_bytes) if target else "",
                    warnings=tuple(warnings),
                )

            return ranks.share(finish)


def _light_field(samples: Any) -> LightField:
    """The light field of an array; an opened file tells its bit depth itself.

    Raises:
        LightFieldError: the samples are not usable, or a path.
    """
    if isinstance(samples, str | bytes | os.PathLike):
        raise LightFieldError(
            f"{samples!r} is a path, expected a light field; read it first, by "
            "sanrcodec.io.read_light_field"
        )
    array, bit_depth = np.asarray(samples), getattr(samples, "bit_depth", 8)
    try:
        return LightField(array, bit_depth)
    except LightFieldError as error:
        if array.dtype != np.uint16:
            raise
        raise LightFieldError(f"{error}: give LightField(samples, bit_depth)") from None


def _notes(
    options: Options, lmbda: float, steps: int, finished: bool, metadata: bool
) -> dict[str, Any] | None:
    """What the file tells of its fit, or None."""
    if not metadata and finished:
        return None
    notes: dict[str, Any] = {"steps": steps, "finished": finished}
    if not metadata:
        return notes
    versions = {"encoder": options.encoder, "torch": torch.__version__}
    return {**versions, **options.notes(lmbda), **notes}


def default_preset(device: str | None = None) -> str:
    """What a device can do in minutes: ``medium`` with CUDA, else ``fast``.

    Args:
        device: As :func:`encode` takes it.
    """
    on_gpu = torch.cuda.is_available() if device is None else device.startswith("cuda")
    return "medium" if on_gpu else "fast"


def _write(model: SceneModel, notes: dict[str, Any] | None) -> tuple[bytes, int, SanrFile]:
    """The file, how many bytes the fit expected of it, and the same opened again."""
    with torch.no_grad():
        weights, bits = model.quantized_weights()
        estimated = float(bits + model.latent_bits(model.rounded_latents(), weights)) / 8
    content, decoded = export(model, notes)
    coded = sum(
        len(decoded.sections[s].payload) for s in (SectionType.WEIGHTS, SectionType.LATENTS)
    )
    return content, round(estimated + len(content) - coded), decoded


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
