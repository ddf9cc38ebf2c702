# SPDX-License-Identifier: MIT
"""Whether a grid is rather one row of views, broken into lines; changes nothing that was read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sanrcodec.io.reading import Samples
from sanrcodec.io.reduced import reduce_view

__all__ = ["find_row"]

_SIDE = 64  # pixels of the reduced views that are compared
_MOST_BREAKS = 4  # between rows that are looked at, from the middle
_DARK = 0.5  # of the brightest view; vignetted ones say nothing
_FLAT = 0.005  # of the mean; views that differ less are alike
_ALIKE = 0.6  # of the difference of views above each other; in grids it is 1 and more


def find_row(samples: Samples) -> str:
    """Tell whether the last view of a row is next to the first one of another row.

    In a grid of cameras these are far apart, and views above each other are near.

    Args:
        samples: Array, or stand-in, ``[V, U, H, W, C]``.

    Returns:
        ``top`` if the row of all views goes on in the row below, ``bottom`` if in the row above,
        an empty string if it is none.

    Raises:
        LightFieldError: a view cannot be read.
    """
    n_v, n_u, height, width = samples.shape[:4]
    if n_v < 2 or n_u < 3:
        return ""
    factor = max(1, max(height, width) // _SIDE)
    factor = min(factor, height, width)

    def look(v: int, u: int) -> npt.NDArray[np.float32]:
        reduced: npt.NDArray[np.float32] = reduce_view(samples[v, u], factor).astype(np.float32)
        return reduced

    middle = (n_v - 1) // 2
    breaks = sorted(range(n_v - 1), key=lambda v: abs(v - middle))[:_MOST_BREAKS]
    shares: dict[str, list[float]] = {"top": [], "bottom": []}
    for v in breaks:
        above, below = (look(v, 0), look(v, n_u - 1)), (look(v + 1, 0), look(v + 1, n_u - 1))
        means = [float(view.mean()) for view in (*above, *below)]
        if min(means) <= _DARK * max(means):
            continue
        usual = min(_difference(above[0], below[0]), _difference(above[1], below[1]))
        if usual < _FLAT:
            continue
        shares["top"].append(_difference(above[1], below[0]) / usual)
        shares["bottom"].append(_difference(below[1], above[0]) / usual)
    return next((way for way, found in shares.items() if found and max(found) < _ALIKE), "")


def _difference(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Mean difference of two views, as a share of their mean and without that of their exposure."""
    return float(np.abs(one / one.mean() - other / other.mean()).mean())
