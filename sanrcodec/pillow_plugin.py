# SPDX-License-Identifier: MIT
"""Pillow reads .sanr files after ``import sanrcodec.pillow_plugin``; nothing else imports it.

``Image.open("lf.sanr")`` is the view in the middle; ``seek(n)`` goes to view ``v * U + u``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageFile

from sanrcodec.bitstream.container import is_sanr
from sanrcodec.decoder import SanrFile
from sanrcodec.errors import SanrError

__all__ = ["SanrImageFile"]

_MODE = "_mode" if hasattr(Image.Image, "mode") else "mode"  # the latter until Pillow 10.1


class SanrImageFile(ImageFile.ImageFile):
    """A light field as a picture of many frames.

    Pillow holds 8 bits of color: samples of more bits are cut to their highest 8, but gray ones.
    ``info`` has ``grid`` (V, U), ``bpp`` (bits per pixel of the whole file) and, where the file has
    geometry, ``parallax``: lowest and highest disparity of the middle view, in pixels per view.
    """

    format = "SANR"
    format_description = "SANR light field"

    # Of a copy, pickled or deep, which is one view.
    sanr: SanrFile | None = None
    n_frames, is_animated = 1, False
    _frame = 0

    def _open(self) -> None:
        assert self.fp is not None
        try:
            self.sanr = sanr = SanrFile(self.fp.read())
            n_v, n_u = sanr.grid
            self.info |= {"grid": sanr.grid, "bpp": sanr.bpp}
            if sanr.header.layers:
                # The smallest picture of the geometry is enough for this.
                small = sanr.disparity(n_v // 2, n_u // 2, scale=1 / 8)
                self.info["parallax"] = float(small.min()), float(small.max())
        except SanrError as error:
            raise SyntaxError(str(error)) from None  # what pillow expects of a file it cannot read
        self.n_frames, self.is_animated = n_v * n_u, n_v * n_u > 1
        self._decoded: int | None = None
        self._show((n_v // 2) * n_u + n_u // 2)

    def _show(self, frame: int) -> None:
        """Take size and mode of a view, which the caller may have changed of the one before."""
        assert self.sanr is not None
        _, _, height, width, channels = self.sanr.shape
        deep = self.sanr.bit_depth > 8
        self._frame, self._size = frame, (width, height)
        setattr(self, _MODE, "RGB" if channels == 3 else "I;16" if deep else "L")

    def seek(self, frame: int) -> None:
        """Go to view ``v * U + u``.

        Raises:
            EOFError: there is no such view.
        """
        if not 0 <= frame < self.n_frames:
            raise EOFError(f"view {frame} is outside this light field of {self.n_frames} views")
        if frame != self._frame:
            self._show(frame)

    def tell(self) -> int:
        """Number of the view."""
        return self._frame

    def load(self) -> Any:
        """Decode the view.

        Raises:
            OSError: it cannot be decoded.
        """
        if self.sanr is not None and self._decoded != self._frame:
            try:
                view = self.sanr.view(*divmod(self._frame, self.sanr.shape[1]))
            except SanrError as error:
                raise OSError(str(error)) from error
            if self.sanr.bit_depth > 8 and self.mode == "RGB":
                view = (view >> (self.sanr.bit_depth - 8)).astype(np.uint8)
            self.im = Image.fromarray(view[..., 0] if view.shape[2] == 1 else view).im
            self._decoded = self._frame
        return Image.Image.load(self)  # that of files would look for encoded tiles


def _save(image: Image.Image, fp: object, filename: object) -> None:
    raise OSError("pillow cannot write .sanr files: a picture is no light field, see `sanr encode`")


Image.register_open(SanrImageFile.format, SanrImageFile, is_sanr)
Image.register_save(SanrImageFile.format, _save)
Image.register_save_all(SanrImageFile.format, _save)
Image.register_extension(SanrImageFile.format, ".sanr")
