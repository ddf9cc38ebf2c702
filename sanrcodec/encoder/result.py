# SPDX-License-Identifier: MIT
"""What an encoding gave: the file and its figures; computes none of them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sanrcodec.io import write_atomically

__all__ = ["EncodeResult"]


@dataclass(frozen=True, slots=True, repr=False)
class EncodeResult:
    """What an encoding gave.

    Attributes:
        content: The whole .sanr file.
        bpp: Of ``content``, per pixel of all views.
        estimated_bytes: The fit's own rate estimate plus header and framing, for comparison; of
            several processes that of rank 0, from its share of the latents.
        psnr_yuv, psnr_yuv_min: Mean and minimum over views, of the decoded file, in dB; NaN if it
            could not be measured, since views cannot be read any more or memory is full.
        geometry: ``found``, ``not found`` (short fits then choose whether the scene has layers), or
            ``none`` for a profile without geometry.
        steps: Done.
        finished: Whether these are all that were planned.
        seconds: Whole encoding, self-check included.
        device: Name of the device.
        lmbda: Weight of the rate, as given or as a target led to it.
        missed: One line of what was asked and what was reached, if that was missed; else empty.
        unused: One line of how much of ``max_size`` is left, if that is more than 5 %; else empty.
        warnings: Lines that the logger ``sanrcodec`` had too: what went wrong on the way, and what
            in the file says that the fit did.
    """

    content: bytes
    bpp: float
    estimated_bytes: int
    psnr_yuv: float
    psnr_yuv_min: float
    geometry: str
    steps: int
    finished: bool
    seconds: float
    device: str
    lmbda: float
    missed: str
    unused: str = ""
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """One line: size, quality and time."""
        return (
            f"<EncodeResult: {len(self.content)} bytes, {self.bpp:.5f} bpp, PSNR-YUV "
            f"{self.psnr_yuv:.2f} dB (worst view {self.psnr_yuv_min:.2f}), {self.steps} steps"
            f"{'' if self.finished else ', ended early'}, {self.seconds:.1f} s on {self.device}>"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all.

        Raises:
            SanrError: the system refuses.
        """
        write_atomically(path, self.content)
