# SPDX-License-Identifier: MIT
"""A contact sheet: the views of a light field, small, in the places where they were read to be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sanrcodec.io.reduced import reduce_view
from sanrcodec.lightfield import LightField

__all__ = ["contact_sheet", "shown_places"]

_MOST_VIEWS = 17  # along an axis; of more, evenly spaced ones are shown, the outermost included
_GAP = 2  # pixels between views


def contact_sheet(light_field: LightField, side: int = 2048) -> npt.NDArray[np.uint8]:
    """Draw views side by side, reduced by means of blocks.

    Args:
        light_field: Of which only the shown views are read, one at a time.
        side: Pixels that the sheet has at most along either side, if views of a pixel allow it.

    Returns:
        uint8 array ``[rows, columns, C]``.
    """
    height, width, channels = light_field.shape[2:]
    rows, columns = shown_places(light_field.grid)
    factor = max(
        1, -(-height * len(rows) // side), -(-width * len(columns) // side)
    )  # so many pixels become one
    factor = min(factor, height, width)
    small = height // factor, width // factor
    sheet = np.full(
        (
            len(rows) * (small[0] + _GAP) - _GAP,
            len(columns) * (small[1] + _GAP) - _GAP,
            channels,
        ),
        255,
        np.uint8,
    )
    for row, v in enumerate(rows):
        for column, u in enumerate(columns):
            view = reduce_view(light_field.view(v, u), factor)
            y, x = row * (small[0] + _GAP), column * (small[1] + _GAP)
            sheet[y : y + small[0], x : x + small[1]] = view >> (light_field.bit_depth - 8)
    return sheet


def shown_places(grid: tuple[int, int]) -> tuple[list[int], list[int]]:
    """Return the rows and columns of views ``(V, U)`` that a contact sheet shows."""
    return _spread(grid[0]), _spread(grid[1])


def _spread(n_views: int) -> list[int]:
    """Up to `_MOST_VIEWS` evenly spaced indices, the first and the last included."""
    n_shown = min(n_views, _MOST_VIEWS)
    return [round(k * (n_views - 1) / max(1, n_shown - 1)) for k in range(n_shown)]
