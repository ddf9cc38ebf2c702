# SPDX-License-Identifier: MIT
"""The check that a file decodes as its fit saw it, and its quality; writes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from sanrcodec.arithmetic.torchops import torch_ops
from sanrcodec.decoder import SanrFile
from sanrcodec.encoder.memory import is_out_of_memory
from sanrcodec.encoder.quality import Quality, measure_quality
from sanrcodec.errors import LightFieldError, SanrError
from sanrcodec.lightfield import LightField
from sanrcodec.scene.scene import Scene

__all__ = ["check_twin", "checked_quality"]


def checked_quality(
    decoded: SanrFile,
    light_field: LightField,
    device: torch.device,
    warn: Callable[[str], None],
) -> Quality:
    """Check that the file decodes as it should, and measure its quality.

    The file is what a long fit leaves: that it cannot be measured is no reason to lose it.

    Args:
        decoded: The file, opened.
        light_field: The original.
        device: On which it was fitted.
        warn: Called with a line if the quality cannot be measured.

    Returns:
        Its mean and minimum are NaN where it could not be measured.

    Raises:
        SanrError: torch and the numpy decoder give different samples.
    """
    try:
        check_twin(decoded, device)
        views = light_field.views(), decoded.views()
        return measure_quality(*views, light_field.bit_depth)
    except (LightFieldError, MemoryError, RuntimeError) as error:
        if not isinstance(error, LightFieldError) and not is_out_of_memory(error):
            raise
        reason = error if isinstance(error, LightFieldError) else f"out of memory on {device}"
        warn(f"the quality of the file is not measured: {reason}")
        return Quality(math.nan, math.nan, np.empty(0), {})


def check_twin(decoded: SanrFile, device: torch.device) -> None:
    """The integers, synthesized by torch, must give the numpy decoder's samples.

    Args:
        decoded: The file, opened.
        device: On which torch synthesizes.

    Raises:
        SanrError: they differ.
    """
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
