# SPDX-License-Identifier: MIT
"""Light fields as ``.npy`` arrays ``[V, U, H, W, C]`` or ``[V, U, H, W]``; never unpickles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io import stored
from sanrcodec.lightfield import StoredSamples, format_grid

__all__ = ["read"]


def read(
    path: Path, grid: tuple[int, int] | None, notes: Callable[[str], None]
) -> tuple[np.ndarray | StoredSamples, int]:
    """Read samples ``[V, U, H, W, C]`` and the bit depth that their dtype stands for.

    A large array stays in its file and is read view by view.

    Raises:
        LightFieldError: the file is damaged, or its shape contradicts the layout or the grid.
    """
    try:
        # Mapped first, which reads the header alone.
        samples = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise LightFieldError(f"{path}: cannot read: {error.strerror or error}") from error
    except (ValueError, EOFError, SyntaxError) as error:
        raise LightFieldError(f"{path}: the .npy file is damaged or holds objects") from error
    if not isinstance(samples, np.memmap):
        raise LightFieldError(f"{path}: this is an archive of arrays, expected one .npy array")
    offset = samples.offset
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
    bit_depth = 8 * samples.dtype.itemsize if samples.dtype.kind == "u" else 16
    if samples.nbytes > stored.IN_MEMORY_BYTES and samples.flags.c_contiguous:
        file = path.open("rb")
        return stored.FileSamples(file, offset, samples.shape, samples.dtype, str(path)), bit_depth
    return np.array(samples, samples.dtype.newbyteorder("="), order="C"), bit_depth
