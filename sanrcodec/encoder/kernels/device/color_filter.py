# SPDX-License-Identifier: MIT
"""What a device runs for :mod:`sanrcodec.encoder.kernels.color_filter`, in Triton's language.

Filters look at 3 x 3 pixels; those beyond an edge are the pixels at the edge. Each thread has some
pixels, and all channels of them in registers. Must not call torch.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["correct", "hidden_gradient", "input_gradient", "unfold", "weight_gradients"]


@triton.jit
def _pixels(t, blocks_each, height, width, BLOCK: tl.constexpr):
    """A block's image, its pixels' coordinates, and which of them there are."""
    places = (t % blocks_each) * BLOCK + tl.arange(0, BLOCK)
    return (t // blocks_each).to(tl.int64), places // width, places % width, places < height * width


@triton.jit
def _neighbor(y, x, tap, height, width):
    """Place of a neighbor, or of the pixel at the edge instead."""
    row = tl.minimum(tl.maximum(y + tap // 3 - 1, 0), height - 1)
    return row * width + tl.minimum(tl.maximum(x + tap % 3 - 1, 0), width - 1)


@triton.jit
def _onlooker(y, x, tap, height, width):
    """Place of the pixel that sees another one with a tap, and whether there is one."""
    row, column = y - tap // 3 + 1, x - tap % 3 + 1
    is_there = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return row * width + column, is_there


@triton.jit(do_not_specialize=["n_blocks", "height", "width"])
def unfold(
    features, weight, bias, found, n_blocks, height, width, leak,
    n_in: tl.constexpr, n_colors: tl.constexpr, n_hidden: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Linear part and hidden units of ``[n, n_in, H, W]``: ``[n, n_colors + n_hidden, H, W]``."""
    n_out: tl.constexpr = n_colors + n_hidden
    size = height.to(tl.int64) * width
    blocks_each = tl.cdiv(height * width, BLOCK)
    for t in range(tl.program_id(0), n_blocks, tl.num_programs(0)):
        image, y, x, is_pixel = _pixels(t, blocks_each, height, width, BLOCK)
        start = features + image * n_in * size
        total = ()
        for o in tl.static_range(n_out):
            first = tl.zeros((BLOCK,), tl.float32)
            if o >= n_colors:
                first += tl.load(bias + (o - n_colors))
            total = total + (first,)
        for tap in range(9):
            at = _neighbor(y, x, tap, height, width)
            for f in tl.static_range(n_in):
                seen = tl.load(start + f * size + at, mask=is_pixel, other=0.0)
                more = ()
                for o in tl.static_range(n_out):
                    more = more + (total[o] + tl.load(weight + (o * n_in + f) * 9 + tap) * seen,)
                total = more
        to = found + image * n_out * size + y * width + x
        for o in tl.static_range(n_out):
            value = total[o]
            if o >= n_colors:
                value = tl.where(value > 0, value, value * leak)
            tl.store(to + o * size, value, mask=is_pixel)


@triton.jit(do_not_specialize=["n_blocks", "height", "width"])
def correct(
    features, found, weight, out, n_blocks, height, width,
    n_in: tl.constexpr, n_colors: tl.constexpr, n_hidden: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Add linear part and filtered hidden units to the colors."""
    size = height.to(tl.int64) * width
    blocks_each = tl.cdiv(height * width, BLOCK)
    for t in range(tl.program_id(0), n_blocks, tl.num_programs(0)):
        image, y, x, is_pixel = _pixels(t, blocks_each, height, width, BLOCK)
        own = y * width + x
        start = found + image * (n_colors + n_hidden) * size
        total = ()
        for c in tl.static_range(n_colors):
            total = total + (tl.load(start + c * size + own, mask=is_pixel, other=0.0),)
        for tap in range(9):
            at = _neighbor(y, x, tap, height, width)
            for h in tl.static_range(n_hidden):
                seen = tl.load(start + (n_colors + h) * size + at, mask=is_pixel, other=0.0)
                more = ()
                for c in tl.static_range(n_colors):
                    more = more + (
                        total[c] + tl.load(weight + (c * n_hidden + h) * 9 + tap) * seen,
                    )
                total = more
        for f in tl.static_range(n_in):
            at = (image * n_in + f) * size + own
            value = tl.load(features + at, mask=is_pixel, other=0.0)
            if f < n_colors:
                value += total[f]
            tl.store(out + at, value, mask=is_pixel)


@triton.jit
def _put(to, value, y, x, height, width, is_pixel):
    """Store a gradient, or add it where pixels beyond the edge have one for the same pixel."""
    is_inner = (y > 0) & (y < height - 1) & (x > 0) & (x < width - 1)
    tl.store(to, value, mask=is_pixel & is_inner)
    tl.atomic_add(to, value, mask=is_pixel & (is_inner == 0), sem="relaxed")


@triton.jit(do_not_specialize=["n_blocks", "height", "width"])
def hidden_gradient(
    gradient, found, weight, of_hidden, n_blocks, height, width, leak,
    n_in: tl.constexpr, n_colors: tl.constexpr, n_hidden: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """What the colors' gradient is to the hidden units before their nonlinearity.

    Blocks are of the pixels with a border of one. ``of_hidden`` must be 0 at the edges before.
    """
    size = height * width
    blocks_each = tl.cdiv((height + 2) * (width + 2), BLOCK)
    for t in range(tl.program_id(0), n_blocks, tl.num_programs(0)):
        image, y, x, is_pixel = _pixels(t, blocks_each, height + 2, width + 2, BLOCK)
        y, x = y - 1, x - 1
        total = ()
        for _ in tl.static_range(n_hidden):
            total = total + (tl.zeros((BLOCK,), tl.float32),)
        for tap in range(9):
            at, is_there = _onlooker(y, x, tap, height, width)
            for c in tl.static_range(n_colors):
                g = tl.load(
                    gradient + (image * n_in + c) * size + at, mask=is_pixel & is_there, other=0.0
                )
                more = ()
                for h in tl.static_range(n_hidden):
                    more = more + (total[h] + tl.load(weight + (c * n_hidden + h) * 9 + tap) * g,)
                total = more
        row, column = _inside(y, height), _inside(x, width)
        own = row * width + column
        for h in tl.static_range(n_hidden):
            unit = tl.load(
                found + (image * (n_colors + n_hidden) + n_colors + h) * size + own,
                mask=is_pixel, other=0.0,
            )  # fmt: skip
            value = tl.where(unit > 0, total[h], total[h] * leak)
            to = of_hidden + (image * n_hidden + h) * size + own
            _put(to, value, row, column, height, width, is_pixel)


@triton.jit
def _inside(x, size):
    return tl.minimum(tl.maximum(x, 0), size - 1)


@triton.jit(do_not_specialize=["n_blocks", "height", "width"])
def input_gradient(
    gradient, of_hidden, weight, of_features, n_blocks, height, width,
    n_in: tl.constexpr, n_colors: tl.constexpr, n_hidden: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradient of the features; see :func:`hidden_gradient`."""
    size = height * width
    blocks_each = tl.cdiv((height + 2) * (width + 2), BLOCK)
    for t in range(tl.program_id(0), n_blocks, tl.num_programs(0)):
        image, y, x, is_pixel = _pixels(t, blocks_each, height + 2, width + 2, BLOCK)
        y, x = y - 1, x - 1
        row, column = _inside(y, height), _inside(x, width)
        own = row * width + column
        is_own = is_pixel & (y == row) & (x == column)
        total = ()
        for f in tl.static_range(n_in):
            place = (image * n_in + f) * size + own
            total = total + (tl.load(gradient + place, mask=is_own, other=0.0),)
        for tap in range(9):
            at, is_there = _onlooker(y, x, tap, height, width)
            is_there &= is_pixel
            for o in tl.static_range(n_colors + n_hidden):
                if o < n_colors:
                    g = tl.load(gradient + (image * n_in + o) * size + at, mask=is_there, other=0.0)
                else:
                    start = of_hidden + (image * n_hidden + o - n_colors) * size
                    g = tl.load(start + at, mask=is_there, other=0.0)
                more = ()
                for f in tl.static_range(n_in):
                    more = more + (total[f] + tl.load(weight + (o * n_in + f) * 9 + tap) * g,)
                total = more
        for f in tl.static_range(n_in):
            to = of_features + (image * n_in + f) * size + own
            _put(to, total[f], row, column, height, width, is_pixel)


@triton.jit(do_not_specialize=["n_blocks", "height", "width"])
def weight_gradients(
    features, found, gradient, of_hidden, sums, n_blocks, height, width,
    n_in: tl.constexpr, n_colors: tl.constexpr, n_hidden: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Sums ``[n_programs / 9, 9, n]`` of products over all pixels, for each tap.

    Of each feature with all gradients, of each hidden unit with those of the colors, then of the
    hidden units' gradients alone. A program has one tap and a thread one pixel at a time, so that
    all its sums stay in registers to the end.
    """
    size = height * width
    n_out: tl.constexpr = n_colors + n_hidden
    n_sums: tl.constexpr = n_in * n_out + n_hidden * n_colors + n_hidden
    blocks_each = tl.cdiv(size, BLOCK)
    tap = tl.program_id(0) % 9
    total = ()
    for _ in tl.static_range(n_sums):
        total = total + (tl.zeros((BLOCK,), tl.float32),)
    for t in range(tl.program_id(0) // 9, n_blocks, tl.num_programs(0) // 9):
        image, y, x, is_pixel = _pixels(t, blocks_each, height, width, BLOCK)
        own = y * width + x
        at = _neighbor(y, x, tap, height, width)
        g = ()
        for c in tl.static_range(n_colors):
            start = gradient + (image * n_in + c) * size
            g = g + (tl.load(start + own, mask=is_pixel, other=0.0),)
        for h in tl.static_range(n_hidden):
            start = of_hidden + (image * n_hidden + h) * size
            g = g + (tl.load(start + own, mask=is_pixel, other=0.0),)
        more = ()
        for f in tl.static_range(n_in):
            start = features + (image * n_in + f) * size
            seen = tl.load(start + at, mask=is_pixel, other=0.0)
            for o in tl.static_range(n_out):
                more = more + (total[f * n_out + o] + g[o] * seen,)
        for h in tl.static_range(n_hidden):
            start = found + (image * n_out + n_colors + h) * size
            seen = tl.load(start + at, mask=is_pixel, other=0.0)
            for c in tl.static_range(n_colors):
                more = more + (total[n_in * n_out + h * n_colors + c] + g[c] * seen,)
        for h in tl.static_range(n_hidden):
            more = more + (total[n_sums - n_hidden + h] + g[n_colors + h],)
        total = more
    for k in tl.static_range(n_sums):
        tl.store(sums + tl.program_id(0) * n_sums + k, tl.sum(total[k], 0))
