# SPDX-License-Identifier: MIT
"""Open .sanr files and decode views: numpy and constriction only, never torch.

See format_spec.md for the rules that a decoder follows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any, SupportsFloat, TypeVar

import numpy as np
import numpy.typing as npt

from sanrcodec import limits
from sanrcodec.arguments import real, whole
from sanrcodec.arithmetic.ops import NUMPY, Ops
from sanrcodec.bitstream import container
from sanrcodec.bitstream.container import SectionType
from sanrcodec.bitstream.grids import level_shape
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.source import Source, read_source
from sanrcodec.decoding import Decoding
from sanrcodec.errors import (
    LightFieldError,
    MissingEncoderError,
    located,
)
from sanrcodec.parallel import in_order
from sanrcodec.rendering.methods import Renderings
from sanrcodec.scene.scene import Scene

__all__ = ["MAX_WORKERS", "SCALES", "SanrFile", "n_workers", "open_sanr"]

T = TypeVar("T")

Region = tuple[int, int, int, int] | tuple[slice, slice]
Scale = float | Fraction | str

SCALES = tuple(Fraction(1, 1 << level) for level in range(4))  # of a view; index: its level

MAX_WORKERS = 4  # threads; each holds a view, and little of its time holds the interpreter


class SanrFile(Renderings):
    """An opened .sanr file: a light field whose views decode on demand.

    The sections are checked when the file is opened; latents and weights are decoded at the first
    view, as far as its scale needs them, and kept as the canonical scene. Views may be decoded by
    several threads at once.

    A file can be pickled and copied, by its bytes; is a context manager, which frees what was
    decoded; and may be used in processes that were forked.

    Args:
        source, device, max_pixels, max_work: As of :func:`open`, which has them explained.

    Attributes:
        name: For messages.
        content: The whole file.
        n_bytes: Size of the whole file.
        format_version: ``(major, minor)`` of the bitstream.
        sections: The sections of the file by type, their checksums verified.
        header: The parsed stream header.

    Raises:
        SanrError: one of its subclasses says what is wrong with the file.
        LightFieldError: the device is not usable here, or a limit is no number.
        MissingEncoderError: a device is given, but PyTorch is not installed.
        OSError: the file cannot be read.
    """

    def __init__(
        self,
        source: Source,
        *,
        device: str | None = None,
        max_pixels: float | None = None,
        max_work: float | None = None,
    ) -> None:
        allowed = (
            limits.given_limit(max_pixels, "max_pixels"),
            limits.given_limit(max_work, "max_work"),
        )
        content, self.name = read_source(source)
        self.n_bytes = len(content)
        with located(self.name):
            self.format_version, self.sections = container.unpack(content)
        header = self.sections[SectionType.HEADER]
        with located(f"{self.name}: {header.where}"):
            self.header = StreamHeader.unpack(header.payload)
        self.content, self._device = content, device
        self._ops: Ops = NUMPY if device is None else _torch_ops(device)
        self._decoding = Decoding(
            self.name, self.n_bytes, self.sections, self.header, self._ops, *allowed
        )

    def close(self) -> None:
        """Free what was decoded; views cannot be decoded any more."""
        self._decoding.close()

    def __enter__(self) -> SanrFile:
        """Return the file itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the bytes of the file, and nothing that was decoded."""
        return _reopened, (self.content, self.name, self._device, *self._decoding.limits)

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

    @property
    def metadata(self) -> dict[str, Any]:
        """What the encoder noted, if it was asked to; nothing depends on it."""
        section = self.sections.get(SectionType.METADATA)
        try:
            noted = json.loads(section.payload) if section else {}
        except (ValueError, RecursionError):
            return {}
        return noted if isinstance(noted, dict) else {}

    def __repr__(self) -> str:
        """One line: what is in the file."""
        v, u, h, w, c = self.shape
        return (
            f"<SanrFile {self.name!r}: {v} x {u} views of {w} x {h} pixels, "
            f"{'gray' if c == 1 else 'RGB'}, {self.bit_depth} bit, {self.n_bytes} bytes>"
        )

    @property
    def weights(self) -> dict[str, npt.NDArray[np.int32]]:
        """Network weights, int32 per tensor."""
        return self._decoding.weights

    @property
    def latents(self) -> list[npt.NDArray[np.int32]]:
        """Latent grids in coding order, int32 ``[Hg, Wg]``."""
        self._decoding.check(0)
        return self._decoding.latents_from(0)

    @property
    def scene(self) -> Scene:
        """The canonical scene, decoded once."""
        return self._decoding.scene(0)

    def view(
        self,
        v: SupportsFloat,
        u: SupportsFloat,
        *,
        region: Region | None = None,
        scale: Scale = 1,
    ) -> npt.NDArray[Any]:
        """Decode one view.

        Args:
            v: Row of the view, 0-based; fractions give views in between.
            u: Column of the view, likewise.
            region: ``(y0, y1, x0, x1)`` in pixels of the scaled view, half open, or two slices as
                of ``np.s_[y0:y1, x0:x1]``; the whole view by default.
            scale: 1, 1/2, 1/4 or 1/8, as a number or text. A smaller view is a preview: it is
                decoded from the coarser latents alone, in a fraction of the time. See
                format_spec.md section 8.5.

        Returns:
            uint8 or uint16 array ``[ceil(H * scale), ceil(W * scale), C]``, or of the region's
            size.

        Raises:
            LightFieldError: the position or region lies outside the light field, or the scale is
                another one.
            LimitError: the file costs more than it may.
            SanrError: the file is damaged, or closed.
        """
        v, u = self.position(v, u)
        level = _level(scale)
        size = level_shape((self.header.height, self.header.width), level)
        if region is not None:
            region = _region(region, size)
        samples = self._ops.to_numpy(self._decoding.scene(level).render(v, u, region))
        decoded: npt.NDArray[Any] = samples.astype(self.dtype, copy=False)
        if not level:
            self._decoding.add_residuals(decoded, v, u, region or (0, size[0], 0, size[1]))
        return decoded

    def read_view(self, v: int, u: int, region: tuple[int, int, int, int]) -> npt.NDArray[Any]:
        """A region of a view, for numpy's indexing of the file."""
        return self.view(v, u, region=region)

    def position(self, v: SupportsFloat, u: SupportsFloat) -> tuple[float, float]:
        """The place of a view as two numbers of Python.

        Raises:
            LightFieldError: there is no such view, or these are no numbers.
        """
        n_v, n_u = self.grid
        v, u = real(v, "v"), real(u, "u")
        if not (0 <= v <= n_v - 1 and 0 <= u <= n_u - 1):
            raise LightFieldError(
                f"view {v:.12g},{u:.12g} is outside this light field "
                f"({n_v} x {n_u} views: v runs 0..{n_v - 1}, u runs 0..{n_u - 1})"
            )
        return v, u

    def scene_at(self, scale: Scale) -> Scene:
        """The canonical scene for views of a scale, decoded once."""
        return self._decoding.scene(_level(scale))

    def views(self, *, scale: Scale = 1) -> Iterator[npt.NDArray[Any]]:
        """Decode all views one after the other, ``v`` slowest; a few are decoded ahead.

        Args:
            scale: Of each view, as for :meth:`view`.

        Yields:
            Arrays ``[H, W, C]`` as of :meth:`view`.

        Raises:
            SanrError: as of :meth:`view`.
        """
        return self.map_views(lambda v, u, view: view, scale=scale)

    def map_views(
        self, task: Callable[[int, int, npt.NDArray[Any]], T], *, scale: Scale = 1
    ) -> Iterator[T]:
        """Decode all views and hand each to a task, in several threads; a few are ahead.

        Args:
            task: Called with ``v``, ``u`` and the view, in the thread that decoded it; in that of
                the caller where no thread can be started.
            scale: Of each view, as for :meth:`view`.

        Yields:
            What the task returned, ``v`` slowest.

        Raises:
            SanrError: as of :meth:`view`; what the task raises passes on.
        """
        n_threads = n_workers() if self._device is None else 1
        self._decoding.scene(_level(scale))  # once, not in every thread

        def decode(place: tuple[int, ...]) -> T:
            v, u = place
            return task(v, u, self.view(v, u, scale=scale))

        yield from in_order(decode, np.ndindex(self.grid), n_threads)


def open_sanr(
    source: Source,
    *,
    device: str | None = None,
    max_pixels: float | None = None,
    max_work: float | None = None,
) -> SanrFile:
    """Open a .sanr file: a light field whose views decode on demand, by numpy alone.

    >>> opened = sanrcodec.open("lf.sanr")
    >>> opened.shape, opened.dtype, opened.bit_depth, opened.bpp, opened.metadata
    >>> opened.view(4, 4)                     # row 4, column 4: an array [H, W, C]
    >>> opened.view(3.5, 4.25, scale="1/4")   # between views, at a quarter of the size
    >>> opened.view(4, 4, region=np.s_[0:64, 0:64])
    >>> opened[4, 4], opened[:, 4], np.asarray(opened)  # as an array [V, U, H, W, C]
    >>> for view in opened.views(): ...       # all of them, made by several threads
    >>> opened.disparity(4, 4)                # pixels per view, the higher the nearer
    >>> opened.refocus(0.5, aperture=3), opened.all_in_focus(), opened.epi(row=40)

    The sections are checked now; what is coded is decoded at the first view, as far as its scale
    needs it, and kept. The samples are the same on every machine. Views may be decoded by several
    threads at once; the file can be pickled, and is a context manager that frees its memory.

    Args:
        source: Path, bytes in any form, or a binary file object.
        device: Where views are computed: by torch on a device that it names so, such as ``cuda``
            or ``cpu``; by numpy if None. The samples are the same.
        max_pixels: Pixels that the canvases of all layers may have. By default a warning comes
            above :data:`sanrcodec.limits.MAX_PIXELS`, and an error above twice that.
        max_work: Multiply-accumulates that the first view may take, likewise; the default is
            :data:`sanrcodec.limits.MAX_WORK`, and less for files of few bytes. Both are compared
            before a view of a new scale is decoded: that file may still have smaller views.

    Returns:
        The opened file; ``help(sanrcodec.SanrFile)`` has all of its methods.

    Raises:
        SanrError: one of its subclasses says what is wrong with the file; itself, that the source
            is none.
        LightFieldError: the device is not usable here, or a limit is no number.
        MissingEncoderError: a device is given, but PyTorch is not installed.
        OSError: the file cannot be read.
    """
    return SanrFile(source, device=device, max_pixels=max_pixels, max_work=max_work)


def _reopened(
    content: bytes, name: str, device: str | None, max_pixels: float | None, max_work: float | None
) -> SanrFile:
    """The copy of a file, from its bytes."""
    opened = SanrFile(content, device=device, max_pixels=max_pixels, max_work=max_work)
    opened.name = name
    return opened


def n_workers() -> int:
    """Threads that decode views side by side: one for each core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return min(MAX_WORKERS, len(os.sched_getaffinity(0)))
    return min(MAX_WORKERS, os.cpu_count() or 1)


def _level(scale: Scale) -> int:
    with suppress(ValueError, ZeroDivisionError):  # what is no number at all
        number = Fraction(scale) if isinstance(scale, str) else scale
        return SCALES.index(number)  # equal floats are found too
    raise LightFieldError(f"scale is {scale}, expected 1, 1/2, 1/4 or 1/8")


def _region(region: Region, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The region ``(y0, y1, x0, x1)`` inside a view of ``(rows, columns)``."""
    try:
        parts: list[Any] = list(region)
    except TypeError:
        parts = []
    if len(parts) == 2 and all(isinstance(part, slice) for part in parts):
        for part in parts:
            if part.step not in (None, 1):
                raise LightFieldError(f"region has a step of {part.step}, expected none")
        parts = [end for part, n in zip(parts, size, strict=True)
                 for end in (0 if part.start is None else part.start,
                             n if part.stop is None else part.stop)]  # fmt: skip
    if len(parts) != 4:
        raise LightFieldError(
            "region has another form, expected (y0, y1, x0, x1) or np.s_[y0:y1, x0:x1]"
        )
    y0, y1, x0, x1 = (whole(part, "an end of the region") for part in parts)
    height, width = size
    if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
        raise LightFieldError(
            f"region {y0}:{y1},{x0}:{x1} is empty or outside a view of {height} x {width} pixels"
        )
    return y0, y1, x0, x1


def _torch_ops(device: str) -> Ops:
    try:
        from sanrcodec.arithmetic.torchops import torch_ops, usable_device
    except ImportError:
        raise MissingEncoderError(
            f"decoding on device {device} needs PyTorch: pip install torch"
        ) from None
    return torch_ops(usable_device(device))
