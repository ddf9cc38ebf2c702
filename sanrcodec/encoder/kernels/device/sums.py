# SPDX-License-Identifier: MIT
"""Sums over all rows, to which many programs of a device add.

Must not know what is added up.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["add_row"]


@triton.jit
def add_row(at, values, n: tl.constexpr, WIDTH: tl.constexpr):
    """Add up each of some values over a program's rows, and that to ``WIDTH`` numbers."""
    lanes = tl.arange(0, WIDTH)
    row = tl.zeros((WIDTH,), tl.float32)
    # One atomic addition of all together takes a fifth of the instructions of one for each.
    for k in tl.static_range(n):
        row = tl.where(lanes == k, tl.sum(values[k], 0), row)
    tl.atomic_add(at + lanes, row, sem="relaxed")
