# SPDX-License-Identifier: MIT
"""One array in a file, of whatever format, not yet read; knows no axes and no light field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["ArrayFile"]


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """An array that a file holds.

    Attributes:
        shape: As the program that wrote it saw it.
        dtype: Of its samples.
        load: Gives something that takes indices as numpy does, an array or one that reads then.
        is_reversed: Whether what ``load`` gives has its axes the other way round.
        offset: Of the first sample in the file, if the samples lie there in C order; else None.
        fourth: What a fourth channel is: ``alpha`` or ``weight``.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[], Any]
    is_reversed: bool = False
    offset: int | None = None
    fourth: str = "alpha"
