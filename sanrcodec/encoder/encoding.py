# SPDX-License-Identifier: MIT
"""From a light field to a file: sweep, fit, export, and the check that it decodes as it should.

Must leave the caller's process as it was.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sanrcodec.arithmetic.torchops import torch_ops, usable_device
from sanrcodec.bitstream.container import SectionType
from sanrcodec.bitstream.defaults import untrained
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.decoder import SanrFile
from sanrcodec.encoder.checkpoint import Checkpoint, fingerprint
from sanrcodec.encoder.control import RateControl
from sanrcodec.encoder.distributed import joined
from sanrcodec.encoder.export import export
from sanrcodec.encoder.exposure import Exposure, measure_exposure
from sanrcodec.encoder.fitting import FitProgress, FitState, fit
from sanrcodec.encoder.gains import start_gains
from sanrcodec.encoder.geometry_report import describe_geometry
from sanrcodec.encoder.memory import check_memory, is_out_of_memory, told_when_out_of_memory
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.process import working_on
from sanrcodec.encoder.resumable import checked_fit, checked_geometry
from sanrcodec.encoder.schedule import DEFAULT_SCHEDULE, Schedule
from sanrcodec.encoder.settle import settle
from sanrcodec.encoder.sweep import Geometry, estimate_geometry
from sanrcodec.encoder.target import target_of
from sanrcodec.errors import LightFieldError, SanrError, located
from sanrcodec.io import write_atomically
from sanrcodec.lightfield import LightField
from sanrcodec.metrics import light_field_psnr_yuv
from sanrcodec.presets import (
    DEFAULT_LMBDA,
    FLAT_PROFILE,
    MAX_LMBDA,
    MAX_SECONDS,
    MAX_SEED,
    MAX_STEPS,
    MIN_LMBDA,
    PRESETS,
    PROFILES,
    gain_of,
    make_header,
)
from sanrcodec.scene.parts import tensor_specs
from sanrcodec.scene.scene import Scene

__all__ = ["EncodeResult", "default_preset", "encode"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class EncodeResult:
    """What an encoding gave.

    Attributes:
        content: The whole .sanr file.
        bpp: Of ``content``, per pixel of all views.
        estimated_bytes: The fit's own rate estimate plus header and framing, for comparison; of
            several processes that of rank 0, from its share of the latents.
        psnr_yuv, psnr_yuv_min: Mean and minimum over views, of the decoded file, in dB; NaN if it
            could not be measured, since views cannot be read any more or memory is full.
        geometry: ``found``, ``not found`` (the file then has a scene without layers), or ``none``
            for a profile without geometry.
        steps: Done.
        finished: Whether these are all that were planned.
        seconds: Whole encoding, self-check included.
        device: Name of the device.
        lmbda: Weight of the rate, as given or as a target led to it.
        missed: One line of what was asked and what was reached, if that was missed; else empty.
    """

    content: bytes
    bpp: float
    estimated_bytes: int
    psnr_yuv: float
    psnr_yuv_min: float
    geometry: str
    steps: int
    finished: bool
    seconds: float
    device: str
    lmbda: float
    missed: str

    def __repr__(self) -> str:
        """One line: size, quality and time."""
        return (
            f"<EncodeResult: {len(self.content)} bytes, {self.bpp:.5f} bpp, PSNR-YUV "
            f"{self.psnr_yuv:.2f} dB (worst view {self.psnr_yuv_min:.2f}), {self.steps} steps"
            f"{'' if self.finished else ', ended early'}, {self.seconds:.1f} s on {self.device}>"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all.

        Raises:
            SanrError: the system refuses.
        """
        write_atomically(path, self.content)


def encode(
    light_field: LightField | np.ndarray,
    *,
    lmbda: float | None = None,
    bpp: float | None = None,
    psnr: float | None = None,
    max_size: int | None = None,
    quality: float | None = None,
    preset: str | None = None,
    profile: str = "default",
    steps: int | None = None,
    schedule: Schedule = DEFAULT_SCHEDULE,
    time_budget: float | None = None,
    device: str | None = None,
    seed: int = 0,
    metadata: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 60.0,
    on_geometry: Callable[[str], None] = lambda line: None,
    progress: Callable[[FitProgress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> EncodeResult:
    """Encode a light field.

    All processes that torchrun started work at it together: rank 0 reads and writes the checkpoint
    and reports, and all return the same result.

    Args:
        light_field: The light field, or its samples of 8 bits, ``[V, U, H, W, C]``.
        lmbda: Weight of the rate in ``D + lmbda * R``: D in squared 8-bit levels, R in bits of the
            file per pixel of one view. Higher gives smaller files. 8 if nothing else is asked for;
            excludes the next four, which exclude each other.
        bpp: Bits of the file per pixel of all views that it shall have, within 3 %.
        psnr: PSNR-YUV in dB, mean over the views, that it shall have, within 0.2 dB.
        max_size: Bytes that it must not exceed; it ends less than 5 % below.
        quality: 1..100, a step of a ladder of PSNR-YUV, which is 25 + quality / 4 dB.
        preset: Effort, a name of :data:`sanrcodec.presets.PRESETS`; see :func:`default_preset`.
        profile: Scene model: default, or sanr (no geometry).
        steps: Instead of the preset's number of steps.
        schedule: What happens when in the fit.
        time_budget: Seconds that the fit may take; shortens its schedule.
        device: As torch names it; a CUDA device if there is one, else the CPU.
        seed: Of the fit.
        metadata: Keep seed, preset and versions in the file. That a fit was ended early is told in
            any case.
        checkpoint: File that keeps the state of the fit. If it exists, the fit goes on from there;
            ``time_budget`` is that of all runs together. It is left in place: remove it when the
            result is safe. A state that cannot be written later than the first is a warning.
        checkpoint_seconds: Between two states, about.
        on_geometry: Called on rank 0 before the fit, with a line of what the plane sweep found.
        progress: Called with the state of the fit every few steps.
        should_stop: Polled every step; True ends the fit early, and the file is still written.

    Raises:
        LightFieldError: the samples or an option are not usable.
        SanrError: the memory is too small, another encoding uses the checkpoint, or the self-check
            failed.
    """
    begun = time.monotonic()
    if not isinstance(light_field, LightField):
        light_field = LightField(np.asarray(light_field), 8)
    preset = preset or default_preset(device)
    if preset not in PRESETS or profile not in PROFILES:
        raise LightFieldError(
            f"preset {preset}, profile {profile}: "
            f"expected {'|'.join(PRESETS)} and {'|'.join(PROFILES)}"
        )
    n_pixels, n_views = math.prod(light_field.shape[:4]), math.prod(light_field.grid)
    target = target_of(n_pixels, bpp=bpp, psnr=psnr, max_size=max_size, quality=quality)
    if target is not None and lmbda is not None:
        raise LightFieldError(f"lmbda and {target.name} contradict each other; give one of them")
    if lmbda is None:
        lmbda = target.guess(n_pixels, n_views) if target else DEFAULT_LMBDA
    for name, value, least, most in (
        ("lmbda", lmbda, MIN_LMBDA, MAX_LMBDA),
        ("steps", steps, 1, MAX_STEPS),
        ("time_budget", time_budget, 0, MAX_SECONDS),
        ("checkpoint_seconds", checkpoint_seconds, 0, MAX_SECONDS),
        ("seed", seed, 0, MAX_SEED),
    ):
        if value is not None and not least <= value <= most:
            raise LightFieldError(f"{name} is {value}, expected {least:g} to {most:g}")
    from sanrcodec import __version__

    encoder = f"sanrcodec {__version__}"
    options: dict[str, Any] = {
        "preset": preset, "profile": profile, "lmbda": lmbda, "seed": seed
    }  # fmt: skip
    if target is not None:
        options["target"] = f"{target.name} {target.value:g}"
    with joined() as ranks:
        chosen = ranks.each(lambda: usable_device(ranks.local_device(device)))
        identity = {
            "encoder": encoder, **options, "steps": steps, "time budget": time_budget,
            "processes": ranks.size,
            **{f"schedule's {name}": str(value) for name, value in asdict(schedule).items()},
        }  # fmt: skip
        if checkpoint is not None or ranks.size > 1:
            identity["light field"] = fingerprint(light_field)
        if any(other != (identity, chosen.type) for other in ranks.gather((identity, chosen.type))):
            raise SanrError("the processes of this job differ in input, options or kind of device")
        ranks.use(chosen)
        kept = Checkpoint(Path(checkpoint), identity) if checkpoint is not None else None
        sweeps = PROFILES[profile]["layers"] > 0 and light_field.grid != (1, 1)
        with ExitStack() as held, working_on(chosen), told_when_out_of_memory(chosen):
            if kept:
                ranks.share(lambda: held.enter_context(kept.held()))
            height, width = light_field.shape[2:4]
            has_layers = PROFILES[profile]["layers"] > 0
            ranks.each(lambda: check_memory(height * width, has_layers, chosen))
            n_steps = steps or PRESETS[preset].steps
            exposure = ranks.share(lambda: measure_exposure(light_field))
            geometry, state = ranks.share(
                lambda: _start(light_field, exposure, sweeps, chosen, kept, n_steps, ranks.size)
            )
            outcome = _outcome(geometry, sweeps)
            shape = PROFILES[profile]
            if outcome == "not found":
                # Layers whose disparities mean nothing cost more than they give.
                shape = {**PROFILES[FLAT_PROFILE], "per_view": int(exposure.is_dead.any())}
            header = make_header(
                light_field, shape, geometry.parallax if geometry else None, gain_of(lmbda)
            )
            if ranks.rank == 0:
                on_geometry(describe_geometry(geometry, light_field.grid, sweeps))
                _warn_of_untrained(header)
            model = SceneModel(header, chosen, (ranks.rank, ranks.size))
            start_gains(model, exposure)
            control = RateControl(target, model, light_field, lmbda, ranks) if target else None

            def save(state: FitState) -> None:
                if not kept:
                    return
                try:
                    kept.save({"geometry": asdict(geometry) if geometry else None, "fit": state})
                except SanrError as error:
                    if not state["done"]:
                        raise
                    _logger.warning("%s; the fit goes on", error)

            done, finished = fit(
                model, light_field, geometry.to(chosen) if geometry else None, PRESETS[preset],
                exposure=exposure if header.per_view else None,
                lmbda=lmbda, steps=n_steps, schedule=schedule,
                time_budget=time_budget, seed=seed, progress=progress, should_stop=should_stop,
                ranks=ranks, control=control, state=state, save=save if kept else None,
                save_seconds=checkpoint_seconds,
            )  # fmt: skip
            notes: dict[str, Any] = {"steps": done, "finished": finished}
            if control is not None:
                options["lmbda"] = float(control.lmbda)
            if metadata:
                notes = {"encoder": encoder, "torch": torch.__version__, **options, **notes}

            def finish() -> EncodeResult:
                written = settle(
                    model, light_field, target,
                    lambda: _write(model, notes if metadata or not finished else None),
                    lambda decoded: _check(decoded, light_field, chosen),
                )  # fmt: skip
                return EncodeResult(
                    content=written.content,
                    bpp=written.decoded.bpp,
                    estimated_bytes=written.estimated_bytes,
                    psnr_yuv=written.psnr_yuv,
                    psnr_yuv_min=written.psnr_yuv_min,
                    geometry=outcome,
                    steps=done,
                    finished=finished,
                    seconds=time.monotonic() - begun,
                    device=(f"{ranks.size} x " if ranks.size > 1 else "") + _name(chosen),
                    lmbda=options["lmbda"],
                    missed=target.missed(len(written.content), written.psnr_yuv) if target else "",
                )

            return ranks.share(finish)


def _outcome(geometry: Geometry | None, sweeps: bool) -> str:
    """Of the plane sweep, as a result tells it."""
    if not sweeps:
        return "none"
    return "found" if geometry else "not found"


def default_preset(device: str | None = None) -> str:
    """What a device can do in minutes: ``medium`` with CUDA, else ``fast``.

    Args:
        device: As :func:`encode` takes it.
    """
    on_gpu = torch.cuda.is_available() if device is None else device.startswith("cuda")
    return "medium" if on_gpu else "fast"


def _start(
    light_field: LightField,
    exposure: Exposure,
    sweeps: bool,
    device: torch.device,
    checkpoint: Checkpoint | None,
    steps: int,
    n_ranks: int,
) -> tuple[Geometry | None, FitState | None]:
    """Geometry on the CPU, and the state of the fit to go on from, if there is one.

    The swept geometry is part of the checkpoint: another device might find a slightly different
    one, and with it another model.
    """
    kept = checkpoint.load() if checkpoint else None
    if kept is not None and checkpoint is not None:
        n_v, n_u, height, width, _ = light_field.shape
        size = (height, width) if sweeps and n_v * n_u > 1 else None
        with located(str(checkpoint.path)):
            geometry = checked_geometry(kept.get("geometry"), size)
            return geometry, checked_fit(kept.get("fit"), steps, n_ranks)
    with torch.no_grad():
        geometry = estimate_geometry(light_field, device, exposure) if sweeps else None
    return geometry.to("cpu") if geometry else None, None


def _warn_of_untrained(header: StreamHeader) -> None:
    """Say which networks begin as pseudo-random numbers: their files are larger."""
    names = untrained(tensor_specs(header))
    if names:
        _logger.warning(
            "no weights were trained for a scene model of this shape; "
            "these tensors begin at random: %s",
            ", ".join(names),
        )


def _write(model: SceneModel, notes: dict[str, Any] | None) -> tuple[bytes, int, SanrFile]:
    """The file, how many bytes the fit expected of it, and the same opened again."""
    with torch.no_grad():
        weights, bits = model.quantized_weights()
        estimated = float(bits + model.latent_bits(torch.round(model.latents), weights)) / 8
    content, decoded = export(model, notes)
    coded = sum(
        len(decoded.sections[s].payload) for s in (SectionType.WEIGHTS, SectionType.LATENTS)
    )
    return content, round(estimated + len(content) - coded), decoded


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _check(decoded: SanrFile, light_field: LightField, device: torch.device) -> tuple[float, float]:
    """Check that the file decodes as it should, and measure its quality.

    The file is what a long fit leaves: that it cannot be measured is no reason to lose it.
    """
    try:
        _check_twin(decoded, device)
        return light_field_psnr_yuv(light_field.views(), decoded.views(), light_field.bit_depth)
    except (LightFieldError, MemoryError, RuntimeError) as error:
        if not isinstance(error, LightFieldError) and not is_out_of_memory(error):
            raise
        reason = error if isinstance(error, LightFieldError) else f"out of memory on {device}"
        _logger.warning("the quality of the file is not measured: %s", reason)
        return math.nan, math.nan


def _check_twin(decoded: SanrFile, device: torch.device) -> None:
    """The integers, synthesized by torch, must give the numpy decoder's samples."""
    header = decoded.header
    with torch.no_grad():
        ops = torch_ops(device)
        scene = Scene(header, decoded.weights, decoded.latents, ops)
        for v, u in {(0, 0), ((header.n_v - 1) // 2, (header.n_u - 1) // 2)}:
            ours = ops.to_numpy(scene.render(v, u))
            if not np.array_equal(ours, decoded.view(v, u)):
                raise SanrError(
                    f"self-check failed: view {v},{u} decodes to other samples; please report this"
                )
