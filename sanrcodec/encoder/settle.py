# SPDX-License-Identifier: MIT
"""The file of a fitted model, cut down until it meets what was asked for.

Must not fit: what the fit has not reached stays so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import Tensor

from sanrcodec.decoder import SanrFile
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.probe import Probe
from sanrcodec.encoder.quality import Quality
from sanrcodec.encoder.target import Target
from sanrcodec.encoder.trim import trim
from sanrcodec.lightfield import LightField

__all__ = ["Written", "settle"]

_N_VIEWS = 8
_N_TRIES = 6
_SPARE_BITS = 32  # the coder ends on whole words


class Written(NamedTuple):
    """A file, how many bytes the model expects of it, the same opened, and its quality.

    Attributes:
        quality: Of the views.
    """

    content: bytes
    estimated_bytes: int
    decoded: SanrFile
    quality: Quality


def _has_at_most(probe: Probe, bits: float, latents: Tensor) -> bool:
    return probe.bits(latents) <= bits


def settle(
    model: SceneModel,
    light_field: LightField,
    target: Target | None,
    write: Callable[[], tuple[bytes, int, SanrFile]],
    measure: Callable[[SanrFile], Quality],
) -> Written:
    """Write the model, and trim it as long as the file has more bits or quality than asked for.

    Args:
        model: Whose latents may change.
        light_field: That it was fitted to.
        target: What was asked for, if anything.
        write: Gives the model's file, the bytes that were expected of it, and the same opened.
        measure: Gives the quality of a file.
    """
    written = write()
    if target is None:
        return Written(*written, measure(written[2]))
    probe = Probe(model, light_field, _N_VIEWS)
    for _ in range(_N_TRIES):
        excess = 8 * len(written[0]) - target.trimmed_bits
        if excess <= 0:
            break
        wanted = probe.bits() - excess - _SPARE_BITS
        possible = trim(model, probe, partial(_has_at_most, probe, wanted))
        written = write()
        if not possible:
            break
    quality = measure(written[2])
    if quality.mean > target.trimmed_psnr:
        wanted = target.trimmed_psnr - (quality.mean - probe.psnr_yuv())
        trim(model, probe, lambda x: probe.psnr_yuv(x) <= wanted)
        written = write()
        quality = measure(written[2])
    return Written(*written, quality)
