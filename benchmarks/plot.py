#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draw results/rd.png: the curves of rd.csv and of anchors.csv, a panel per scene.

Usage: python benchmarks/plot.py [OUT.png]            (needs the extra `benchmarks`)

Of our own files it draws the newest format; benchmarks/curves.py tells which rows count.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from curves import FEW_RATES, RESULTS, Selection, anchor_curves, our_curves

CURVES = {
    "medium": Selection(),
    "slow": Selection(preset="slow"),
    "medium, no geometry": Selection(profile="sanr", rates=FEW_RATES),
}


def main(out: Path) -> None:
    """Draw one panel for every scene that preset medium has files of."""
    ours = {name: our_curves(selection) for name, selection in CURVES.items()}
    theirs = anchor_curves()
    scenes = list(ours["medium"])
    _, panels = plt.subplots(1, len(scenes), figsize=(6 * len(scenes), 5), squeeze=False)
    for panel, scene in zip(panels[0], scenes, strict=True):
        for codec, points in sorted(theirs[scene].items()):
            rate, psnr, _ = zip(*sorted(points), strict=True)
            panel.semilogx(rate, psnr, ":", marker=".", label=codec)
        for name, curves in ours.items():
            rate, psnr, _ = zip(*sorted(curves[scene]), strict=True)
            panel.semilogx(rate, psnr, "-o", label=f"sanr: {name}")
        panel.set(title=scene, xlabel="bpp", ylabel="PSNR-YUV [dB]")
        panel.grid(alpha=0.3, which="both")
    panels[0][0].legend()
    plt.tight_layout()
    plt.savefig(out, dpi=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS / "rd.png")
