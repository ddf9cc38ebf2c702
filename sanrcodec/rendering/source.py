# SPDX-License-Identifier: MIT
"""What renderings need of an opened file; sanrcodec.SanrFile has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Progress", "Source", "center_of", "to_samples"]

# Called with how many of how many views are done.
Progress = Callable[[int, int], None]


class Source(Protocol):
    """An opened light field."""

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Sizes ``(V, U, H, W, C)``."""

    @property
    def bit_depth(self) -> int:
        """Bits per sample."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the samples."""

    def view(
        self, v: float, u: float, *, region: tuple[int, int, int, int] | None = None
    ) -> npt.NDArray[Any]:
        """A view ``[H, W, C]``."""

    def disparity(self, v: float, u: float) -> npt.NDArray[np.float32]:
        """Disparity ``[H, W]`` of a view."""

    def offset(self, v: float, u: float) -> tuple[float, float, float, float]:
        """How a view stands to the center: see :meth:`sanrcodec.SanrFile.offset`."""


def center_of(source: Source) -> tuple[float, float]:
    """The place ``(v, u)`` in the middle of the grid."""
    return (source.shape[0] - 1) / 2, (source.shape[1] - 1) / 2


def to_samples(image: npt.NDArray[np.floating[Any]], source: Source) -> npt.NDArray[Any]:
    """Round values of any shape to samples of the light field's type; they are saturated."""
    peak = (1 << source.bit_depth) - 1
    samples: npt.NDArray[Any] = np.clip(np.rint(image), 0, peak).astype(source.dtype)
    return samples
