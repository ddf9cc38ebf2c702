# SPDX-License-Identifier: MIT
"""Binary PGM and PPM (P5, P6) of 8 to 16 bits; no ASCII variants, no PAM."""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np

from sanrcodec.errors import LightFieldError
from sanrcodec.io.pixels import checked_samples

__all__ = ["MAGICS", "read_pnm", "write_pnm"]

MAGICS = {b"P5": 1, b"P6": 3}
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(rb"(P[56])" + (_GAP + rb"([0-9]{1,9})") * 3 + rb"\s")


def read_pnm(content: bytes) -> tuple[np.ndarray, int]:
    """Decode one P5 or P6 image.

    Args:
        content: The whole file.

    Returns:
        ``(samples, bit_depth)``: uint8 or uint16 array ``[H, W, C]``; the depth follows from the
        maximum value, for example 10 from 1023.

    Raises:
        LightFieldError: the header or the amount of samples is wrong.
    """
    match = _HEADER.match(content)
    if not match:
        raise LightFieldError("the PNM header is damaged")
    channels = MAGICS[match[1]]
    width, height, maximum = (int(field) for field in match.groups()[1:])
    bit_depth = maximum.bit_length()
    if not 8 <= bit_depth <= 16 or maximum != 2**bit_depth - 1:
        raise LightFieldError(
            f"PNM maximum value is {maximum}, expected 255, 511, ... or 65535; scale the samples "
            "to one of these first"
        )
    dtype = np.dtype(np.uint8 if bit_depth == 8 else ">u2")
    n_expected, n_found = width * height * channels * dtype.itemsize, len(content) - match.end()
    if n_expected == 0 or n_found != n_expected:
        raise LightFieldError(f"the PNM has {n_found} bytes of samples, expected {n_expected}")
    samples = np.frombuffer(content, dtype, offset=match.end())
    samples = samples.astype(dtype.newbyteorder("=")).reshape(height, width, channels)
    if samples.max() > maximum:
        raise LightFieldError(f"a PNM sample is {samples.max()}, above the maximum {maximum}")
    return samples, bit_depth


def write_pnm(file: BinaryIO, samples: np.ndarray, bit_depth: int) -> None:
    """Write uint8 or uint16 samples ``[H, W, C]`` as P5 (C is 1) or P6 (C is 3).

    Raises:
        LightFieldError: samples or depth are others.
    """
    samples, bit_depth = checked_samples(samples, bit_depth)
    height, width, channels = samples.shape
    magic = {n: name for name, n in MAGICS.items()}[channels]
    file.write(b"%s\n%d %d\n%d\n" % (magic, width, height, 2**bit_depth - 1))
    file.write(samples.astype(np.uint8 if bit_depth == 8 else ">u2").tobytes())
