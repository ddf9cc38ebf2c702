# SPDX-License-Identifier: MIT
"""What a device runs for :mod:`sanrcodec.encoder.kernels.upsampling`, in Triton's language.

Arrays are ``[planes, outer, length, inner]``. Each program has a part of a plane, whose samples 32
bits can count, and each of its threads some samples. Must not call torch.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["backward", "forward"]


@triton.jit(do_not_specialize=["n_items", "n", "n_sources", "start", "size", "first"])
def forward(
    x, y, n_items, n, n_sources, start, inner, size, first,
    taps: tl.constexpr, before: tl.constexpr, is_last: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """``y[2 i + p - first] = sum_k taps[p][k] * x[clamp(i + k - before)]``.

    Both samples of each of ``n_sources`` ones behind ``start``, which look at the same.
    """
    plane = tl.program_id(1).to(tl.int64)
    lines = n_items // n_sources  # times inner
    x += plane * (lines * n)
    y += plane * (lines * size)
    items = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_item = items < n_items
    rest = items // inner
    column, source, line = items - rest * inner, rest % n_sources + start, rest // n_sources
    even = tl.zeros((BLOCK,), tl.float32)
    odd = tl.zeros((BLOCK,), tl.float32)
    for k in tl.static_range(len(taps) // 2):
        if taps[2 * k] != 0.0 or taps[2 * k + 1] != 0.0:
            at = tl.minimum(tl.maximum(source + k - before, 0), n - 1)
            sample = tl.load(x + (line * n + at) * inner + column, mask=is_item, other=0.0)
            even += taps[2 * k] * sample
            odd += taps[2 * k + 1] * sample
    row = 2 * source - first
    to = (line * size + row) * inner + column
    has_even = is_item & (row >= 0) & (row < size)
    has_odd = is_item & (row >= -1) & (row < size - 1)
    if is_last:  # side by side in memory, hence in one store
        kept = tl.interleave(has_even.to(tl.int32), has_odd.to(tl.int32)) > 0
        tl.store(y + tl.interleave(to, to + 1), tl.interleave(even, odd), mask=kept)
    else:
        tl.store(y + to, even, mask=has_even)
        tl.store(y + to + inner, odd, mask=has_odd)


@triton.jit(do_not_specialize=["n_samples", "n", "size", "first"])
def backward(
    gradient, x, n_samples, n, inner, size, first,
    taps: tl.constexpr, at_first: tl.constexpr, at_last: tl.constexpr,
    before: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The transposed filters, even and odd taps in turn; see ``upsampling._edges``."""
    plane = tl.program_id(1).to(tl.int64)
    gradient += plane * (n_samples // n * size)
    x += plane * n_samples
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
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
