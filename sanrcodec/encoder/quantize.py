# SPDX-License-Identifier: MIT
"""Differentiable stand-ins for rounding, and the rate of a discretized Laplace distribution."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from sanrcodec.bitstream.tables import MAX_RESIDUAL
from sanrcodec.encoder.kernels import runs_on
from sanrcodec.encoder.kernels.launch import spread

__all__ = ["laplace_bits", "laplace_terms", "noisy_round", "straight_through"]

_EDGE = MAX_RESIDUAL + 0.5  # largest distance without an escape
_BITS = -1 / math.log(2)  # of the logarithm of a mass


def straight_through(x: Tensor) -> Tensor:
    """Round elementwise; the gradient passes as if nothing were done (Bengio et al., 2013)."""
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


def _stairs(x: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    """A smooth staircase, sharper at lower temperature, and its slope.

    After Agustsson and Theis, NeurIPS 2020.
    """
    middle = torch.floor(x.detach()) + 0.5
    # Factor of the hyperbolic tangent between two steps, with which they meet.
    height = 0.5 / torch.tanh(0.5 / temperature)
    t = torch.tanh((x - middle) / temperature)
    return torch.addcmul(middle, t, height), (1 - t * t) * (height / temperature)


def noisy_round(x: Tensor, temperature: Tensor, width: Tensor) -> Tensor:
    """Soft round, add noise, soft round again.

    After C3 (Kim et al., CVPR 2024), with uniform instead of Kumaraswamy noise: noise as wide as a
    step keeps the estimated rate honest, since no latent can rest between two integers.

    Args:
        x: Latents ``[N]``.
        temperature: ``[]``, of both soft roundings.
        width: ``[]``, of the noise, up to one step.
    """
    rounded: Tensor = _NoisyRound.apply(x, torch.rand_like(x), temperature, width)  # type: ignore[no-untyped-call]
    return rounded


class _NoisyRound(Function):
    """:func:`noisy_round`. Op by op its gradient would take as many kernels once more."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, noise: Tensor, temperature: Tensor, width: Tensor) -> Tensor:
        """Round, and keep the slopes."""
        if runs_on(x):
            from sanrcodec.encoder.kernels.device import rounding

            n, rounded, slopes = len(x), torch.empty_like(x), torch.empty_like(x)
            spread(rounding.noisy_round, x, 1, n, x, noise, temperature, width, rounded, slopes, n)
        else:
            first, slope = _stairs(x, temperature)
            noisy = torch.addcmul(first, noise - 0.5, width)
            rounded, again = _stairs(noisy, temperature)
            slopes = slope * again
        ctx.save_for_backward(slopes)
        return rounded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Multiply by the slopes."""
        (slopes,) = ctx.saved_tensors
        return gradients[0] * slopes, None, None, None


def laplace_bits(x: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """Bits of coding ``x`` with a Laplace distribution cut into steps of 1, elementwise.

    The float twin of ``bitstream.tables.frequency_table`` and of the escapes of
    ``bitstream.coder.SymbolEncoder``; written so that nothing over- or underflows.

    Args:
        x: ``[N]``.
        location: ``[N]``.
        scale: ``[N]``, above 0.
    """
    bits: Tensor = _LaplaceBits.apply(x, location, scale)  # type: ignore[no-untyped-call]
    return bits


class _LaplaceBits(Function):
    """:func:`laplace_bits`. Op by op its gradient would take twice as many kernels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, location: Tensor, scale: Tensor) -> Tensor:
        """Bits, and their slopes."""
        bits, *slopes = laplace_terms(x, location, scale, any(ctx.needs_input_grad))
        ctx.save_for_backward(*slopes)
        return bits

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Multiply by the slopes."""
        (gradient,), (of_location, of_scale) = gradients, ctx.saved_tensors
        needs_x, needs_location, needs_scale = ctx.needs_input_grad
        slope = gradient * of_location
        return (
            -slope if needs_x else None,
            slope if needs_location else None,
            gradient * of_scale if needs_scale else None,
        )


def laplace_terms(
    x: Tensor, location: Tensor, scale: Tensor, with_slopes: bool = True
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """:func:`laplace_bits`, and its derivatives.

    With ``d`` the distance, ``i = min(d, 0.5)`` and ``r = 1 / scale``, a step has the mass
    ``1 - (exp((i - 0.5) r) + exp(-(i + 0.5) r)) / 2``, times ``exp(-(d - i) r)``.

    Args:
        x: ``[N]``.
        location: ``[N]``.
        scale: ``[N]``, above 0.
        with_slopes: Whether the derivatives are wanted.

    Returns:
        Bits ``[N]``, their derivatives by location (by x it is the negative) and by scale, or None.
    """
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
    if not with_slopes:
        return bits, None, None
    share = (behind - before).div_(total)
    code = 4 * torch.sqrt(escape) * (distance >= MAX_RESIDUAL + 1)
    of_location = torch.where(is_escape, code, share * r).copysign_(offset).mul_(_BITS)
    of_mass = torch.addcmul(total.reciprocal(), inner, share).add_(0.5)
    of_scale = of_mass.masked_fill_(is_escape, 0.0).add_(outer).mul_(r).mul_(r).mul_(_BITS)
    return bits, of_location, of_scale
