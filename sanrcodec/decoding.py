# SPDX-License-Identifier: MIT
"""What the sections of a file decode to, each once, for all threads.

Weights, latents, scenes, and residuals of views. Must not render a view, nor know where the bytes
came from.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from sanrcodec import limits
from sanrcodec.arithmetic.ops import Ops
from sanrcodec.bitstream.container import Section, SectionType
from sanrcodec.bitstream.grids import grids, n_latents
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.latents import unpack_latents
from sanrcodec.bitstream.residuals import Tables, ViewResiduals, n_blocks, unpack_residuals
from sanrcodec.bitstream.tensors import Weights
from sanrcodec.bitstream.weights import unpack_weights
from sanrcodec.errors import LimitError, SanrError, located
from sanrcodec.scene.parts import check_weights, default_weights
from sanrcodec.scene.pose import on_grid
from sanrcodec.scene.pyramid import finest_level
from sanrcodec.scene.residuals import add_residuals
from sanrcodec.scene.scene import Scene

__all__ = ["Decoding"]

# A symbol of the narrowest table costs 1.1e-4 bits: no stream holds as many as this allows.
MAX_LATENTS_PER_BYTE = 1 << 17


class Decoding:
    """Decodes weights, latents and scenes as they are asked for, and keeps them.

    Args:
        name: Of the file, for messages.
        n_bytes: Size of the file.
        sections: Of the file, by type.
        header: Stream header.
        ops: Array backend of the scenes.
        max_pixels, max_work: What the file may cost, see :func:`sanrcodec.limits.check`.

    Attributes:
        limits: ``max_pixels`` and ``max_work``.
        scenes: By level, those that were decoded.
        latents: Grids in coding order, as far as they were decoded.
    """

    def __init__(
        self,
        name: str,
        n_bytes: int,
        sections: Mapping[int, Section],
        header: StreamHeader,
        ops: Ops,
        max_pixels: float | None,
        max_work: float | None,
    ) -> None:
        self.name, self.n_bytes, self.sections, self.header = name, n_bytes, sections, header
        self.ops, self.limits = ops, (max_pixels, max_work)
        self.scenes: dict[int, Scene] = {}
        self._closed = False
        self.renew()
        _all.add(self)

    def renew(self) -> None:
        """Forget what may be half decoded, and who held the lock: for a process that was forked."""
        self._lock = threading.RLock()
        self._weights: Weights | None = None
        self._unread: Iterator[npt.NDArray[np.int32]] | None = None  # grids that are still coded
        self.latents: list[npt.NDArray[np.int32]] = []
        self._residuals: tuple[Tables, list[ViewResiduals]] | None = None

    def close(self) -> None:
        """Free all of it; nothing can be decoded any more."""
        self._closed = True
        with self._lock:
            self.scenes.clear()
            self.renew()

    def check(self, level: int) -> None:
        """Refuse to decode for views of a level.

        Raises:
            LimitError: they cost more than they may.
            SanrError: the file is closed.
        """
        with located(self.name):
            if self._closed:
                raise SanrError("the file is closed")
            n_flags = 0
            if level == 0 and SectionType.RESIDUALS in self.sections:
                n_flags = n_blocks(self.header)
            limits.check(self.header, self.n_bytes, level, *self.limits, n_flags)

    @property
    def weights(self) -> Weights:
        """Network weights, int32 per tensor."""
        with self._lock:
            if self._weights is None:
                with self.located(SectionType.WEIGHTS) as payload:
                    weights = unpack_weights(default_weights(self.header), payload)
                    check_weights(self.header, weights)
                self._weights = weights
            return self._weights

    def latents_from(self, level: int) -> list[npt.NDArray[np.int32]]:
        """The grids of a level and of all coarser ones; decodes those that are not yet.

        Returns:
            int32 ``[Hg, Wg]`` each, in coding order, which is coarse to fine.

        Raises:
            SanrError: the section is damaged, or claims more latents than its bytes can hold.
        """
        n_wanted = sum(grid.level >= level for grid in grids(self.header))
        with self._lock:
            if self._unread is None:
                self._unread = self._read_latents()
            try:
                while len(self.latents) < n_wanted:
                    self.latents.append(next(self._unread))
                if not level:
                    next(self._unread, None)  # checks the end of the stream
            except BaseException:
                # A fault must be raised again by the next view; what was interrupted begins anew.
                self._unread, self.latents = None, []
                raise
            return self.latents[:n_wanted]

    def scene(self, level: int) -> Scene:
        """The scene for views that are smaller by ``2**level``."""
        with self._lock:
            if level not in self.scenes:
                self.check(level)
                latents = self.latents_from(finest_level(level))
                with located(self.name):
                    self.scenes[level] = Scene(self.header, self.weights, latents, self.ops, level)
            return self.scenes[level]

    def residuals(self) -> tuple[Tables, list[ViewResiduals]] | None:
        """Head of the residuals, and those of each view in raster order; None if there are none.

        Raises:
            SanrError: the section is damaged, or claims more blocks than its bytes can hold.
        """
        if SectionType.RESIDUALS not in self.sections:
            return None
        with self._lock:
            if self._residuals is None:
                with self.located(SectionType.RESIDUALS) as payload:
                    self._residuals = unpack_residuals(self.header, payload)
            return self._residuals

    def add_residuals(
        self,
        samples: npt.NDArray[Any],
        v: float,
        u: float,
        region: tuple[int, int, int, int],
    ) -> None:
        """Add to the samples of a region of a view, in place, what the file has of it alone.

        Positions between views have nothing of the kind, and decode none of it.

        Raises:
            SanrError: as of :meth:`residuals`.
        """
        place = on_grid(v, u)
        found = self.residuals() if place else None
        if place is None or found is None:
            return
        tables, views = found
        residuals = views[place[0] * self.header.n_u + place[1]]
        add_residuals(
            samples, self.header.bit_depth, self.header.width, region, tables.step, residuals
        )

    @contextmanager
    def located(self, section: SectionType) -> Iterator[bytes]:
        """Yield a section's payload; faults that are found in it tell their place."""
        found = self.sections[section]
        with located(f"{self.name}: {found.where}"):
            yield found.payload

    def _read_latents(self) -> Iterator[npt.NDArray[np.int32]]:
        weights = self.weights
        with self.located(SectionType.LATENTS) as payload:
            # A tiny file must not claim a huge canvas.
            claimed = n_latents(self.header)
            if claimed > (len(payload) + 8) * MAX_LATENTS_PER_BYTE:
                raise LimitError(f"{claimed} latents in {len(payload)} bytes; the file is damaged")
            yield from unpack_latents(self.header, weights, payload)


_all: weakref.WeakSet[Decoding] = weakref.WeakSet()


def _renew_all() -> None:
    for decoding in list(_all):
        decoding.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
