# SPDX-License-Identifier: MIT
"""What is asked of a reader of light fields, and what it answers; reads nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io.selection import Selection
from sanrcodec.lightfield import StoredSamples, format_grid

__all__ = ["ORDERS", "Layout", "Reading", "Request", "Samples"]

# Of names, or of counted views: serpentine scans go back in every second row, or column.
ORDERS = ("rows", "columns", "serpentine", "serpentine-columns")

Samples: TypeAlias = "np.ndarray | StoredSamples"


@dataclass(frozen=True, slots=True)
class Request:
    """One input and what the user said about it.

    Attributes:
        path: File or folder; it exists.
        note: Called with one line for everything that was concluded and not stated, and for
            everything that is left out.
        grid: Number of views ``(V, U)``.
        order: ``rows`` or ``columns``: the index that comes first in names, or the direction in
            which views follow each other. Serpentines are undone elsewhere.
        axes: Order of the axes of an array, such as ``hwvuc``.
        dataset: Name of an array in a file of several.
        layout: That the user states; None if it follows from the input.
        selection: Part that is kept; of the rest nothing needs to be right.
    """

    path: Path
    note: Callable[[str], None]
    grid: tuple[int, int] | None = None
    order: str | None = None
    axes: str | None = None
    dataset: str | None = None
    layout: str | None = None
    selection: Selection = field(default_factory=Selection)

    def refuse_other_grid(self, grid: tuple[int, int], source: str) -> None:
        """Refuse a stated grid that contradicts what the input itself tells.

        Args:
            grid: What the input tells.
            source: Where it does so, for the message.
        """
        if self.grid is None or self.grid == grid:
            return
        hint = ""
        if self.grid == grid[::-1]:
            hint = "; VxU is rows first"
        raise LightFieldError(
            f"{self.path}: {source} {format_grid(grid)} views, "
            f"which contradicts --grid {format_grid(self.grid)}{hint}"
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read.

    Attributes:
        samples: Array, or stand-in, ``[V, U, H, W, C]``.
        bit_depth: That the file states, or that its type stands for.
        source: How the input was understood, a few words.
        dear: Whether reading a view twice costs much, so that samples are better kept.
        counted: One of `ORDERS`: that by which views were arranged which the input only counts,
            ``rows`` or ``columns`` as it was read; empty where it tells their places.
        is_sure: Whether something tells that order, or which index in names comes first.
    """

    samples: Samples
    bit_depth: int
    source: str
    dear: bool = False
    counted: str = ""
    is_sure: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """One way in which views lie in a file or folder.

    Attributes:
        name: For ``--layout``.
        reads: Read an input.
        accepts: Whether an input shows by its name or its first bytes that it has this layout.
        options: What the user may say about it.
        folder: Whether the input is a folder.
    """

    name: str
    reads: Callable[[Request], Reading]
    accepts: Callable[[Path], bool]
    options: frozenset[str]
    folder: bool = False
