# SPDX-License-Identifier: MIT
"""What the parts of the float model have in common: they hold no parameters, and can be compiled.

Must not know what a part computes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["FloatWeights", "Part"]

# Real weights after rounding, by the names of their tensors.
FloatWeights = dict[str, Tensor]


@functools.cache
def _compiled(forward: Callable[..., Any]) -> Callable[..., Any]:
    # One for the class, so that all models share the compiled code.
    compiled: Callable[..., Any] = torch.compile(forward, fullgraph=True, dynamic=False)
    return compiled


class Part(nn.Module):
    """A function of latents and weights, whose constants are buffers."""

    def constant(
        self, name: str, values: np.ndarray, device: torch.device | str,
        dtype: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        """Keep an array on the device."""
        tensor = torch.as_tensor(values, dtype=dtype, device=device)
        self.register_buffer(name, tensor, persistent=False)

    def fuse(self, on: bool = True) -> None:
        """Compile to few kernels, which give the same up to rounding; or go back."""
        self.__dict__.pop("forward", None)
        if on:
            self.__dict__["forward"] = functools.partial(_compiled(type(self).forward), self)
