# SPDX-License-Identifier: MIT
"""Encoding: the only part of sanrcodec that needs PyTorch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sanrcodec.errors import LightFieldError, MissingEncoderError, SanrError

try:
    import torch
except ImportError as error:
    raise MissingEncoderError('encoding needs PyTorch: pip install "sanrcodec[encoder]"') from error

from sanrcodec.container import SectionType
from sanrcodec.decoder import SanrFile
from sanrcodec.encoder.export import export
from sanrcodec.encoder.fit import FitProgress, fit
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.presets import PRESETS, PROFILES, make_header
from sanrcodec.encoder.sweep import estimate_geometry
from sanrcodec.lightfield import LightField
from sanrcodec.metrics import light_field_psnr_yuv
from sanrcodec.synthesis import Scene
from sanrcodec.torchops import TorchOps, usable_device

__all__ = ["EncodeResult", "FitProgress", "encode"]

DEFAULT_LMBDA = 8.0


@dataclass(frozen=True, slots=True)
class EncodeResult:
    """What an encoding gave.

    Attributes:
        content: The whole .sanr file.
        bpp: Of ``content``, per pixel of all views.
        estimated_bytes: The fit's own rate estimate plus header and framing, for comparison.
        psnr_yuv, psnr_yuv_min: Mean and minimum over views, of the decoded file, in dB.
        steps: Done.
        seconds: Whole encoding, self-check included.
        device: Name of the device.
    """

    content: bytes
    bpp: float
    estimated_bytes: int
    psnr_yuv: float
    psnr_yuv_min: float
    steps: int
    seconds: float
    device: str


def encode(
    light_field: LightField | np.ndarray,
    *,
    lmbda: float = DEFAULT_LMBDA,
    preset: str = "medium",
    profile: str = "default",
    steps: int | None = None,
    time_budget: float | None = None,
    device: str | None = None,
    seed: int = 0,
    metadata: bool = False,
    progress: Callable[[FitProgress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> EncodeResult:
    """Encode a light field.

    Args:
        light_field: The light field, or its samples, uint8 ``[V, U, H, W, C]``.
        lmbda: Weight of the rate in ``D + lmbda * R``: D in squared 8-bit levels, R in bits of the
            file per pixel of one view. Higher gives smaller files.
        preset: Effort: fast, medium or slow.
        profile: Scene model: default, or sanr (no geometry).
        steps: Instead of the preset's number of steps.
        time_budget: Seconds that the fit may take; shortens its schedule.
        device: As torch names it; a CUDA device if there is one, else the CPU.
        seed: Of the fit.
        metadata: Keep seed, preset and versions in the file.
        progress: Called with the state of the fit every few steps.
        should_stop: Polled every step; True ends the fit early, and the file is still written.

    Raises:
        LightFieldError: the samples or an option are not usable.
        SanrError: the self-check failed.
    """
    begun = time.monotonic()
    if not isinstance(light_field, LightField):
        light_field = LightField(np.asarray(light_field), 8)
    if preset not in PRESETS or profile not in PROFILES:
        raise LightFieldError(
            f"preset {preset}, profile {profile}: "
            f"expected {'|'.join(PRESETS)} and {'|'.join(PROFILES)}"
        )
    if not lmbda > 0 or not np.isfinite(lmbda):
        raise LightFieldError(f"lmbda is {lmbda}, expected a positive number")
    chosen = usable_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if chosen.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
    shape = PROFILES[profile]
    with torch.no_grad():
        geometry = estimate_geometry(light_field, chosen) if shape.layers else None
    header = make_header(
        light_field,
        shape,
        geometry.extent if geometry else 0.0,
        bool(geometry and geometry.mirrored),
    )
    model = SceneModel(header, chosen)
    effort = PRESETS[preset]
    done = fit(
        model, light_field, geometry, effort, lmbda=lmbda, steps=steps or effort.steps,
        time_budget=time_budget, seed=seed, progress=progress, should_stop=should_stop,
    )  # fmt: skip

    notes: dict[str, Any] | None = None
    if metadata:
        from sanrcodec import __version__

        notes = {
            "encoder": f"sanrcodec {__version__}", "torch": torch.__version__, "preset": preset,
            "profile": profile, "lmbda": lmbda, "steps": done, "seed": seed,
        }  # fmt: skip
    with torch.no_grad():
        weights, bits = model.quantized_weights()
        estimated = float(bits + model.latent_bits(torch.round(model.latents), weights)) / 8
    content, decoded = export(model, notes)
    coded = sum(
        len(decoded.sections[s].payload) for s in (SectionType.WEIGHTS, SectionType.LATENTS)
    )
    estimated += len(content) - coded
    _check_twin(decoded, chosen)
    psnr, psnr_min = light_field_psnr_yuv(
        (light_field.view(*divmod(i, header.n_u)) for i in range(header.n_v * header.n_u)),
        decoded.views(),
        light_field.bit_depth,
    )
    return EncodeResult(
        content=content, bpp=decoded.bpp, estimated_bytes=round(estimated), psnr_yuv=psnr,
        psnr_yuv_min=psnr_min, steps=done, seconds=time.monotonic() - begun,
        device=torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else "cpu",
    )  # fmt: skip


def _check_twin(decoded: SanrFile, device: torch.device) -> None:
    """The integers, synthesized by torch, must give the numpy decoder's samples."""
    header = decoded.header
    with torch.no_grad():
        scene = Scene(header, decoded.weights, decoded.latents, TorchOps(device))
        for v, u in {(0, 0), ((header.n_v - 1) // 2, (header.n_u - 1) // 2)}:
            ours = scene.render(v, u).cpu().numpy()
            if not np.array_equal(ours, decoded.view(v, u)):
                raise SanrError(
                    f"self-check failed: view {v},{u} decodes to other samples; please report this"
                )
