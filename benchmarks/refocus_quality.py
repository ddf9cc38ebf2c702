#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare pictures refocused from a .sanr file with the mean of shifted original views.

Usage: python benchmarks/refocus_quality.py lf.sanr LIGHTFIELD [--aperture 2] [--n 5]

(needs the extra `benchmarks`.) The originals are moved by cubic splines and by their places in the
grid alone: neither the resampling nor the corrections of single views are those of the codec. Only
pixels that all moved views cover are compared.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

import sanrcodec
from sanrcodec.io import read_light_field
from sanrcodec.metrics import psnr_yuv
from sanrcodec.rendering.refocus import disparity_range

Samples = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def mean_of_originals(
    light_field: sanrcodec.LightField, disparity: float, radius: float, signs: tuple[float, float]
) -> Samples:
    """Views within a disk around the middle, moved by whole views times the disparity.

    Args:
        light_field: The original.
        disparity: Pixels per view, HCI sign.
        radius: Of the disk, in views.
        signs: 1, or -1 where the camera moves up as v grows; and left as u grows.
    """
    c_v, c_u = ((n - 1) / 2 for n in light_field.grid)
    total = np.zeros(light_field.shape[2:])
    count = 0
    for v, u in np.ndindex(light_field.grid):
        if math.hypot(v - c_v, u - c_u) > radius + 1e-9:
            continue
        move = signs[0] * (v - c_v) * disparity, signs[1] * (u - c_u) * disparity, 0
        view = light_field.view(v, u).astype(np.float64)
        total += ndimage.shift(view, move, order=3, mode="nearest")
        count += 1
    peak = (1 << light_field.bit_depth) - 1
    return np.clip(np.rint(total / count), 0, peak).astype(light_field.dtype)


def main() -> None:
    """Print a row per disparity, from far to near."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("light_field")
    parser.add_argument("--aperture", type=float, default=2.0)
    parser.add_argument("--n", type=int, default=5)
    options = parser.parse_args()
    opened, light_field = sanrcodec.open(options.file), read_light_field(options.light_field)
    a_v, a_u, *_ = opened.offset(*(n - 1 for n in opened.grid))
    signs = math.copysign(1, a_v), math.copysign(1, a_u)
    depth = light_field.bit_depth
    middle = tuple(n // 2 for n in opened.grid)
    own = psnr_yuv(light_field.view(*middle), opened.view(*middle), depth)
    print(f"view {middle[0]},{middle[1]}: {own:.2f} dB\n")
    print("| disparity | PSNR-YUV |\n|---|---|")
    low, high = disparity_range(opened)
    for disparity in np.linspace(low, high, options.n).tolist():
        expected = mean_of_originals(light_field, disparity, options.aperture, signs)
        found = opened.refocus(disparity, aperture=options.aperture)
        edge = math.ceil(options.aperture * abs(disparity)) + 1
        inside = slice(edge, -edge), slice(edge, -edge)
        print(f"| {disparity:+.2f} | {psnr_yuv(expected[inside], found[inside], depth):.2f} dB |")


if __name__ == "__main__":
    main()
