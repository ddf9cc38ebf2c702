# SPDX-License-Identifier: MIT
"""Reader for napari, which asks for it by napari.yaml; never imports napari.

The grid is shown by two sliders, and a view is decoded when they move.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sanrcodec.decoder import SanrFile

__all__ = ["get_reader"]

Layer = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[Layer]] | None:
    """The function that opens a path, or None for paths of others."""
    paths = [path] if isinstance(path, str) else list(path)
    return _read if all(str(p).endswith(".sanr") for p in paths) else None


def _read(path: str | Sequence[str]) -> list[Layer]:
    paths = [path] if isinstance(path, str) else list(path)
    layers: list[Layer] = []
    for name in paths:
        opened = SanrFile(name)
        options = {
            "name": opened.name,
            "rgb": opened.shape[4] == 3,
            # Known without a look at any view.
            "contrast_limits": (0, (1 << opened.bit_depth) - 1),
            "metadata": {"grid": opened.grid, "bpp": opened.bpp},
        }
        # napari would take the one channel of gray for columns of pixels; it brings dask.
        is_gray = opened.shape[4] == 1
        layers.append((opened.to_dask()[..., 0] if is_gray else opened, options, "image"))
    return layers
