#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare the disparity of the middle view with ground truth.

Usage: python benchmarks/disparity_error.py lf.sanr gt_disp_lowres.pfm [--border 15]

The ground truth is a PFM file in pixels per view, as the HCI 4D light field benchmark has one for
each scene (Honauer et al., ACCV 2016), of the size of a view. The metrics are those of that
benchmark: MSE times 100, and the share of bad pixels, whose error is above 0.07, 0.03 or 0.01.
As there a border is left out, and so is what is not finite.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

import sanrcodec

BAD = (0.07, 0.03, 0.01)  # pixels


def read_pfm(content: bytes) -> npt.NDArray[np.float32]:
    """Samples ``[H, W]`` of a gray PFM file, whose rows run upwards.

    Raises:
        ValueError: it is another file.
    """
    kind, size, scale, samples = content.split(b"\n", 3)
    if kind.strip() != b"Pf":
        raise ValueError(f"file begins with {kind[:8]!r}, expected b'Pf', a gray PFM")
    width, height = map(int, size.split())
    order = "<" if float(scale) < 0 else ">"
    values = np.frombuffer(samples, f"{order}f4", width * height).reshape(height, width)
    return values[::-1].astype(np.float32)


def errors(
    found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32], border: int
) -> dict[str, float]:
    """Metrics by name: ``mean`` absolute error and ``mse100``, then bad pixels in percent.

    Raises:
        ValueError: the sizes differ.
    """
    if found.shape != expected.shape:
        raise ValueError(f"view has {found.shape} pixels, ground truth {expected.shape}")
    inside = np.s_[border : found.shape[0] - border, border : found.shape[1] - border]
    difference = np.abs(found[inside].astype(np.float64) - expected[inside])
    difference = difference[np.isfinite(difference)]
    bad = {f"bad {limit}": float(100 * (difference > limit).mean()) for limit in BAD}
    return {
        "mean": float(difference.mean()), "mse100": float(100 * np.square(difference).mean()), **bad
    }  # fmt: skip


def main() -> None:
    """Print the metrics."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("ground_truth", type=Path)
    parser.add_argument("--border", type=int, default=15, help="pixels that are left out")
    options = parser.parse_args()
    opened = sanrcodec.open(options.file)
    found = opened.disparity(*((n - 1) / 2 for n in opened.grid))
    expected = read_pfm(options.ground_truth.read_bytes())
    for name, value in errors(found, expected, options.border).items():
        print(f"{name:10} {value:.4g}{' %' if name.startswith('bad') else ''}")


if __name__ == "__main__":
    main()
