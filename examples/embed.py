#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Embed the decoder: a program of its own that shows views on demand, without PyTorch.

Usage: python examples/embed.py [FILE.sanr]   (without a file, a small one is made)
"""

from __future__ import annotations

import sys
import time
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from sample import sample_file

import sanrcodec


class Viewer:
    """Keeps the last views, and answers at once with a small one while a whole one is decoded."""

    def __init__(self, content: bytes) -> None:
        # From memory: the file may come from a network or an archive.
        self.opened = sanrcodec.open(content)
        self.view = lru_cache(maxsize=32)(self._view)

    def preview(self, v: float, u: float) -> npt.NDArray[np.uint8]:
        """A quarter of the size, decoded from the coarser latents alone."""
        return self.opened.view(v, u, scale="1/4")

    def _view(self, v: float, u: float) -> npt.NDArray[np.uint8]:
        return self.opened.view(v, u)


content = sample_file(sys.argv[1:]).read_bytes()
begun = time.perf_counter()
try:
    viewer = Viewer(content)
except sanrcodec.SanrError as error:
    sys.exit(f"this is no light field: {error}")
for what, show in (
    ("preview", viewer.preview),
    ("first view", viewer.view),
    ("again", viewer.view),
):
    view = show(2, 2)
    print(f"{what}: {view.shape} after {1000 * (time.perf_counter() - begun):.1f} ms")
