# SPDX-License-Identifier: MIT
"""The file of a fitted model, corrected until it meets what was asked for.

Must not fit: what the fit has not reached stays so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sanrcodec.decoder import SanrFile
from sanrcodec.encoder.control import RateControl
from sanrcodec.encoder.quality import Quality

__all__ = ["Written", "settle"]

_N_TRIES, _N_MEASURED = 6, 3  # the latter where quality is asked for, and takes time to measure
_SPARE_BITS = 32  # the coder ends on whole words


class Written(NamedTuple):
    """A file that was written.

    Attributes:
        content: Of the file.
        estimated_bytes: Size that the model expected of it.
        decoded: The same file, opened.
        quality: Of its views.
    """

    content: bytes
    estimated_bytes: int
    decoded: SanrFile
    quality: Quality


def settle(
    control: RateControl | None,
    write: Callable[[], tuple[bytes, int, SanrFile]],
    measure: Callable[[SanrFile], Quality],
) -> Written:
    """Write the model, and correct it as long as the file is off to a side that can be corrected.

    Collective, if a control is given.

    Args:
        control: Of the fit; None if nothing was asked for.
        write: Gives the model's file, the bytes that were expected of it, and the same opened.
        measure: Gives the quality of a file.
    """
    written = write()
    if control is None:
        return Written(*written, measure(written[2]))
    target, best, is_short = control.target, None, True
    last = (_N_TRIES if target.psnr_yuv is None else _N_MEASURED) - 1
    for tries in range(last + 1):
        # Only where quality was asked for its measure tells how to go on.
        quality = measure(written[2]) if target.bits is None else None
        bits = 8.0 * len(written[0])
        psnr_yuv = quality.mean if quality else 0.0
        found = target.miss(bits, psnr_yuv), written, quality
        if best is None or found[0] < best[0]:
            best = found
        elif not target.breaks_limit(bits):
            break  # the correction went too far
        # What was taken away is not given back.
        is_short = is_short and target.falls_short(bits, psnr_yuv)
        is_off = is_short or target.exceeds(bits, psnr_yuv)
        # Each try asks for more than the last one, which was not enough.
        spare = (-1 if is_short else 1) * tries**2 * _SPARE_BITS
        if tries == last or not (is_off and control.correct(bits + spare, psnr_yuv)):
            break
        written = write()
    assert best is not None
    _, written, quality = best
    return Written(*written, quality or measure(written[2]))
