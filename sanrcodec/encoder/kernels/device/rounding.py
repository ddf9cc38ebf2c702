# SPDX-License-Identifier: MIT
"""What a device runs for :func:`sanrcodec.encoder.quantize.noisy_round`, in Triton's language.

Each thread has some latents. Must not call torch.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["noisy_round"]


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def _stairs(x, temperature):
    middle = tl.floor(x) + 0.5
    height = 0.5 / _tanh(0.5 / temperature)
    t = _tanh((x - middle) / temperature)
    return middle + height * t, height / temperature * (1 - t * t)


@triton.jit(do_not_specialize=["n"])
def noisy_round(x, noise, temperature, width, rounded, slopes, n, BLOCK: tl.constexpr):
    """Soft round, add noise, soft round again; and the slope of all of it."""
    items = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_item = items < n
    t = tl.load(temperature)
    first, slope = _stairs(tl.load(x + items, mask=is_item, other=0.0), t)
    offset = tl.load(noise + items, mask=is_item, other=0.0) - 0.5
    second, again = _stairs(first + tl.load(width) * offset, t)
    tl.store(rounded + items, second, mask=is_item)
    tl.store(slopes + items, slope * again, mask=is_item)
