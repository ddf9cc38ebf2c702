# SPDX-License-Identifier: MIT
"""Rows shared by several processes: which ones each computes, and how all get the whole.

Knows nothing of scenes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from sanrcodec.encoder.distributed import Ranks

__all__ = ["Bands"]


class Bands:
    """Bands of rows, one for each rank, all of one height.

    Where the rows do not divide, some bands overlap: then all ranks run the same kernels, and
    messages have one size.

    Args:
        height: Number of rows, at least 1.
        ranks: The processes.

    Attributes:
        height: Number of rows.
        ranks: The processes.
        rows: Those that this rank computes.
    """

    def __init__(self, height: int, ranks: Ranks) -> None:
        self.height, self.ranks = height, ranks
        self._length = -(-height // ranks.size)
        self._edges = [rank * height // ranks.size for rank in range(ranks.size + 1)]
        self.rows = self._band(ranks.rank)

    def join(self, x: Tensor) -> Tensor:
        """The whole, on all ranks, of what each has computed; collective, and so is its gradient.

        The gradient is that of the sum of what all ranks make of the whole, and each row has it on
        one rank only. So the mean over the ranks of the gradients of what is behind ``x`` is that
        of the mean of their costs.

        Args:
            x: ``[..., k * len(rows), W]``, this rank's rows, ``k`` samples of each.

        Returns:
            ``[..., k * height, W]``.
        """
        if self.ranks.size == 1:
            return x
        whole: Tensor = _Join.apply(x, self)  # type: ignore[no-untyped-call]
        return whole

    def parts(self, samples: int) -> list[tuple[slice, slice]]:
        """Of each rank, which rows the whole has from it: within the whole, and within its band.

        Args:
            samples: Of each row, to which the slices refer.
        """
        found = []
        for rank in range(self.ranks.size):
            first, stop = self._edges[rank], self._edges[rank + 1]
            start = self._band(rank).start
            found.append((
                slice(samples * first, samples * stop),
                slice(samples * (first - start), samples * (stop - start)),
            ))  # fmt: skip
        return found

    def _band(self, rank: int) -> range:
        first = min(self._edges[rank], self.height - self._length)
        return range(first, first + self._length)


class _Join(Function):
    """:meth:`Bands.join`. Torch's own functions would copy each message twice more."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bands: Bands) -> Tensor:
        """Gather the bands, and leave out what overlaps."""
        ctx.bands, ctx.samples = bands, x.shape[-2] // len(bands.rows)
        received = bands.ranks.all_gather(x)
        pieces = zip(received.unbind(), bands.parts(ctx.samples), strict=True)
        return torch.cat([band[..., mine, :] for band, (_, mine) in pieces], -2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Sum each band's gradients on its rank."""
        (whole,), bands, samples = gradients, ctx.bands, ctx.samples
        shape = (*whole.shape[:-2], samples * len(bands.rows), whole.shape[-1])
        sent = whole.new_zeros(bands.ranks.size, *shape)
        for band, (place, mine) in zip(sent.unbind(), bands.parts(samples), strict=True):
            band[..., mine, :] = whole[..., place, :]
        return bands.ranks.scatter_sum(sent), None
