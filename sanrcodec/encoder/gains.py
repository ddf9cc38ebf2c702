# SPDX-License-Identifier: MIT
"""The gains of dark views: where they start in a fit, and which ones rest there.

Must not measure views.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sanrcodec.encoder.exposure import Exposure
from sanrcodec.encoder.model import SceneModel
from sanrcodec.scene.pose import GAIN_BITS

__all__ = ["held_gains", "start_gains"]


@torch.no_grad()
def start_gains(model: SceneModel, exposure: Exposure) -> None:
    """Give views that are far darker than the others the gain that they have.

    A fit finds the gains of the others itself: how bright they are may be their content.
    """
    if not model.header.per_view or not exposure.is_dark.any():
        return
    weights = model.weight_vector.integers(model.weights)
    gain = np.where(exposure.is_dark, exposure.gain, 1.0).reshape(-1, 1)
    weights["view_gain"] = np.rint((gain - 1) * (1 << GAIN_BITS)).astype(np.int32)
    model.weights.copy_(model.weight_vector.vector(weights))


def held_gains(model: SceneModel, exposure: Exposure) -> Tensor | None:
    """Weights that no step changes, bool ``[N]``: gains of views that no step sees. None if none.

    Otherwise the rate alone would pull at them.
    """
    if not model.header.per_view or not exposure.is_dead.any():
        return None
    held = torch.zeros(model.weights.numel(), dtype=torch.bool)
    for spec, part in zip(model.weight_vector.specs, model.weight_vector.slices, strict=True):
        if spec.name == "view_gain":
            held[part] = torch.from_numpy(exposure.is_dead.ravel())
    return held.to(model.weights.device)
