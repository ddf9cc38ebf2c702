# SPDX-License-Identifier: MIT
"""The bits of latents as one kernel: contexts, entropy network and distribution of each.

The twin of :class:`sanrcodec.encoder.rate.LatentRate`. Must not know how tables come about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from sanrcodec.bitstream.entropy_network import CONTEXT_MAX, TENSOR_NAMES
from sanrcodec.bitstream.grids import N_CONTEXT, PassKind
from sanrcodec.bitstream.tables import MAX_RESIDUAL
from sanrcodec.encoder.kernels.device import rate as device
from sanrcodec.encoder.kernels.launch import BLOCK, N_COPIES, launch

__all__ = ["latent_bits"]

_N_TENSORS = len(TENSOR_NAMES)  # of a network
_LIMITS = float(CONTEXT_MAX), float(MAX_RESIDUAL)


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
    tensors = [latents, contexts, coded, numbers, *networks]
    bits: Tensor = _Bits.apply(kind_sizes, *(tensor.contiguous() for tensor in tensors))  # type: ignore[no-untyped-call]
    return bits


def _networks(
    kind_sizes: list[int], latents: Tensor, contexts: Tensor, coded: Tensor, numbers: Tensor,
    *networks: Tensor,
) -> Iterator[tuple[int, list[int], list[Tensor]]]:  # fmt: skip
    """Blocks, sizes, and tensors that a kernel gets, of each network."""
    begin = 0
    for i in range(0, len(networks), _N_TENSORS):
        at = i // _N_TENSORS * len(PassKind)
        sizes = kind_sizes[at : at + len(PassKind)]
        end = begin + sum(sizes)
        tables = contexts[begin * N_CONTEXT : end * N_CONTEXT], coded[begin:end], numbers[begin:end]
        n_blocks = sum(-(-size // BLOCK) for size in sizes)
        yield n_blocks, sizes, [latents, *tables, *networks[i : i + _N_TENSORS]]
        begin = end


def _shape_of_sums(networks: Sequence[Tensor]) -> tuple[list[int], int]:
    """Rows of each network, and their width.

    Each kind has a row for each input, two for the output and one for biases; then come the grids.
    """
    of_kinds = len(PassKind) * (2 * N_CONTEXT + 3)
    n_hidden = networks[0].shape[1]
    rows = [of_kinds + len(grid_bias) for grid_bias in networks[_N_TENSORS - 1 :: _N_TENSORS]]
    return rows, 1 << max(3, (n_hidden + 1).bit_length())


class _Bits(Function):
    """:func:`latent_bits`."""

    @staticmethod
    def forward(ctx: Any, kind_sizes: list[int], *tensors: Tensor) -> Tensor:
        """Add them up."""
        ctx.kind_sizes = kind_sizes
        ctx.save_for_backward(*tensors)
        latents = tensors[0]
        sums = latents.new_zeros(N_COPIES)
        for n_blocks, sizes, own in _networks(kind_sizes, *tensors):
            launch(
                device.forward, latents, n_blocks,
                *own, sums, n_blocks, len(latents), *sizes, N_COPIES, *_LIMITS,
                N_CONTEXT=N_CONTEXT, n_hidden=tensors[4].shape[1],
            )  # fmt: skip
        return sums.sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Compute all networks again, which takes less than to keep their units."""
        latents, _, _, _, *networks = ctx.saved_tensors
        n_hidden = networks[0].shape[1]
        of_latents = torch.zeros_like(latents)
        rows, width = _shape_of_sums(networks)
        sums = latents.new_zeros(N_COPIES, sum(rows), width)
        for (n_blocks, sizes, own), of_own in zip(
            _networks(ctx.kind_sizes, *ctx.saved_tensors), sums.split(rows, 1), strict=True
        ):
            n_grids = len(own[-1])
            launch(
                device.backward, latents, n_blocks,
                *own, gradients[0], of_latents, of_own, n_blocks, len(latents), *sizes, N_COPIES,
                sums.stride(0), n_grids, *_LIMITS,
                N_CONTEXT=N_CONTEXT, n_hidden=n_hidden, WIDTH=width,
            )  # fmt: skip
        of_networks = sums.sum(0).split(rows)
        of_weights = chain.from_iterable(_of_weights(part, n_hidden) for part in of_networks)
        return None, of_latents, None, None, None, *of_weights


def _of_weights(of_network: Tensor, n_hidden: int) -> list[Tensor]:
    """Gradients of a network's weights, from sums as :func:`.device.rate.backward` has them."""
    n_kinds, n_inputs = len(PassKind), 2 * N_CONTEXT
    of_kinds, of_grids = of_network.tensor_split([n_kinds * (n_inputs + 3)])
    of_inputs, of_output, of_biases = of_kinds.unflatten(0, (n_kinds, -1)).split(
        [n_inputs, 2, 1], 1
    )
    hidden, shortcut = of_inputs[..., : n_hidden + 2].mT.split([n_hidden, 2], 1)
    hidden_bias, pass_bias = of_biases[:, 0, : n_hidden + 2].split([n_hidden, 2], 1)
    output = of_output[..., :n_hidden]
    return [hidden, hidden_bias, output, shortcut, pass_bias, of_grids[:, :2]]
