# SPDX-License-Identifier: MIT
"""Open .sanr files and decode views: numpy and constriction only, never torch.

See format_spec.md for the rules that a decoder follows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from sanrcodec import container
from sanrcodec.container import SIGNATURE, VERSION, SectionType
from sanrcodec.errors import LightFieldError, LimitError, SanrError
from sanrcodec.header import StreamHeader
from sanrcodec.latents import unpack_latents
from sanrcodec.modelspec import n_latents, tensor_specs
from sanrcodec.synthesis import Scene
from sanrcodec.weights import unpack_weights

__all__ = ["SanrFile", "open_sanr"]

# A symbol of the narrowest table costs 1.1e-4 bits, 14 times what this allows.
MAX_LATENTS_PER_BYTE = 1 << 20


class SanrFile:
    """An opened .sanr file: a light field whose views decode on demand.

    The sections are checked when the file is opened; latents and weights are decoded at the first
    view and cached as the canonical scene.

    Args:
        source: Path, bytes, or a binary file object.

    Attributes:
        name: For messages.
        n_bytes: Size of the whole file.
        format_version: ``(major, minor)`` of the bitstream.
        sections: The sections of the file by type, their checksums verified.
        header: The parsed stream header.

    Raises:
        SanrError: one of its subclasses says what is wrong with the file.
        OSError: the file cannot be read.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes | BinaryIO) -> None:
        if isinstance(source, bytes | bytearray | memoryview):
            content, self.name = bytes(source), "<bytes>"
        elif hasattr(source, "read"):
            content, self.name = source.read(), str(getattr(source, "name", "<stream>"))
        else:
            content, self.name = Path(source).read_bytes(), os.fspath(source)
        self.n_bytes = len(content)
        self.sections = container.unpack(content, self.name)
        major, minor = content[len(SIGNATURE) : len(SIGNATURE) + len(VERSION)]
        self.format_version: tuple[int, int] = (major, minor)
        with self._named():
            self.header = StreamHeader.unpack(self.sections[SectionType.HEADER].payload)

    @property
    def grid(self) -> tuple[int, int]:
        """Angular size ``(V, U)``."""
        return self.header.n_v, self.header.n_u

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Shape ``(V, U, H, W, C)`` of the light field."""
        h = self.header
        return h.n_v, h.n_u, h.height, h.width, h.channels

    @property
    def bit_depth(self) -> int:
        """Bits per sample, 8..16."""
        return self.header.bit_depth

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 up to 8 bits, uint16 above."""
        return np.dtype(np.uint8 if self.header.bit_depth == 8 else np.uint16)

    @property
    def bpp(self) -> float:
        """Bits of the whole file per pixel of all views."""
        v, u, h, w, _ = self.shape
        return 8 * self.n_bytes / (v * u * h * w)

    @cached_property
    def weights(self) -> dict[str, npt.NDArray[np.int32]]:
        """Network weights, int32 per tensor."""
        section = self.sections[SectionType.WEIGHTS]
        return unpack_weights(
            section.payload, tensor_specs(self.header), self._where(SectionType.WEIGHTS)
        )

    @cached_property
    def latents(self) -> list[npt.NDArray[np.int32]]:
        """Latent grids in coding order, int32 ``[Hg, Wg]``."""
        # A tiny file must not claim a huge canvas.
        section = self.sections[SectionType.LATENTS]
        claimed = n_latents(self.header)
        if claimed > (len(section.payload) + 8) * MAX_LATENTS_PER_BYTE:
            raise LimitError(
                f"{self.name}: {claimed} latents in {len(section.payload)} bytes; "
                "the file is damaged"
            )
        weights, where = self.weights, self._where(SectionType.LATENTS)
        with self._named():
            return list(unpack_latents(self.header, weights, section.payload, where))

    @cached_property
    def scene(self) -> Scene:
        """The canonical scene, decoded once."""
        weights, latents = self.weights, self.latents
        with self._named():
            return Scene(self.header, weights, latents)

    def view(
        self, v: float, u: float, *, region: tuple[int, int, int, int] | None = None
    ) -> npt.NDArray[Any]:
        """Decode one view.

        Args:
            v: Row of the view, 0-based; fractions give views in between.
            u: Column of the view, likewise.
            region: ``(y0, y1, x0, x1)`` in pixels, half open; the whole view by default.

        Returns:
            uint8 or uint16 array ``[H, W, C]`` (or of the region's size).

        Raises:
            LightFieldError: the position or region lies outside the light field.
            SanrError: the file is damaged.
        """
        n_v, n_u, height, width, _ = self.shape
        if not (0 <= v <= n_v - 1 and 0 <= u <= n_u - 1):
            raise LightFieldError(
                f"view {v:g},{u:g} is outside this light field "
                f"({n_v} x {n_u} views: v runs 0..{n_v - 1}, u runs 0..{n_u - 1})"
            )
        if region is not None:
            y0, y1, x0, x1 = region
            if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
                raise LightFieldError(
                    f"region {y0}:{y1},{x0}:{x1} is empty or outside a view of "
                    f"{height} x {width} pixels"
                )
        samples: npt.NDArray[Any] = self.scene.render(v, u, region).astype(self.dtype)
        return samples

    def views(self) -> Iterator[npt.NDArray[Any]]:
        """Decode all views one after the other, ``v`` slowest."""
        for v in range(self.header.n_v):
            for u in range(self.header.n_u):
                yield self.view(v, u)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Put the file's name before messages that lack it."""
        try:
            yield
        except SanrError as error:
            if str(error).startswith(self.name):
                raise
            raise type(error)(f"{self.name}: {error}") from None

    def _where(self, section: SectionType) -> str:
        return f"{self.name}: section {section.name} at byte {self.sections[section].offset}"


def open_sanr(source: str | os.PathLike[str] | bytes | BinaryIO) -> SanrFile:
    """Open a .sanr file; see :class:`SanrFile`."""
    return SanrFile(source)
