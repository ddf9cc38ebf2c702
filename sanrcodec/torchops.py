# SPDX-License-Identifier: MIT
"""The decoder's array operations in torch: the same integers on any device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["TorchOps"]


class TorchOps:
    """Torch twin of :class:`~sanrcodec.fixedpoint.NumpyOps`.

    Args:
        device: Where arrays live. TF32 is switched off: it would round 24-bit sums.
    """

    float32 = torch.float32
    float64 = torch.float64
    int16 = torch.int16
    int32 = torch.int32
    floor = staticmethod(torch.floor)
    stack = staticmethod(torch.stack)
    concatenate = staticmethod(torch.cat)

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        if self.device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = False

    def asarray(self, values: Any, dtype: torch.dtype) -> Tensor:
        return torch.as_tensor(values, device=self.device).to(dtype)

    @staticmethod
    def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
        return x.to(dtype)

    @staticmethod
    def clip(x: Tensor, low: int, high: int) -> Tensor:
        return x.clamp(low, high)

    def arange(self, start: int, stop: int) -> Tensor:
        return torch.arange(start, stop, dtype=torch.int32, device=self.device)

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=self.device)

    @staticmethod
    def take(x: Tensor, rows: Tensor) -> Tensor:
        """Rows of ``x``, along its first axis."""
        return x[rows.long()]
