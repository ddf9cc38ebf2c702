# SPDX-License-Identifier: MIT
"""Plot rd.csv against anchors: plot.py ANCHORS.csv OUT.png (needs matplotlib)."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib.pyplot as plt

_MIN_POINTS = 4  # of a curve that can be compared

Curves = dict[str, dict[str, list[tuple[float, float]]]]


def read(path: Path, *label: str) -> Curves:
    """Points ``(bpp, psnr_yuv)`` per scene and curve, which the columns ``label`` name.

    Of our own files, which stand in the order of their making, those on a GPU of the newest format
    of which there are enough for a BD-rate; of those with the same lmbda the last.
    """
    curves: Curves = defaultdict(lambda: defaultdict(list))
    with path.open() as lines:
        rows = [row for row in csv.DictReader(lines) if "cpu" not in row.get("device", "").lower()]
    by_format: dict[tuple[str, str], dict[str, dict[str, tuple[float, float]]]] = {}
    for row in rows:
        name = ", ".join(row[column] for column in label)
        formats = by_format.setdefault((row["scene"], name), {})
        point = float(row["bpp"]), float(row["psnr_yuv"])
        setting = row.get("lmbda") or row["setting"]
        # Of a version such as "0.1.0 (0.6; commit)", the package and the format.
        formats.setdefault(row.get("version", "").split(";")[0].rstrip(")"), {})[setting] = point
    for (scene, name), formats in by_format.items():
        enough = [f for f in formats.values() if len(f) >= _MIN_POINTS]
        curve = enough[-1] if enough else max(formats.values(), key=len)
        curves[scene][name] = list(curve.values())
    return curves


def main(anchors: str, out: str) -> None:
    """Draw one panel per scene of rd.csv."""
    ours = read(Path(__file__).resolve().parents[1] / "results" / "rd.csv", "profile", "preset")
    theirs = read(Path(anchors), "codec")
    _, panels = plt.subplots(1, len(ours), figsize=(6 * len(ours), 5), squeeze=False)
    for panel, (scene, curves) in zip(panels[0], ours.items(), strict=True):
        for codec, points in sorted(theirs[scene].items()):
            panel.semilogx(*zip(*sorted(points), strict=True), ":", marker=".", label=codec)
        for name, points in curves.items():
            panel.semilogx(*zip(*sorted(points), strict=True), "-o", label=f"sanr: {name}")
        panel.set(title=scene, xlabel="bpp", ylabel="PSNR-YUV [dB]")
        panel.grid(alpha=0.3, which="both")
    panels[0][0].legend()
    plt.tight_layout()
    plt.savefig(out, dpi=80)


if __name__ == "__main__":
    main(*sys.argv[1:])
