# SPDX-License-Identifier: MIT
"""Levels that are chosen for blocks of residuals, and how many bits these take.

Must not choose. See format_spec.md section 6.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from sanrcodec.bitstream.residuals import LEVEL_MAX, MAX_FLAG, Tables
from sanrcodec.bitstream.tables import ESCAPE, MAX_RESIDUAL, cost_table

__all__ = ["LEVELS_PER_UNIT", "Choice", "flag_bits", "level_bits"]

LEVELS_PER_UNIT = 255 / 4096  # of 8 bits, for a step of the format
_PARTS = "flags", "levels", "costs", "squares"

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen for each candidate.

    Attributes:
        flags: int32 ``[n]``, 0 where a block has no residual.
        levels: int32 ``[n, C, 64]``.
        costs: float64 ``[n]``, weighted squares and bits at their price, without a lift.
        squares: float32 ``[n, C]``, what is left of the error.
    """

    flags: Integers
    levels: Integers
    costs: npt.NDArray[np.float64]
    squares: Floats

    @staticmethod
    def joined(parts: Sequence[Choice]) -> Choice:
        """Those of several groups of candidates, one after the other."""
        return Choice(*(np.concatenate([getattr(part, name) for part in parts]) for name in _PARTS))

    def of(self, some: npt.NDArray[np.int64]) -> Choice:
        """That of some candidates."""
        return Choice(*(getattr(self, name)[some] for name in _PARTS))

    def at(self, some: npt.NDArray[np.int64], other: Choice) -> Choice:
        """This one, with some candidates chosen otherwise."""
        parts = []
        for name in _PARTS:
            part = getattr(self, name).copy()
            part[some] = getattr(other, name)
            parts.append(part)
        return Choice(*parts)


def flag_bits(tables: Tables) -> Floats:
    """Bits of each flag in each class, ``[N_CLASSES, 2 * MAX_FLAG + 1]``."""
    values = slice(MAX_RESIDUAL - MAX_FLAG, MAX_RESIDUAL + MAX_FLAG + 1)
    return np.stack([cost_table()[scale, location + 4, values] for location, scale in tables.flags])


@cache
def level_bits() -> Floats:
    """Bits of levels of each magnitude at each scale, float32 ``[N_SCALES, LEVEL_MAX + 1]``."""
    magnitude = np.arange(LEVEL_MAX + 1)
    excess = np.maximum(magnitude - MAX_RESIDUAL, 1)
    symbol = np.where(magnitude <= MAX_RESIDUAL, MAX_RESIDUAL + magnitude, ESCAPE)
    escape = np.where(symbol == ESCAPE, 2 * np.floor(np.log2(excess)) + 2, 0)
    bits: Floats = (cost_table()[:, 4, symbol] + escape).astype(np.float32)
    return bits
