# SPDX-License-Identifier: MIT
"""How the C library keeps the memory of tensors on a CPU; must not know what is in them."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["memory_kept"]

# Parameters of mallopt, and their values, see mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_NEVER = 2**31 - 1
_DEFAULT_MMAP_MAX = 65536
# What glibc itself would come to, once blocks of this size had been freed: the most it goes to.
_LARGEST_MMAP_THRESHOLD = 32 * 2**20


@contextmanager
def memory_kept() -> Iterator[None]:
    """Keep what is freed for the next tensors, instead of giving it back to the system.

    The large tensors of a step would each be mapped anew, and the system clears every page of them:
    a quarter of the time of a step of 434 x 625 pixels. Of glibc only; elsewhere nothing happens.
    What is kept goes back at the end.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        library.mallopt(_MMAP_MAX, _DEFAULT_MMAP_MAX)
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_MMAP_THRESHOLD)
        library.malloc_trim(0)
