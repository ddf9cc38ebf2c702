# SPDX-License-Identifier: MIT
"""What the parts of the float model have in common: they hold no parameters.

Must not know what a part computes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["FloatWeights", "Part"]

# Real weights after rounding, by the names of their tensors.
FloatWeights = dict[str, Tensor]


class Part(nn.Module):
    """A function of latents and weights, whose constants are buffers."""

    def constant(
        self, name: str, values: np.ndarray, device: torch.device | str,
        dtype: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        """Keep an array on the device."""
        tensor = torch.as_tensor(values, dtype=dtype, device=device)
        self.register_buffer(name, tensor, persistent=False)
