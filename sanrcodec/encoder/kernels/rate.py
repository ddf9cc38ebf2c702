# SPDX-License-Identifier: MIT
"""The bits of latents as one kernel: contexts, entropy network and distribution of each.

The twin of :class:`sanrcodec.encoder.rate.LatentRate`. Must not know how tables come about.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from sanrcodec.bitstream.entropy_network import CONTEXT_MAX
from sanrcodec.bitstream.grids import N_CONTEXT, PassKind
from sanrcodec.bitstream.tables import MAX_RESIDUAL
from sanrcodec.encoder.kernels.device import rate as device
from sanrcodec.encoder.kernels.launch import BLOCK, N_COPIES, launch

__all__ = ["latent_bits"]

_N_TENSORS = 6  # of a network

_Arguments = tuple[Tensor, Tensor, Tensor, Tensor, list[int], list[Tensor]]


def latent_bits(
    latents: Tensor,
    contexts: Tensor,
    coded: Tensor,
    numbers: Tensor,
    kind_sizes: list[int],
    networks: list[Tensor],
) -> Tensor:
    """Bits of some latents, summed.

    Args:
        latents: ``[N]`` float32.
        contexts: Places of each one's neighbors, int32 ``[n * N_CONTEXT]``; ``N`` or more where
            there is none, which counts as 0.
        coded: Places of the latents themselves, int32 ``[n]``, network by network, and kind by kind
            of their passes.
        numbers: Of their grids among those of their network, int32 ``[n]``.
        kind_sizes: How many there are of each kind, for each network.
        networks: Real weights, for each network: ``hidden``, ``hidden_bias``, ``output``,
            ``shortcut``, ``pass_bias``, ``grid_bias``.
    """
    bits: Tensor = _forward(latents, contexts, coded, numbers, kind_sizes, networks)
    return bits


@torch.library.custom_op("sanrcodec::latent_bits", mutates_args=())
def _forward(
    latents: Tensor, contexts: Tensor, coded: Tensor, numbers: Tensor, kind_sizes: list[int],
    networks: list[Tensor],
) -> Tensor:  # fmt: skip
    sums = latents.new_zeros(N_COPIES)
    for tables, sizes, network in _networks(contexts, coded, numbers, kind_sizes, networks):
        n_blocks = sum(-(-size // BLOCK) for size in sizes)
        launch(
            device.forward, latents, n_blocks,
            latents, *tables, *network, sums, n_blocks, len(latents), *sizes, N_COPIES,
            float(CONTEXT_MAX), float(MAX_RESIDUAL), N_CONTEXT=N_CONTEXT,
            n_hidden=network[0].shape[1],
        )  # fmt: skip
    return sums.sum()


@_forward.register_fake
def _(latents: Tensor, *others: Any) -> Tensor:
    return latents.new_empty(())


@torch.library.custom_op("sanrcodec::latent_bits_backward", mutates_args=())
def _backward(
    latents: Tensor, contexts: Tensor, coded: Tensor, numbers: Tensor, kind_sizes: list[int],
    networks: list[Tensor], gradient: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradient of the latents, and the sums of all networks ``[n_sums, width]``."""
    latents = latents.contiguous()
    g_latents = torch.zeros_like(latents)
    rows, width = _shape_of_sums(networks)
    sums = latents.new_zeros(N_COPIES, sum(rows), width)
    of_networks = _networks(contexts, coded, numbers, kind_sizes, networks)
    for (tables, sizes, network), own in zip(of_networks, sums.split(rows, 1), strict=True):
        n_blocks = sum(-(-size // BLOCK) for size in sizes)
        launch(
            device.backward, latents, n_blocks,
            latents, *tables, *network, gradient, g_latents, own, n_blocks, len(latents), *sizes,
            N_COPIES, sums.stride(0), len(network[-1]), float(CONTEXT_MAX), float(MAX_RESIDUAL),
            N_CONTEXT=N_CONTEXT, n_hidden=network[0].shape[1], WIDTH=width,
        )  # fmt: skip
    return g_latents, sums.sum(0)


@_backward.register_fake
def _(
    latents: Tensor, contexts: Tensor, coded: Tensor, numbers: Tensor, kind_sizes: list[int],
    networks: list[Tensor], gradient: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    rows, width = _shape_of_sums(networks)
    return latents.new_empty(latents.shape), latents.new_empty(sum(rows), width)


def _networks(
    contexts: Tensor, coded: Tensor, numbers: Tensor, kind_sizes: list[int], networks: list[Tensor]
) -> Iterator[tuple[list[Tensor], list[int], list[Tensor]]]:
    """Tables, sizes and weights of each network."""
    begin = 0
    for i in range(0, len(networks), _N_TENSORS):
        at = i // _N_TENSORS * len(PassKind)
        sizes = kind_sizes[at : at + len(PassKind)]
        end = begin + sum(sizes)
        tables = [
            contexts[begin * N_CONTEXT : end * N_CONTEXT],
            coded[begin:end],
            numbers[begin:end],
        ]
        yield tables, sizes, [weight.contiguous() for weight in networks[i : i + _N_TENSORS]]
        begin = end


def _shape_of_sums(networks: list[Tensor]) -> tuple[list[int], int]:
    """Rows of each network, and their width.

    Each kind has a row for each input, two for the output and one for biases; then come the grids.
    """
    of_kinds = len(PassKind) * (2 * N_CONTEXT + 3)
    n_hidden = networks[0].shape[1]
    rows = [of_kinds + len(grid_bias) for grid_bias in networks[_N_TENSORS - 1 :: _N_TENSORS]]
    return rows, 1 << max(3, (n_hidden + 1).bit_length())


def _setup(ctx: Any, inputs: _Arguments, output: Tensor) -> None:
    *tensors, ctx.kind_sizes, networks = inputs
    ctx.save_for_backward(*tensors, *networks)


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    latents, contexts, coded, numbers, *networks = ctx.saved_tensors
    g_latents, sums = _backward(
        latents, contexts, coded, numbers, ctx.kind_sizes, networks, gradient
    )
    n_kinds, n_inputs, n_hidden = len(PassKind), 2 * N_CONTEXT, networks[0].shape[1]
    rows, _ = _shape_of_sums(networks)
    of_networks = []
    for of_network in sums.split(rows):
        # As device.rate.backward adds them up.
        of_kinds, of_grids = of_network.tensor_split([n_kinds * (n_inputs + 3)])
        of_inputs, of_output, of_biases = of_kinds.unflatten(0, (n_kinds, -1)).split(
            [n_inputs, 2, 1], 1
        )
        hidden, shortcut = of_inputs[..., : n_hidden + 2].mT.split([n_hidden, 2], 1)
        hidden_bias, pass_bias = of_biases[:, 0, : n_hidden + 2].split([n_hidden, 2], 1)
        output = of_output[..., :n_hidden]
        of_networks += [hidden, hidden_bias, output, shortcut, pass_bias, of_grids[:, :2]]
    return g_latents, None, None, None, None, of_networks


_forward.register_autograd(_gradients, setup_context=_setup)
