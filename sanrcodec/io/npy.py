# SPDX-License-Identifier: MIT
"""Light fields as ``.npy`` arrays ``[V, U, H, W, C]`` or ``[V, U, H, W]``; never unpickles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.lightfield import format_grid

__all__ = ["read"]


def read(
    path: Path, grid: tuple[int, int] | None, notes: Callable[[str], None]
) -> tuple[np.ndarray, int]:
    """Read samples ``[V, U, H, W, C]`` and the bit depth that their dtype stands for.

    Raises:
        LightFieldError: the file is damaged, or its shape contradicts the layout or the grid.
    """
    try:
        samples = np.load(path, allow_pickle=False)
    except OSError as error:
        raise LightFieldError(f"{path}: cannot read: {error.strerror or error}") from error
    except (ValueError, EOFError, SyntaxError) as error:
        raise LightFieldError(f"{path}: the .npy file is damaged or holds objects") from error
    if not isinstance(samples, np.ndarray):
        raise LightFieldError(f"{path}: this is an archive of arrays, expected one .npy array")
    if samples.ndim == 4:
        if samples.shape[-1] in (1, 3):
            raise LightFieldError(
                f"{path}: shape {samples.shape} looks like [n, H, W, C]; "
                "reshape it to [V, U, H, W, C]"
            )
        samples = samples[..., None]
    if grid is not None and samples.shape[:2] != grid:
        raise LightFieldError(
            f"{path}: shape {samples.shape} contradicts --grid {format_grid(grid)}"
        )
    native = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    return native, 8 * native.dtype.itemsize if native.dtype.kind == "u" else 16
