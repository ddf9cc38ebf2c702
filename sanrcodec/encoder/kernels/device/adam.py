# SPDX-License-Identifier: MIT
"""What a device runs for :meth:`sanrcodec.encoder.optimizer.Adam.step`, in Triton's language.

Each thread has some parameters. Must not call torch.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["step"]


@triton.jit(do_not_specialize=["n"])
def step(
    parameters, means, squares, gradients, rate, count, decays, epsilon, n,
    is_tensor: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Move parameters against their gradients."""
    items = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_item = items < n
    gradient = tl.load(gradients + items, mask=is_item, other=0.0)
    mean = tl.load(means + items, mask=is_item, other=0.0)
    square = tl.load(squares + items, mask=is_item, other=0.0)
    b1, b2 = tl.load(decays), tl.load(decays + 1)
    mean += (1 - b1) * (gradient - mean)
    square = b2 * square + (1 - b2) * (gradient * gradient)
    tl.store(means + items, mean, mask=is_item)
    tl.store(squares + items, square, mask=is_item)
    if is_tensor:  # else a number
        epsilon = tl.load(epsilon)
    known_mean = 1 - tl.exp(tl.load(count) * tl.log(b1))
    known_square = 1 - tl.exp(tl.load(count) * tl.log(b2))
    corrected = tl.sqrt(square / known_square) + epsilon
    parameter = tl.load(parameters + items, mask=is_item, other=0.0)
    parameter -= tl.load(rate) / known_mean * (mean / corrected)
    tl.store(parameters + items, parameter, mask=is_item)
