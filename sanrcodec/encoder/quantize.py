# SPDX-License-Identifier: MIT
"""Differentiable stand-ins for rounding, and the rate of a discretized Laplace distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sanrcodec.bitstream.tables import MAX_RESIDUAL

__all__ = ["laplace_bits", "noisy_round", "soft_round", "straight_through"]


def straight_through(x: Tensor) -> Tensor:
    """Round; the gradient passes as if nothing had been done (Bengio et al., 2013)."""
    return x + (torch.round(x) - x).detach()


def soft_round(x: Tensor, temperature: Tensor | float) -> Tensor:
    """Smooth staircase, sharper at lower temperature (Agustsson and Theis, NeurIPS 2020)."""
    floor = torch.floor(x).detach()
    rest = x - floor - 0.5
    return (
        floor
        + 0.5
        + 0.5 * torch.tanh(rest / temperature) / torch.tanh(0.5 / torch.as_tensor(temperature))
    )


def noisy_round(x: Tensor, temperature: Tensor | float, noise: Tensor) -> Tensor:
    """Soft round, add noise, soft round again.

    After C3 (Kim et al., CVPR 2024), with uniform instead of Kumaraswamy noise: noise as wide as a
    step keeps the estimated rate honest, since no latent can rest between two integers.

    Args:
        x: Latents.
        temperature: Of both soft roundings.
        noise: Of the shape of ``x``, uniform and up to one step wide.
    """
    return soft_round(soft_round(x, temperature) + noise, temperature)


def laplace_bits(x: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """Bits of coding ``x`` with a Laplace distribution cut into steps of 1, elementwise.

    The float twin of tables.frequency_table and of the escapes of entropy.SymbolEncoder; written
    so that no branch over- or underflows.
    """
    distance = (x - location).abs()
    inner = distance.clamp(max=0.5)
    near = 1 - 0.5 * (torch.exp((inner - 0.5) / scale) + torch.exp((-inner - 0.5) / scale))
    edge = MAX_RESIDUAL + 0.5
    outer = (distance - 0.5).clamp(min=0, max=edge - 0.5)
    far = 0.5 * (1 - torch.exp(-1 / scale))
    mass = torch.where(distance < 0.5, near, far)
    inside = (outer / scale - torch.log(mass.clamp(min=1e-9))) / math.log(2)
    # An escape has the mass of both tails, then a sign and an Exp-Golomb code.
    excess = (distance - MAX_RESIDUAL).clamp(min=1)
    escaped = edge / (scale * math.log(2)) + 2 + 2 * torch.log2(excess)
    return torch.where(distance > edge, escaped, inside)
