# SPDX-License-Identifier: MIT
"""The bits of latents in torch, block by block: contexts, entropy network and distribution of each.

The twin of :mod:`sanrcodec.bitstream.entropy_network`, and of the kernel in kernels/rate.py. Must
not know how tables come about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import Function

from sanrcodec.bitstream.entropy_network import CONTEXT_MAX
from sanrcodec.bitstream.grids import N_CONTEXT
from sanrcodec.encoder.quantize import laplace_terms

__all__ = ["Block", "Network", "bits_of", "distributions", "seen"]

# An output stands for a width of 2**(output - 4.25) steps, within the tables' range.
_LOG_SCALES, _LEAST_LOG_WIDTH = (0.0, 9.75), -4.25


class Block(NamedTuple):
    """Latents that one network codes, in passes of one kind.

    Attributes:
        network: Number of the network.
        kind: Of the passes.
        contexts: Places of each one's neighbors, int32 ``[N_CONTEXT * n]``, first those of all
            latents in the first direction.
        coded: Places of the latents themselves, int32 ``[n]``.
        is_of_grid: float32 ``[n_grids, n]``, 1 where a latent is of a grid of the network.
    """

    network: int
    kind: int
    contexts: Tensor
    coded: Tensor
    is_of_grid: Tensor


class Network(NamedTuple):
    """Real weights of an entropy network.

    Attributes:
        first: ``[n_kinds, n_hidden + 2, 2 * N_CONTEXT]``, of hidden units and shortcut.
        bias: ``[n_kinds, n_hidden + 2]``, of the same.
        output: ``[n_kinds, 2, n_hidden]``.
        of_grids: ``[2, n_grids]``, biases of the output.
    """

    first: Tensor
    bias: Tensor
    output: Tensor
    of_grids: Tensor

    @staticmethod
    def of(
        hidden: Tensor, hidden_bias: Tensor, output: Tensor, shortcut: Tensor, pass_bias: Tensor,
        grid_bias: Tensor,
    ) -> Network:  # fmt: skip
        """From the tensors that a file has; hidden units and shortcut share their inputs."""
        return Network(
            torch.cat([hidden, shortcut], 1),
            torch.cat([hidden_bias, pass_bias], 1),
            output,
            grid_bias.T,
        )


class _Values(NamedTuple):
    """What comes of a block: all that its gradient needs."""

    inputs: Tensor  # [2 * N_CONTEXT, n]
    hidden: Tensor  # [n_hidden, n]
    location: Tensor  # [n]
    log_scale: Tensor  # [n], not yet clamped

    def scale(self) -> Tensor:
        """Width of the distributions, in steps."""
        return torch.exp2(self.log_scale.clamp(*_LOG_SCALES) + _LEAST_LOG_WIDTH)


def seen(latents: Tensor, n_zeros: int) -> Tensor:
    """What networks see of latents ``[N]``: the clamped ones, and ``log2(1 + abs())`` of them.

    Args:
        latents: Quantized.
        n_zeros: Unknown neighbors behind them.

    Returns:
        ``[2, N + n_zeros]``.
    """
    table = latents.new_zeros(2, len(latents) + n_zeros)
    near, magnitude = table[:, : len(latents)].unbind()
    torch.clamp(latents, -CONTEXT_MAX, CONTEXT_MAX, out=near)
    torch.log2(near.abs().add_(1), out=magnitude)
    return table


def distributions(block: Block, network: Network, table: Tensor) -> _Values:
    """The distributions of a block's latents.

    Args:
        block: The latents.
        network: That codes them.
        table: Of :func:`seen`.
    """
    n, kind = len(block.coded), block.kind
    inputs = table.new_empty(2, N_CONTEXT * n)
    for values, found in zip(table.unbind(), inputs.unbind(), strict=True):
        torch.index_select(values, 0, block.contexts, out=found)
    inputs = inputs.view(-1, n)
    output = network.output[kind]
    found = torch.addmm(network.bias[kind][:, None], network.first[kind], inputs)
    hidden, direct = found.split([output.shape[1], 2])
    hidden.relu_()
    direct = torch.addmm(direct, output, hidden)
    location, log_scale = direct.addmm_(network.of_grids, block.is_of_grid).unbind()
    return _Values(inputs, hidden, location, log_scale)


def bits_of(
    latents: Tensor, blocks: Sequence[Block], networks: Sequence[Network], n_zeros: int
) -> Tensor:
    """Bits of the latents of some blocks, summed.

    Args:
        latents: ``[N]`` float32, quantized.
        blocks: Which ones.
        networks: That code them.
        n_zeros: Places behind the latents that stand for unknown neighbors.
    """
    tensors = [tensor for network in networks for tensor in network]
    bits: Tensor = _Bits.apply(blocks, n_zeros, latents, *tensors)  # type: ignore[no-untyped-call]
    return bits


class _Bits(Function):
    """:func:`bits_of`. The gradients are found on the way, up to the factor of a sum.

    So all values of a block are in the cache of a CPU until nothing needs them any longer.
    """

    @staticmethod
    def forward(
        ctx: Any, blocks: Sequence[Block], n_zeros: int, latents: Tensor, *tensors: Tensor
    ) -> Tensor:
        """Bits and gradients of all blocks."""
        width = len(Network._fields)
        networks = [Network(*tensors[i : i + width]) for i in range(0, len(tensors), width)]
        table, total = seen(latents, n_zeros), latents.new_zeros(())
        near, of_latents = table[0], torch.zeros_like(latents)
        of_contexts = torch.zeros_like(near)
        curve = near.sign().div_(near.abs().add_(1).mul_(math.log(2)))  # slope of the magnitude
        of_networks = [Network(*map(torch.zeros_like, network)) for network in networks]
        for block in blocks:
            network, of_network = networks[block.network], of_networks[block.network]
            values = distributions(block, network, table)
            coded, scale = latents.index_select(0, block.coded), values.scale()
            bits, of_location, of_scale = laplace_terms(
                coded, values.location, scale, any(ctx.needs_input_grad)
            )
            total += bits.sum()
            if of_location is None or of_scale is None:
                continue
            of_latents.index_add_(0, block.coded, of_location, alpha=-1)
            is_free = values.log_scale == values.log_scale.clamp(*_LOG_SCALES)
            of_log_scale = of_scale.mul_(scale).mul_(math.log(2)).mul_(is_free)
            of_outputs = torch.stack([of_location, of_log_scale])
            of_inputs = _gradients(block, network, of_network, values, of_outputs)
            if not ctx.needs_input_grad[2]:
                continue
            of_near, of_magnitude = of_inputs.view(2, -1)
            of_near.addcmul_(of_magnitude, curve.index_select(0, block.contexts))
            of_contexts.index_add_(0, block.contexts, of_near)
        # Where a context is clamped, the gradient is that of a constant.
        of_latents += of_contexts[: len(latents)].mul_(latents == table[0, : len(latents)])
        ctx.save_for_backward(of_latents, *(slope for of in of_networks for slope in of))
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Multiply by the factor."""
        return None, None, *(gradients[0] * slope for slope in ctx.saved_tensors)


def _gradients(
    block: Block, network: Network, of_network: Network, values: _Values, of_outputs: Tensor
) -> Tensor:
    """Add up the gradients of a block's network, and return those of the inputs.

    Args:
        block: The latents.
        network: That codes them.
        of_network: Its gradients so far.
        values: Of the block.
        of_outputs: Gradients of location and logarithm of the width, ``[2, n]``.
    """
    kind, hidden = block.kind, values.hidden
    n_hidden = len(hidden)
    of_first = hidden.new_empty(n_hidden + 2, hidden.shape[1])
    of_hidden, of_shortcut = of_first.split([n_hidden, 2])
    torch.mm(network.output[kind].T, of_outputs, out=of_hidden)
    of_hidden.mul_(hidden.sign())
    of_shortcut.copy_(of_outputs)
    of_network.of_grids.addmm_(of_outputs, block.is_of_grid.T)
    of_network.output[kind].addmm_(of_outputs, hidden.T)
    of_network.first[kind].addmm_(of_first, values.inputs.T)
    of_network.bias[kind].add_(of_first.sum(1))
    return network.first[kind].T @ of_first
