# SPDX-License-Identifier: MIT
"""Differentiable stand-ins for rounding, and the rate of a discretized Laplace distribution."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from sanrcodec.bitstream.tables import MAX_RESIDUAL

__all__ = ["laplace_bits", "noisy_round", "soft_round", "straight_through"]

_EDGE = MAX_RESIDUAL + 0.5  # largest distance without an escape
_BITS = -1 / math.log(2)  # of the logarithm of a mass


def straight_through(x: Tensor) -> Tensor:
    """Round; the gradient passes as if nothing had been done (Bengio et al., 2013)."""
    rounded: Tensor = _StraightThrough.apply(x)  # type: ignore[no-untyped-call]
    return rounded


class _StraightThrough(Function):
    """:func:`straight_through`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Round."""
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Do nothing."""
        return gradients[0]


def soft_round(x: Tensor, temperature: Tensor | float) -> Tensor:
    """Smooth staircase, sharper at lower temperature (Agustsson and Theis, NeurIPS 2020)."""
    return _stairs(x, temperature, _height(temperature))


def _height(temperature: Tensor | float) -> Tensor:
    """Factor of the hyperbolic tangent between two steps, with which they meet."""
    return 0.5 / torch.tanh(0.5 / torch.as_tensor(temperature))


def _stairs(x: Tensor, temperature: Tensor | float, height: Tensor) -> Tensor:
    middle = torch.floor(x.detach()) + 0.5
    return torch.addcmul(middle, torch.tanh((x - middle) / temperature), height)


def noisy_round(x: Tensor, temperature: Tensor | float, noise: Tensor) -> Tensor:
    """Soft round, add noise, soft round again.

    After C3 (Kim et al., CVPR 2024), with uniform instead of Kumaraswamy noise: noise as wide as a
    step keeps the estimated rate honest, since no latent can rest between two integers.

    Args:
        x: Latents.
        temperature: Of both soft roundings.
        noise: Of the shape of ``x``, uniform and up to one step wide.
    """
    height = _height(temperature)
    return _stairs(_stairs(x, temperature, height) + noise, temperature, height)


def laplace_bits(x: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """Bits of coding ``x`` with a Laplace distribution cut into steps of 1, elementwise.

    The float twin of tables.frequency_table and of the escapes of entropy.SymbolEncoder; written
    so that nothing over- or underflows.

    Args:
        x: ``[N]``.
        location: ``[N]``.
        scale: ``[N]``, above 0.
    """
    bits: Tensor = _LaplaceBits.apply(x, location, scale)  # type: ignore[no-untyped-call]
    return bits


class _LaplaceBits(Function):
    """:func:`laplace_bits`. Op by op its gradient would take twice as many kernels.

    With ``d`` the distance, ``i = min(d, 0.5)`` and ``r = 1 / scale``, a step has the mass
    ``1 - (exp((i - 0.5) r) + exp(-(i + 0.5) r)) / 2``, times ``exp(-(d - i) r)``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, location: Tensor, scale: Tensor) -> Tensor:
        """Bits, and their slopes."""
        offset = x - location
        distance = offset.abs()
        inner, r = distance.clamp(max=0.5), scale.reciprocal()
        # Less one: what is left of 1 by wide distributions would be lost to rounding.
        before, behind = torch.expm1((inner - 0.5) * r), torch.expm1((-0.5 - inner) * r)
        total = before + behind
        is_escape = distance > _EDGE
        # An escape has the mass of both tails, then a sign and an Exp-Golomb code.
        escape = (distance - MAX_RESIDUAL).clamp_(min=1).mul_(2).pow_(-2)
        outer = (distance - inner).masked_fill_(is_escape, _EDGE)
        mass = torch.where(is_escape, escape, -0.5 * total)
        bits = torch.addcmul(torch.log(mass), outer, r, value=-1).mul_(_BITS)
        slope = widening = None
        if any(ctx.needs_input_grad):
            share = (behind - before).div_(total)
            code = 4 * torch.sqrt(escape) * (distance >= MAX_RESIDUAL + 1)
            slope = torch.where(is_escape, code, share * r).copysign_(offset)
        if ctx.needs_input_grad[2]:
            of_mass = torch.addcmul(total.reciprocal(), inner, share).add_(0.5)
            widening = of_mass.masked_fill_(is_escape, 0.0).add_(outer).mul_(r).mul_(r)
        ctx.save_for_backward(slope, widening)
        return bits

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Multiply by the slopes."""
        slope, widening = ctx.saved_tensors
        scaled = gradients[0] * _BITS
        of_location = scaled * slope
        needs_x, needs_location, needs_scale = ctx.needs_input_grad
        return (
            -of_location if needs_x else None,
            of_location if needs_location else None,
            scaled.mul_(widening) if needs_scale else None,
        )
