# SPDX-License-Identifier: MIT
"""What a device runs for :mod:`sanrcodec.encoder.kernels.rate`, in Triton's language.

Each program is one warp, each of its threads some latents. Must not call torch.
"""

from __future__ import annotations

import triton
import triton.language as tl

from sanrcodec.encoder.kernels.device.sums import add_row

__all__ = ["backward", "forward", "laplace"]


@triton.jit
def _block(t, size_0, size_1, size_2, size_3, BLOCK: tl.constexpr):
    """Kind of the passes of a block's latents, their first one and how many there are to the end.

    No block has latents of two kinds, each of which has weights of its own.
    """
    last_0 = tl.cdiv(size_0, BLOCK)
    last_1 = last_0 + tl.cdiv(size_1, BLOCK)
    last_2 = last_1 + tl.cdiv(size_2, BLOCK)
    kind = 0
    first = t * BLOCK
    left = size_0 - first
    if t >= last_0:
        kind = 1
        first = size_0 + (t - last_0) * BLOCK
        left = size_0 + size_1 - first
    if t >= last_1:
        kind = 2
        first = size_0 + size_1 + (t - last_1) * BLOCK
        left = size_0 + size_1 + size_2 - first
    if t >= last_2:
        kind = 3
        first = size_0 + size_1 + size_2 + (t - last_2) * BLOCK
        left = size_0 + size_1 + size_2 + size_3 - first
    return kind, first, left


@triton.jit
def _context(latents, table, is_row, i, n_latents, limit, N_CONTEXT: tl.constexpr,
             BLOCK: tl.constexpr):  # fmt: skip
    """One neighbor of each latent, its place, whether there is one, and whether any has one."""
    rows = tl.arange(0, BLOCK)
    at = tl.load(table + rows * N_CONTEXT + i, mask=is_row, other=n_latents)
    known = at < n_latents
    x = tl.load(latents + at, mask=known, other=0.0)
    near = tl.clamp(x, -limit, limit)
    return near, at, known & (x == near), tl.max(known.to(tl.int32), 0) > 0


@triton.jit
def _network(
    latents, table, numbers, is_row, hidden, h_bias, output, shortcut, p_bias, g_bias,
    n_latents, limit, N_CONTEXT: tl.constexpr, n_hidden: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Hidden units before their nonlinearity, location, and logarithm of the scale."""
    h = ()
    for j in tl.static_range(n_hidden):
        h = h + (tl.zeros((BLOCK,), tl.float32) + tl.load(h_bias + j),)
    y = (
        tl.load(p_bias) + tl.load(g_bias + 2 * numbers),
        tl.load(p_bias + 1) + tl.load(g_bias + 2 * numbers + 1),
    )
    for i in range(N_CONTEXT):
        near, _, _, any_known = _context(
            latents, table, is_row, i, n_latents, limit, N_CONTEXT, BLOCK
        )
        if any_known:  # no latent of some passes has a certain neighbor
            magnitude = tl.log2(1 + tl.abs(near))
            more = ()
            for j in tl.static_range(n_hidden):
                w = hidden + 2 * N_CONTEXT * j + i
                more = more + (h[j] + tl.load(w) * near + tl.load(w + N_CONTEXT) * magnitude,)
            h = more
            s = shortcut + i
            y = (
                y[0] + tl.load(s) * near + tl.load(s + N_CONTEXT) * magnitude,
                y[1] + tl.load(s + 2 * N_CONTEXT) * near + tl.load(s + 3 * N_CONTEXT) * magnitude,
            )
    for j in tl.static_range(n_hidden):
        unit = tl.maximum(h[j], 0.0)
        y = (
            y[0] + tl.load(output + j) * unit,
            y[1] + tl.load(output + n_hidden + j) * unit,
        )
    return h, y[0], y[1]


@triton.jit
def _expm1(x):
    """``exp(x) - 1`` of what is not above 0, which rounding would leave little of near 0."""
    series = 1 + x * (1 / 7)
    for k in tl.static_range(6, 1, -1):
        series = 1 + x * (1 / k) * series
    return tl.where(x > -0.5, x * series, tl.exp(x) - 1)


@triton.jit
def laplace(x, location, log_scale, max_residual):
    """Bits of :func:`sanrcodec.encoder.quantize.laplace_bits`, and their derivatives.

    By the location, and by the logarithm of the scale in octaves.
    """
    ln2: tl.constexpr = 0.6931471805599453
    clamped = tl.clamp(log_scale, 0.0, 9.75)
    r = tl.exp2(4.25 - clamped)
    offset = x - location
    distance = tl.abs(offset)
    inner = tl.minimum(distance, 0.5)
    before = _expm1((inner - 0.5) * r)
    behind = _expm1((-0.5 - inner) * r)
    total = before + behind
    edge = max_residual + 0.5
    is_escape = distance > edge
    excess = tl.maximum(distance - max_residual, 1.0)
    outer = tl.where(is_escape, edge, distance - inner)
    mass = tl.where(is_escape, 0.25 / (excess * excess), -0.5 * total)
    bits = outer * r / ln2 - tl.log2(mass)
    share = (behind - before) / total
    code = tl.where(distance >= max_residual + 1, 2 / excess, 0.0)
    slope = tl.where(is_escape, code, share * r) / ln2
    by_location = tl.where(offset > 0, -slope, tl.where(offset < 0, slope, 0.0))
    of_mass = tl.where(is_escape, 0.0, 1 / total + inner * share + 0.5)
    by_log = tl.where(log_scale == clamped, -(of_mass + outer) * r, 0.0)
    return bits, by_location, by_log


@triton.jit(
    do_not_specialize=["n_blocks", "n_latents", "size_0", "size_1", "size_2", "size_3", "n_copies"]
)
def forward(
    latents, tables, coded, numbers, hidden, h_bias, output, shortcut, p_bias, g_bias, sums,
    n_blocks, n_latents, size_0, size_1, size_2, size_3, n_copies, limit, max_residual,
    N_CONTEXT: tl.constexpr, n_hidden: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Bits in ``sums``."""
    rows = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for t in range(tl.program_id(0), n_blocks, tl.num_programs(0)):
        kind, first, left = _block(t, size_0, size_1, size_2, size_3, BLOCK)
        is_row = rows < left
        places = tl.load(coded + first + rows, mask=is_row, other=0)
        _, location, log_scale = _network(
            latents, tables + first.to(tl.int64) * N_CONTEXT,
            tl.load(numbers + first + rows, mask=is_row, other=0), is_row,
            hidden + kind * (2 * N_CONTEXT * n_hidden), h_bias + kind * n_hidden,
            output + kind * (2 * n_hidden), shortcut + kind * (4 * N_CONTEXT), p_bias + kind * 2,
            g_bias, n_latents, limit, N_CONTEXT, n_hidden, BLOCK,
        )  # fmt: skip
        x = tl.load(latents + places, mask=is_row, other=0.0)
        bits, _, _ = laplace(x, location, log_scale, max_residual)
        total += tl.where(is_row, bits, 0.0)
    tl.atomic_add(sums + tl.program_id(0) % n_copies, tl.sum(total, 0), sem="relaxed")


@triton.jit(
    do_not_specialize=[
        "n_blocks", "n_latents", "size_0", "size_1", "size_2", "size_3", "n_copies",
        "copy_stride", "n_grids",
    ]
)  # fmt: skip
def backward(
    latents, tables, coded, numbers, hidden, h_bias, output, shortcut, p_bias, g_bias, gradient,
    g_latents, sums, n_blocks, n_latents, size_0, size_1, size_2, size_3, n_copies,
    copy_stride, n_grids, limit, max_residual,
    N_CONTEXT: tl.constexpr, n_hidden: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Gradients added to ``g_latents``; of weights in ``sums``, see there."""
    ln2: tl.constexpr = 0.6931471805599453
    rows = tl.arange(0, BLOCK)
    n_sums: tl.constexpr = 2 * N_CONTEXT + 3  # of each kind
    own = sums + (tl.program_id(0) % n_copies) * copy_stride
    of_grids = own + 4 * n_sums * WIDTH
    for t in range(tl.program_id(0), n_blocks, tl.num_programs(0)):
        kind, first, left = _block(t, size_0, size_1, size_2, size_3, BLOCK)
        is_row = rows < left
        places = tl.load(coded + first + rows, mask=is_row, other=0)
        table = tables + first.to(tl.int64) * N_CONTEXT
        number = tl.load(numbers + first + rows, mask=is_row, other=0)
        k_hidden = hidden + kind * (2 * N_CONTEXT * n_hidden)
        k_shortcut = shortcut + kind * (4 * N_CONTEXT)
        k_output = output + kind * (2 * n_hidden)
        h, location, log_scale = _network(
            latents, table, number, is_row, k_hidden, h_bias + kind * n_hidden, k_output,
            k_shortcut, p_bias + kind * 2, g_bias, n_latents, limit, N_CONTEXT, n_hidden, BLOCK,
        )  # fmt: skip
        x = tl.load(latents + places, mask=is_row, other=0.0)
        _, of_location, of_scale = laplace(x, location, log_scale, max_residual)
        factor = tl.where(is_row, tl.load(gradient), 0.0)
        of_location *= factor
        of_scale *= factor
        tl.atomic_add(g_latents + places, -of_location, mask=is_row, sem="relaxed")
        of_kind = own + kind * (n_sums * WIDTH)
        # Of the output's weights, then what goes on to the hidden units.
        to_location = ()
        to_scale = ()
        g = ()
        for j in tl.static_range(n_hidden):
            unit = tl.maximum(h[j], 0.0)
            to_location = to_location + (unit * of_location,)
            to_scale = to_scale + (unit * of_scale,)
            back = tl.load(k_output + j) * of_location
            back += tl.load(k_output + n_hidden + j) * of_scale
            g = g + (tl.where(h[j] > 0, back, 0.0),)
        add_row(of_kind + 2 * N_CONTEXT * WIDTH, to_location, n_hidden, WIDTH)
        add_row(of_kind + (2 * N_CONTEXT + 1) * WIDTH, to_scale, n_hidden, WIDTH)
        g = g + (of_location, of_scale)
        add_row(of_kind + (2 * N_CONTEXT + 2) * WIDTH, g, n_hidden + 2, WIDTH)
        lowest = tl.min(tl.where(is_row, number, n_grids), 0)
        for grid in range(lowest, tl.max(number, 0) + 1):
            is_in = number == grid
            mine = (tl.where(is_in, of_location, 0.0), tl.where(is_in, of_scale, 0.0))
            add_row(of_grids + grid * WIDTH, mine, 2, WIDTH)
        for i in range(N_CONTEXT):
            near, at, passes, any_known = _context(
                latents, table, is_row, i, n_latents, limit, N_CONTEXT, BLOCK
            )
            if any_known:
                size = 1 + tl.abs(near)
                magnitude = tl.log2(size)
                s = k_shortcut + i
                direct = tl.load(s) * of_location + tl.load(s + 2 * N_CONTEXT) * of_scale
                curved = tl.load(s + N_CONTEXT) * of_location
                curved += tl.load(s + 3 * N_CONTEXT) * of_scale
                with_near = ()
                with_magnitude = ()
                for j in tl.static_range(n_hidden):
                    w = k_hidden + 2 * N_CONTEXT * j + i
                    direct += tl.load(w) * g[j]
                    curved += tl.load(w + N_CONTEXT) * g[j]
                for j in tl.static_range(n_hidden + 2):
                    with_near = with_near + (g[j] * near,)
                    with_magnitude = with_magnitude + (g[j] * magnitude,)
                sign = tl.where(near > 0, 1.0, tl.where(near < 0, -1.0, 0.0))
                total = direct + curved * sign / (ln2 * size)
                tl.atomic_add(g_latents + at, total, mask=passes, sem="relaxed")
                add_row(of_kind + i * WIDTH, with_near, n_hidden + 2, WIDTH)
                add_row(of_kind + (N_CONTEXT + i) * WIDTH, with_magnitude, n_hidden + 2, WIDTH)
