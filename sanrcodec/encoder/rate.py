# SPDX-License-Identifier: MIT
"""The rate of the latents: the differentiable float twin of bitstream.entropy_network.

Must not know of scenes or views.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sanrcodec.bitstream.entropy_network import TENSOR_NAMES, network_names
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
from sanrcodec.encoder.kernels import runs_on
from sanrcodec.encoder.latent_bits import Block, Network, bits_of, distributions, seen
from sanrcodec.encoder.parameters import LatentVector
from sanrcodec.encoder.part import FloatWeights, Part
from sanrcodec.encoder.quantize import laplace_terms

__all__ = ["LatentRate"]

# Unknown neighbors point at zeros behind the latents: many, or the atomic additions of the
# backward pass would all queue for one address.
_N_ZEROS = 1 << 16

_BLOCK = 1 << 15  # latents that a CPU works on at once


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
    _blocks: list[Block] | None = None  # of the same latents

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
        self._kind_sizes: list[int] = []
        self._n_grids: list[int] = []
        index = [
            np.arange(part.start, part.stop).reshape(grid.shape)
            for grid, part in zip(vector.grids, vector.slices, strict=True)
        ]
        all_contexts, all_places, all_numbers = [], [], []
        for name in self.names:
            all_grids = [grid for grid in vector.grids if grid.network == name]
            self._n_grids.append(len(all_grids))
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
            sizes = [index[grid.index].size for grid in mine]
            all_numbers.append(np.repeat(np.arange(len(mine)), sizes)[order])
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

            networks = [weights[f"arm.{name}.{key}"] for name in self.names for key in TENSOR_NAMES]
            tables = self._context, self._coded, self._grid
            return latent_bits(latents, *tables, self._kind_sizes, networks) * self.share[1]
        bits = bits_of(latents, self._all_blocks(), self._networks(weights), _N_ZEROS)
        return bits * self.share[1]

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
        (slope,) = torch.autograd.grad(self(x, weights), x)
        step, saved, own = torch.zeros_like(latents).expand(3, -1).clone()
        table, networks = seen(latents, _N_ZEROS), self._networks(weights)
        for block in self._all_blocks():
            values = distributions(block, networks[block.network], table)
            coded, scale = latents.index_select(0, block.coded), values.scale()
            offset = values.location - coded
            nearer = torch.where(offset.abs() > 0.5, offset.sign(), torch.zeros_like(offset))
            bits, of_location, _ = laplace_terms(coded, values.location, scale)
            moved, *_ = laplace_terms(coded + nearer, values.location, scale)
            step.index_add_(0, block.coded, nearer)
            saved.index_add_(0, block.coded, bits - moved)
            own.index_add_(0, block.coded, of_location)  # by the latent it has the other sign
        of_others = slope / self.share[1] + own
        return step, (saved - (of_others * step).clamp(min=0)) * self.share[1]

    def _networks(self, weights: FloatWeights) -> list[Network]:
        return [
            Network.of(*(weights[f"arm.{name}.{key}"] for key in TENSOR_NAMES))
            for name in self.names
        ]

    def _all_blocks(self) -> list[Block]:
        """The tables by blocks; made once, and not where a kernel goes without them."""
        if self._blocks is None:
            self._blocks = []
            # A GPU would wait for many small kernels; a CPU has the values of a block in its cache.
            n_at_once = len(self._coded) if self._coded.is_cuda else _BLOCK
            begin = 0
            for i, size in enumerate(self._kind_sizes):
                network, kind = divmod(i, len(PassKind))
                grid_of = torch.eye(self._n_grids[network], device=self._coded.device)
                for first in range(begin, begin + size, n_at_once):
                    rows = slice(first, min(first + n_at_once, begin + size))
                    contexts = self._context.view(-1, N_CONTEXT)[rows].T.flatten()
                    is_of_grid = grid_of.index_select(1, self._grid[rows])
                    coded = self._coded[rows]
                    self._blocks.append(Block(network, kind, contexts, coded, is_of_grid))
                begin += size
        return self._blocks


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
