# SPDX-License-Identifier: MIT
"""The rate of the latents: the differentiable float twin of bitstream.entropy_network.

Must not know of scenes or views.
"""

from __future__ import annotations

from collections.abc import Iterator

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
from sanrcodec.encoder.functions import context_inputs
from sanrcodec.encoder.parameters import LatentVector
from sanrcodec.encoder.part import FloatWeights, Part
from sanrcodec.encoder.quantize import laplace_bits

__all__ = ["LatentRate"]

# Unknown neighbors point at zeros behind the latents: many, or the atomic additions of the
# backward pass would all queue for one address.
_N_ZEROS = 1 << 16


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
        self._kind_sizes = {}
        index = [
            np.arange(part.start, part.stop).reshape(grid.shape)
            for grid, part in zip(vector.grids, vector.slices, strict=True)
        ]
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
            self._kind_sizes[name] = np.bincount(all_kinds[order], minlength=len(PassKind)).tolist()
            table = np.concatenate(tables)[order].ravel()
            unknown = np.flatnonzero(table == vector.size)
            table[unknown] += np.arange(len(unknown)) % _N_ZEROS
            places = np.concatenate([index[grid.index].ravel() for grid in mine])[order]
            numbers = np.repeat(np.arange(len(mine)), [index[g.index].size for g in mine])[order]
            self.constant(f"_context_{name}", table, device, torch.int32)
            self.constant(f"_coded_{name}", places, device, torch.int32)
            self.constant(f"_number_{name}", np.eye(len(all_grids))[numbers], device)

    def forward(self, latents: Tensor, weights: FloatWeights) -> Tensor:
        """Bits of quantized latents ``[N]``, summed; see ``share``."""
        total = latents.new_zeros(())
        for places, location, scale in self._distributions(latents, weights):
            coded = latents.index_select(0, places)
            total = total + laplace_bits(coded, location, scale).sum()
        return total * self.share[1]

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
        saved, step = torch.zeros_like(latents), torch.zeros_like(latents)
        others = latents.new_zeros(())
        for places, location, scale in self._distributions(x, weights):
            coded = latents.index_select(0, places)
            offset = location.detach() - coded
            nearer = torch.where(offset.abs() > 0.5, offset.sign(), torch.zeros_like(offset))
            bits = laplace_bits(coded, location, scale)
            moved = laplace_bits(coded + nearer, location, scale)
            saved.index_add_(0, places, (bits - moved).detach())
            step.index_add_(0, places, nearer)
            others = others + bits.sum()
        (slope,) = torch.autograd.grad(others, x)
        return step, (saved - (slope * step).clamp(min=0)) * self.share[1]

    def _distributions(
        self, latents: Tensor, weights: FloatWeights
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Places of the latents that a network codes, and location and scale of each."""
        padded = torch.cat([latents, latents.new_zeros(_N_ZEROS)])
        for name in self.names:
            # index_select, since the backward pass of fancy indexing sorts its indices.
            context = padded.index_select(0, getattr(self, f"_context_{name}"))
            inputs = context_inputs(context.reshape(-1, N_CONTEXT), CONTEXT_MAX)
            part = {
                key: weights[f"arm.{name}.{key}"]
                for key in ("hidden", "hidden_bias", "output", "shortcut", "pass_bias", "grid_bias")
            }
            # Hidden units and shortcut share their inputs, hence one product.
            first = torch.cat([part["hidden"], part["shortcut"]], 1)
            bias = torch.cat([part["hidden_bias"], part["pass_bias"]], 1)
            n_hidden = part["hidden"].shape[1]
            outputs = []
            for kind, x in enumerate(inputs.split(self._kind_sizes[name])):
                h, y = torch.addmm(bias[kind], x, first[kind].T).tensor_split([n_hidden], 1)
                outputs.append(torch.addmm(y, F.relu(h), part["output"][kind].T))
            y = torch.cat(outputs) + getattr(self, f"_number_{name}") @ part["grid_bias"]
            # Scale index = 4 * output, width = 2**(index / 4 - 4.25).
            location, log_scale = y.unbind(1)
            scale = torch.exp2(log_scale.clamp(0.0, 9.75) - 4.25)
            yield getattr(self, f"_coded_{name}"), location, scale


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
