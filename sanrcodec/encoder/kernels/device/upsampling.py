# SPDX-License-Identifier: MIT
"""What a device runs for :mod:`sanrcodec.encoder.kernels.upsampling`, in Triton's language.

Arrays are ``[planes, outer, length, inner]``. Each program has a plane, whose samples 32 bits can
count, and each thread computes one of them at a time. Must not call torch.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["backward", "forward"]


@triton.jit(do_not_specialize=["n_planes", "n_blocks", "n_samples", "n", "size", "first"])
def forward(
    x, y, n_planes, n_blocks, n_samples, n, inner, size, first,
    taps: tl.constexpr, before: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """``y[2 i + p - first] = sum_k taps[p][k] * x[clamp(i + k - before)]``."""
    programs_each = tl.num_programs(0) // n_planes
    plane = (tl.program_id(0) // programs_each).to(tl.int64)
    x += plane * (n_samples // size * n)
    y += plane * n_samples
    for t in range(tl.program_id(0) % programs_each, n_blocks, programs_each):
        places = t * BLOCK + tl.arange(0, BLOCK)
        inside = places < n_samples
        rest = places // inner
        column, row, line = places - rest * inner, rest % size + first, rest // size
        start = x + line * n * inner + column
        middle = row // 2 - before
        is_odd = row % 2 == 1
        total = tl.zeros((BLOCK,), tl.float32)
        for k in tl.static_range(len(taps) // 2):
            at = tl.minimum(tl.maximum(middle + k, 0), n - 1)
            sample = tl.load(start + at * inner, mask=inside, other=0.0)
            total += tl.where(is_odd, taps[2 * k + 1], taps[2 * k]) * sample
        tl.store(y + places, total, mask=inside)


@triton.jit(do_not_specialize=["n_planes", "n_blocks", "n_samples", "n", "size", "first"])
def backward(
    gradient, x, n_planes, n_blocks, n_samples, n, inner, size, first,
    taps: tl.constexpr, at_first: tl.constexpr, at_last: tl.constexpr,
    before: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The transposed filters, even and odd taps in turn; see ``upsampling._edges``."""
    programs_each = tl.num_programs(0) // n_planes
    plane = (tl.program_id(0) // programs_each).to(tl.int64)
    gradient += plane * (n_samples // n * size)
    x += plane * n_samples
    for t in range(tl.program_id(0) % programs_each, n_blocks, programs_each):
        places = t * BLOCK + tl.arange(0, BLOCK)
        inside = places < n_samples
        rest = places // inner
        column, row, line = places - rest * inner, rest % n, rest // n
        start = gradient + line * size * inner + column
        is_first, is_last = (row == 0).to(tl.float32), (row == n - 1).to(tl.float32)
        total = tl.zeros((BLOCK,), tl.float32)
        for j in tl.static_range(len(taps)):
            if taps[j] != 0.0 or at_first[j] != 0.0 or at_last[j] != 0.0:
                at = 2 * (row - j // 2 + before) + j % 2 - first
                kept = inside & (at >= 0) & (at < size)
                weight = taps[j] + is_first * at_first[j] + is_last * at_last[j]
                total += weight * tl.load(start + at * inner, mask=kept, other=0.0)
        tl.store(x + places, total, mask=inside)
