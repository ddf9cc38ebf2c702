# SPDX-License-Identifier: MIT
"""Views made smaller by means of blocks, to be looked at; what is encoded is never reduced."""

from __future__ import annotations

import numpy as np

from sanrcodec.lightfield import LightField, StoredSamples

__all__ = ["reduce_light_field", "reduce_view"]


def reduce_view(view: np.ndarray, factor: int) -> np.ndarray:
    """Return the means of blocks of ``factor x factor`` pixels of a view ``[H, W, C]``, rounded.

    Rows and columns that fill no block are left out. The dtype stays.
    """
    height, width, channels = view.shape
    height, width = height // factor, width // factor
    if factor == 1:
        return view
    blocks = view[: height * factor, : width * factor]
    # Integers, first along whole rows: a mean along two axes at once takes twenty times as long.
    rows = blocks.reshape(height, factor, width * factor * channels).sum(axis=1, dtype=np.uint32)
    sums = rows.reshape(height, width, factor, channels).sum(axis=2, dtype=np.uint64)
    reduced: np.ndarray = np.rint(sums / factor**2).astype(view.dtype)
    return reduced


def reduce_light_field(light_field: LightField, factor: int) -> LightField:
    """Return a light field whose views are reduced when they are read."""
    if factor == 1:
        return light_field
    return LightField(_Reduced(light_field, factor), light_field.bit_depth)


class _Reduced(StoredSamples):
    def __init__(self, light_field: LightField, factor: int) -> None:
        n_v, n_u, height, width, channels = light_field.shape
        self._light_field, self._factor = light_field, factor
        self.shape = (n_v, n_u, height // factor, width // factor, channels)
        self.dtype = light_field.dtype

    def __getitem__(self, index: tuple[int, int]) -> np.ndarray:
        return reduce_view(self._light_field.view(*index), self._factor)
