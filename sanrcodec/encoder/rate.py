# SPDX-License-Identifier: MIT
"""The rate of the latents: the differentiable float twin of bitstream.entropy_network.

Must not know of scenes or views.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sanrcodec.bitstream.entropy_network import CONTEXT_MAX, network_names
from sanrcodec.bitstream.grids import (
    N_CONTEXT,
    PAD,
    Grid,
    PassKind,
    cross_scale_context,
    neighbor_context,
    passes,
)
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.encoder.functions import clamp, context_inputs
from sanrcodec.encoder.kernels import runs_on
from sanrcodec.encoder.parameters import LatentVector
from sanrcodec.encoder.part import FloatWeights, Part
from sanrcodec.encoder.quantize import laplace_bits

__all__ = ["LatentRate"]

# Unknown neighbors point at zeros behind the latents: many, or the atomic additions of the
# backward pass would all queue for one address.
_N_ZEROS = 1 << 16

# Tensors of an entropy network.
_TENSORS = "hidden", "hidden_bias", "output", "shortcut", "pass_bias", "grid_bias"


class LatentRate(Part):
    """Estimated bits of all latents.

    Args:
        header: Stream header.
        vector: How the latents lie in their vector.
        device: Where they live.
        share: ``(i, n)``: the bits are estimated from the i-th of n parts of the latents. The mean
            over all n shares is exact.
        level: Of the finest latents that count. The others are left out.
    """

    _context: Tensor
    _coded: Tensor
    _grid: Tensor

    def __init__(
        self,
        header: StreamHeader,
        vector: LatentVector,
        device: torch.device | str,
        share: tuple[int, int] = (0, 1),
        level: int = 0,
    ) -> None:
        super().__init__()
        self.names, self.share = network_names(header), share
        self._kind_sizes = []
        index = [
            np.arange(part.start, part.stop).reshape(grid.shape)
            for grid, part in zip(vector.grids, vector.slices, strict=True)
        ]
        all_contexts, all_places, all_numbers = [], [], []
        for name in self.names:
            all_grids = [grid for grid in vector.grids if grid.network == name]
            # Coarse to fine, so that those left out are the last.
            mine = [grid for grid in all_grids if grid.level >= level]
            tables, kinds = zip(
                *(_contexts(grid, index, vector.size) for grid in mine), strict=True
            )
            # Kind by kind, since each kind of pass has weights of its own.
            all_kinds = np.concatenate(kinds)
            first, n_shares = share
            order = np.argsort(all_kinds, kind="stable")[first::n_shares]
            self._kind_sizes += np.bincount(all_kinds[order], minlength=len(PassKind)).tolist()
            all_contexts.append(np.concatenate(tables)[order].ravel())
            all_places.append(np.concatenate([index[grid.index].ravel() for grid in mine])[order])
            numbers = np.repeat(np.arange(len(mine)), [index[g.index].size for g in mine])[order]
            all_numbers.append(numbers)
            self.constant(f"_number_{name}", np.eye(len(all_grids))[numbers], device)
        contexts = np.concatenate(all_contexts)
        unknown = np.flatnonzero(contexts == vector.size)
        contexts[unknown] += np.arange(len(unknown)) % _N_ZEROS
        self.constant("_context", contexts, device, torch.int32)
        self.constant("_coded", np.concatenate(all_places), device, torch.int32)
        self.constant("_grid", np.concatenate(all_numbers), device, torch.int32)

    def forward(self, latents: Tensor, weights: FloatWeights) -> Tensor:
        """Bits of quantized latents ``[N]``, summed; see ``share``."""
        if runs_on(latents, weights[f"arm.{self.names[0]}.hidden"].shape[1]):
            from sanrcodec.encoder.kernels.rate import latent_bits

            networks = [weights[f"arm.{name}.{key}"] for name in self.names for key in _TENSORS]
            tables = self._context, self._coded, self._grid
            return latent_bits(latents, *tables, self._kind_sizes, networks) * self.share[1]
        location, scale = self._distributions(latents, weights)
        coded = latents.index_select(0, self._coded)
        return laplace_bits(coded, location, scale).sum() * self.share[1]

    def moves(self, latents: Tensor, weights: FloatWeights) -> tuple[Tensor, Tensor]:
        """What each latent saves if it alone moves by one step to what its context predicts.

        Its own bits are exact. Those of the latents that see it follow from their gradient, and
        count only where they rise: contexts are far from linear, and of many moves those would be
        chosen first that the gradient is the most wrong about.

        Args:
            latents: Integers ``[N]``.
            weights: Real weights per tensor.

        Returns:
            The step ``[N]``, -1, 0 or 1, and the bits ``[N]``.
        """
        x = latents.detach().clone().requires_grad_()
        location, scale = self._distributions(x, weights)
        coded = latents.index_select(0, self._coded)
        offset = (location - coded).detach()
        nearer = torch.where(offset.abs() > 0.5, offset.sign(), torch.zeros_like(offset))
        bits = laplace_bits(coded, location, scale)
        moved = laplace_bits(coded + nearer, location, scale)
        zeros = torch.zeros_like(latents)
        saved = zeros.index_add(0, self._coded, (bits - moved).detach())
        step = zeros.index_add(0, self._coded, nearer)
        (slope,) = torch.autograd.grad(bits.sum(), x)
        return step, (saved - (slope * step).clamp(min=0)) * self.share[1]

    def _distributions(self, latents: Tensor, weights: FloatWeights) -> tuple[Tensor, Tensor]:
        """Location and scale of the latents at ``_coded``."""
        padded = torch.cat([latents, latents.new_zeros(_N_ZEROS)])
        # index_select, since the backward pass of fancy indexing sorts its indices.
        contexts = padded.index_select(0, self._context)
        inputs = context_inputs(contexts.reshape(-1, N_CONTEXT), CONTEXT_MAX)
        inputs_of_kinds = iter(inputs.split(self._kind_sizes))
        outputs = []
        for name in self.names:
            hidden, hidden_bias, output, shortcut, pass_bias, grid_bias = (
                weights[f"arm.{name}.{key}"] for key in _TENSORS
            )
            # Hidden units and shortcut share their inputs, hence one product.
            sizes = [hidden.shape[1], shortcut.shape[1]]
            first, bias = torch.cat([hidden, shortcut], 1), torch.cat([hidden_bias, pass_bias], 1)
            of_kinds = []
            # Unbound, since the gradient of each indexing would be a tensor of all kinds.
            for w, b, v in zip(first.unbind(), bias.unbind(), output.unbind(), strict=True):
                h, y = torch.addmm(b, next(inputs_of_kinds), w.T).split(sizes, 1)
                of_kinds.append(torch.addmm(y, F.relu(h), v.T))
            number = getattr(self, f"_number_{name}")
            outputs.append(torch.addmm(torch.cat(of_kinds), number, grid_bias))
        # Scale index = 4 * output, width = 2**(index / 4 - 4.25).
        location, log_scale = torch.cat(outputs).unbind(1)
        return location, torch.exp2(clamp(log_scale, 0.0, 9.75) - 4.25)


def _contexts(grid: Grid, index: list[np.ndarray], unknown: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of a grid's contexts, and the kinds of its samples' passes.

    The decoder's own functions, on arrays of places instead of latents.

    Returns:
        int64 ``[n, N_CONTEXT]``, ``unknown`` where there is none, and int64 ``[n]``.
    """
    h, w = grid.shape
    table = np.full((h, w, N_CONTEXT), unknown)
    kind = np.zeros((h, w), np.int64)
    padded = np.full((h + 2 * PAD, w + 2 * PAD), unknown)
    padded[PAD : PAD + h, PAD : PAD + w] = index[grid.index]
    cross = cross_scale_context(index, grid)
    for p in passes(grid.shape):
        lattice = np.s_[p.y0 :: p.stride, p.x0 :: p.stride]
        kind[lattice] = p.kind
        columns = neighbor_context(padded, grid.shape, p)
        columns += [None if c is None else c[lattice] for c in cross]
        for i, column in enumerate(columns):
            if column is not None:
                table[(*lattice, i)] = column
    return table.reshape(-1, N_CONTEXT), kind.ravel()
