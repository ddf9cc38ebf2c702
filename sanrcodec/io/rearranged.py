# SPDX-License-Identifier: MIT
"""Samples whose views lie in other places of the grid; reads no file."""

from __future__ import annotations

import numpy as np

from sanrcodec.io.reading import Samples
from sanrcodec.io.scan_order import Scan
from sanrcodec.lightfield import StoredSamples

__all__ = ["rearranged"]


class _Rearranged(StoredSamples):
    def __init__(self, samples: StoredSamples, places: dict[tuple[int, int], tuple[int, int]]):
        self._samples, self._places = samples, places
        self.shape, self.dtype = samples.shape, samples.dtype

    def __getitem__(self, index: tuple[int, int]) -> np.ndarray:
        return self._samples[self._places[int(index[0]), int(index[1])]]


def rearranged(samples: Samples, supposed: str, order: str) -> Samples:
    """Arrange views by the order in which they were counted.

    Args:
        samples: Array, or stand-in, ``[V, U, H, W, C]``, arranged by another order.
        supposed: That other one, one of `sanrcodec.io.ORDERS`.
        order: The right one.

    Returns:
        The same views; of a stand-in again one, which reads when asked.
    """
    grid = samples.shape[0], samples.shape[1]
    before, after = Scan(grid, supposed), Scan(grid, order)
    places = {place: before.place(after.number(place)) for place in np.ndindex(*grid)}
    if isinstance(samples, StoredSamples):
        return _Rearranged(samples, places)
    rows, columns = np.array(list(places.values())).reshape(*grid, 2).transpose(2, 0, 1)
    moved: np.ndarray = samples[rows, columns]
    return moved
