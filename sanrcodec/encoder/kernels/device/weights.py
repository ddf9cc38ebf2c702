# SPDX-License-Identifier: MIT
"""What a device runs for :mod:`sanrcodec.encoder.kernels.weights`, in Triton's language.

Each program has one tensor. Must not call torch.
"""

from __future__ import annotations

import triton
import triton.language as tl

from sanrcodec.encoder.kernels.device.rate import laplace

__all__ = ["forward"]


@triton.jit
def _coded(weights, steps, units, at, is_weight, max_weight):
    """Differences in steps, and how they follow the parameters: not at all beyond a limit."""
    step = tl.load(steps + at, mask=is_weight, other=1.0)
    inverse = tl.div_rn(tl.full(step.shape, 1.0, tl.float32), step)
    slope = tl.load(units + at, mask=is_weight, other=0.0) * inverse
    limit = tl.floor(max_weight * inverse)
    x = tl.clamp(slope * tl.load(weights + at, mask=is_weight, other=0.0), -limit - 1, limit + 1)
    rounded = (x + 12582912.0) - 12582912.0  # half to even, of what is less than 2**22
    coded = tl.clamp(rounded, -limit, limit)
    return coded, tl.where(coded == rounded, slope, 0.0)


@triton.jit
def forward(
    weights, bounds, steps, units, exponent_steps, defaults, real, bits, factors, slopes,
    narrowest, widest, max_weight, max_residual, BLOCK: tl.constexpr,
):  # fmt: skip
    """Real weights and their slopes, the tensor's bits and their slopes."""
    tensor = tl.program_id(1)
    first, end = tl.load(bounds + tensor), tl.load(bounds + tensor + 1)
    rows = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(first, end, BLOCK):
        at = start + rows
        coded, _ = _coded(weights, steps, units, at, at < end, max_weight)
        total += tl.abs(coded)
    scale = tl.clamp(tl.sum(total, 0) / (end - first), narrowest, widest)
    log_scale = tl.log2(scale) + 4.25
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(first, end, BLOCK):
        at = start + rows
        is_weight = at < end
        coded, slope = _coded(weights, steps, units, at, is_weight, max_weight)
        step = tl.load(steps + at, mask=is_weight, other=0.0)
        exponent_step = tl.load(exponent_steps + at, mask=is_weight, other=0.0)
        default = tl.load(defaults + at, mask=is_weight, other=0.0)
        found, by_location, _ = laplace(coded, 0.0, log_scale, max_residual)
        total += tl.where(is_weight, found, 0.0)
        tl.store(real + at, (default + coded * step) * exponent_step, mask=is_weight)
        tl.store(factors + at, slope * step * exponent_step, mask=is_weight)
        tl.store(slopes + at, -by_location * slope, mask=is_weight)
    tl.store(bits + tensor, tl.sum(total, 0))
