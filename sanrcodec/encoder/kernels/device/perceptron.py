# SPDX-License-Identifier: MIT
"""What a device runs for :mod:`sanrcodec.encoder.kernels.perceptron`, in Triton's language.

Each program is one warp, each of its threads some rows: all layers of a row stay in registers, and
no thread waits for another but to add up the gradients of weights. Must not call torch.
"""

from __future__ import annotations

import triton
import triton.language as tl

from sanrcodec.encoder.kernels.device.sums import add_row

__all__ = ["backward", "forward"]


@triton.jit
def _columns(start, rows, n_rows, scale, n: tl.constexpr):
    """The channels of some rows; those behind the last are 0."""
    x = ()
    for i in tl.static_range(n):
        at = start + i * n_rows.to(tl.int64) + rows
        x = x + (tl.load(at, mask=rows < n_rows, other=0.0) * scale,)
    return x


@triton.jit
def _gates(x, weight, bias, n_in: tl.constexpr):
    """What attention multiplies each channel with, before it is clamped."""
    gates = ()
    for i in tl.static_range(n_in):
        total = 1 + tl.load(bias + i)
        for k in tl.static_range(n_in):
            total += tl.load(weight + i * n_in + k) * x[k]
        gates = gates + (total,)
    return gates


@triton.jit
def _gated(x, gates, n_in: tl.constexpr, gated: tl.constexpr):
    z = x
    if gated:
        z = ()
        for i in tl.static_range(n_in):
            z = z + (x[i] * tl.clamp(gates[i], 0.0, 1.0),)
    return z


@triton.jit
def _hidden(z, shared, weight, bias, n_in: tl.constexpr, n_shared: tl.constexpr,
            stride: tl.constexpr):  # fmt: skip
    """A hidden unit before its nonlinearity."""
    h = tl.load(bias) + tl.load(weight) * z[0]
    for i in tl.static_range(1, n_in):
        h += tl.load(weight + i) * z[i]
    for i in tl.static_range(n_shared):
        h += tl.load(weight + stride - n_shared + i) * shared[i]
    return h


@triton.jit(do_not_specialize=["n_rows", "n_blocks", "bias_stride"])
def forward(
    x_start, shared_start, a_weight, a_bias, h_weight, h_bias, o_weight, o_bias, y_start,
    n_rows, n_blocks, bias_stride, scale, leak,
    n_in: tl.constexpr, n_shared: tl.constexpr, n_out: tl.constexpr, n_hidden: tl.constexpr,
    h_stride: tl.constexpr, gated: tl.constexpr, direct: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """``[n, n_in, n_rows]`` at ``x_start`` -> ``[n, n_out, n_rows]`` at ``y_start``."""
    n_direct: tl.constexpr = n_in if direct else 0
    o_stride: tl.constexpr = n_direct + n_hidden
    blocks_each = tl.cdiv(n_rows, BLOCK)
    for t in range(tl.program_id(0), n_blocks, tl.num_programs(0)):
        image = t // blocks_each
        before = image.to(tl.int64) * n_rows
        rows = (t % blocks_each) * BLOCK + tl.arange(0, BLOCK)
        x = _columns(x_start + before * n_in, rows, n_rows, scale, n_in)
        shared = _columns(shared_start, rows, n_rows, 1.0, n_shared)
        gates = x
        if gated:
            gates = _gates(x, a_weight, a_bias, n_in)
        z = _gated(x, gates, n_in, gated)
        y = ()
        for o in tl.static_range(n_out):
            total = tl.zeros((BLOCK,), tl.float32) + tl.load(o_bias + o)
            for i in tl.static_range(n_direct):
                total += tl.load(o_weight + o * o_stride + i) * z[i]
            y = y + (total,)
        for j in range(n_hidden):
            bias = h_bias + image * bias_stride + j
            h = _hidden(z, shared, h_weight + j * h_stride, bias, n_in, n_shared, h_stride)
            h = tl.where(h > 0, h, h * leak)
            more = ()
            for o in tl.static_range(n_out):
                more = more + (y[o] + tl.load(o_weight + o * o_stride + n_direct + j) * h,)
            y = more
        for o in tl.static_range(n_out):
            at = y_start + before * n_out + o * n_rows.to(tl.int64) + rows
            tl.store(at, y[o], mask=rows < n_rows)


@triton.jit(do_not_specialize=["n_rows", "n_blocks", "bias_stride", "n_copies"])
def backward(
    x_start, shared_start, a_weight, a_bias, h_weight, h_bias, o_weight, g_start, gx_start, sums,
    n_rows, n_blocks, bias_stride, n_copies, scale, leak,
    n_in: tl.constexpr, n_shared: tl.constexpr, n_out: tl.constexpr, n_hidden: tl.constexpr,
    h_stride: tl.constexpr, gated: tl.constexpr, direct: tl.constexpr, BLOCK: tl.constexpr,
    WIDTH: tl.constexpr,
):  # fmt: skip
    """Gradient at ``gx_start``; of weights in ``sums``, see there."""
    n_direct: tl.constexpr = n_in if direct else 0
    o_stride: tl.constexpr = n_direct + n_hidden
    n_gates: tl.constexpr = n_in if gated else 0
    n_sums: tl.constexpr = (n_gates + n_direct + 1 + n_hidden) * WIDTH
    blocks_each = tl.cdiv(n_rows, BLOCK)
    n_images = n_blocks // blocks_each
    for t in range(tl.program_id(0), n_blocks, tl.num_programs(0)):
        image = t // blocks_each
        before = image.to(tl.int64) * n_rows
        rows = (t % blocks_each) * BLOCK + tl.arange(0, BLOCK)
        of_gates = sums + (tl.program_id(0) % n_copies * n_images + image) * n_sums
        of_output = of_gates + n_gates * WIDTH
        of_hidden = of_output + (n_direct + 1) * WIDTH
        x = _columns(x_start + before * n_in, rows, n_rows, scale, n_in)
        shared = _columns(shared_start, rows, n_rows, 1.0, n_shared)
        g = _columns(g_start + before * n_out, rows, n_rows, 1.0, n_out)
        gates = x
        if gated:
            gates = _gates(x, a_weight, a_bias, n_in)
        z = _gated(x, gates, n_in, gated)
        add_row(of_output, g, n_out, WIDTH)
        gz = ()
        for i in tl.static_range(n_in):
            total = tl.zeros((BLOCK,), tl.float32)
            if direct:
                direct_sums = ()
                for o in tl.static_range(n_out):
                    total += tl.load(o_weight + o * o_stride + i) * g[o]
                    direct_sums = direct_sums + (g[o] * z[i],)
                add_row(of_output + (1 + i) * WIDTH, direct_sums, n_out, WIDTH)
            gz = gz + (total,)
        for j in range(n_hidden):
            weight = h_weight + j * h_stride
            bias = h_bias + image * bias_stride + j
            h = _hidden(z, shared, weight, bias, n_in, n_shared, h_stride)
            slope = tl.where(h > 0, 1.0, leak)
            h *= slope
            gh = tl.zeros((BLOCK,), tl.float32)
            unit_sums = ()
            for o in tl.static_range(n_out):
                gh += tl.load(o_weight + o * o_stride + n_direct + j) * g[o]
                unit_sums = unit_sums + (g[o] * h,)
            gh *= slope
            more = ()
            for i in tl.static_range(n_in):
                more = more + (gz[i] + tl.load(weight + i) * gh,)
                unit_sums = unit_sums + (gh * z[i],)
            gz = more
            for i in tl.static_range(n_shared):
                unit_sums = unit_sums + (gh * shared[i],)
            unit_sums = unit_sums + (gh,)
            add_row(of_hidden + j * WIDTH, unit_sums, n_out + n_in + n_shared + 1, WIDTH)
        ga = ()
        if gated:
            for i in tl.static_range(n_in):
                of_gate = gz[i] * x[i]
                beyond = gates[i] - tl.clamp(gates[i], 0.0, 1.0)
                # What points outward from outside is dropped, see functions.clamp_inward.
                ga = ga + (tl.where(beyond * of_gate < 0, 0.0, of_gate),)
        for k in tl.static_range(n_in):
            of_x = gz[k]
            if gated:
                of_x *= tl.clamp(gates[k], 0.0, 1.0)
                gate_sums = (ga[k],)
                for i in tl.static_range(n_in):
                    of_x += tl.load(a_weight + i * n_in + k) * ga[i]
                    gate_sums = gate_sums + (ga[i] * x[k],)
                add_row(of_gates + k * WIDTH, gate_sums, n_in + 1, WIDTH)
            at = gx_start + before * n_in + k * n_rows.to(tl.int64) + rows
            tl.store(at, of_x * scale, mask=rows < n_rows)
