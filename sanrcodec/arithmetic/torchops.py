# SPDX-License-Identifier: MIT
"""The decoder's array operations in torch: the same integers on any device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy.typing as npt
import torch
from torch import Tensor

from sanrcodec.arithmetic.ops import Ops
from sanrcodec.errors import LightFieldError

__all__ = ["TorchOps", "torch_ops", "usable_device"]


class TorchOps:
    """Torch twin of :class:`~sanrcodec.arithmetic.ops.NumpyOps`.

    Args:
        device: Where arrays live.
    """

    float32 = torch.float32
    float64 = torch.float64
    uint8 = torch.uint8
    int16 = torch.int16
    int32 = torch.int32
    block_pixels = 1 << 22  # a whole view in few kernels; bounds the memory of huge ones

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)

    def asarray(self, values: Any, dtype: torch.dtype) -> Tensor:
        return torch.as_tensor(values, device=self.device).to(dtype)

    @staticmethod
    def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
        return x.to(dtype)

    @staticmethod
    def clip(x: Tensor, low: int, high: int, out: Tensor | None = None) -> Tensor:
        return torch.clamp(x, low, high, out=out)

    @staticmethod
    def floor(x: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.floor(x, out=out)

    @staticmethod
    def maximum(x: Tensor, y: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.maximum(x, y, out=out)

    @staticmethod
    def minimum(x: Tensor, y: Tensor) -> Tensor:
        return torch.minimum(x, y)

    @staticmethod
    def stack(parts: Sequence[Tensor]) -> Tensor:
        return torch.stack(tuple(parts))

    @staticmethod
    def concatenate(parts: Sequence[Tensor], axis: int = 0) -> Tensor:
        return torch.cat(tuple(parts), axis)

    @staticmethod
    def contiguous(x: Tensor) -> Tensor:
        return x.contiguous()

    def arange(self, start: int, stop: int) -> Tensor:
        return torch.arange(start, stop, dtype=torch.int32, device=self.device)

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=self.device)

    @staticmethod
    def take(x: Tensor, rows: Tensor) -> Tensor:
        return x.index_select(0, rows.reshape(-1)).reshape(*rows.shape, *x.shape[1:])

    @staticmethod
    def to_numpy(x: Tensor) -> npt.NDArray:
        array: npt.NDArray = x.cpu().numpy()
        return array

    @staticmethod
    def peak(x: Tensor) -> int:
        return int(x.abs().max())

    @staticmethod
    def matmul(a: Tensor, b: Tensor) -> Tensor:
        # In float64, since torch may be told to round float32 products to TF32 or bfloat16.
        return (a.double() @ b.double()).to(a.dtype)


def torch_ops(device: torch.device | str) -> Ops:
    """:class:`TorchOps` as the decoder sees it: to a type checker its tensors are arrays."""
    return cast(Ops, TorchOps(device))


def usable_device(name: str) -> torch.device:
    """The device of that name, tried with a number that goes there and back.

    Raises:
        LightFieldError: there is no such device here.
    """
    try:
        device = torch.device(name)
        # Some devices have no such numbers, and "meta" gives none back.
        torch.zeros(1, dtype=torch.float64, device=device).item()
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        others = "cpu or cuda" if torch.cuda.is_available() else "cpu"
        raise LightFieldError(
            f"device {name} is not usable here ({reason}); use {others}"
        ) from None
    return device
