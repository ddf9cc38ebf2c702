#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compute the tables that README.md, docs/ and results/ quote from rd.csv and anchors.csv.

Usage: python benchmarks/bd_rate.py            (needs the extra `benchmarks`)

Prints the tables in Markdown, as they stand in these files. benchmarks/curves.py tells which rows
of rd.csv count. A curve needs four points; points that cost more bits without raising the PSNR are
dropped first. BD-rate is the mean difference in rate at equal PSNR-YUV, over the PSNR that both
curves cover, with log10 of the rate as Akima spline over the PSNR: Bjøntegaard, VCEG-M33, with
Akima's splines (Journal of the ACM, 1970) instead of one cubic. Negative: fewer bits than the
anchor. A single file is compared with the anchor's rate at the same PSNR, the logarithm of which
is linear between two points of the anchor.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import bjontegaard
import numpy as np
from curves import (
    FEW_RATES,
    MIN_POINTS,
    RATES,
    RESULTS,
    Point,
    Selection,
    anchor_curves,
    format_of,
    our_curves,
    point_of,
)

from sanrcodec.presets import psnr_of_quality

SCENES = {
    "antinous_9x9": "antinous 9 x 9 x 512 x 512, rendered",
    "lytro2067_9x9": "lytro2067 9 x 9 x 383 x 552, lenslet",
    "dragons_5x5": "dragons 5 x 5 x 593 x 840, rendered",
}
SHAPES = {  # V, U, H, W
    "antinous_9x9": (9, 9, 512, 512),
    "lytro2067_9x9": (9, 9, 383, 552),
    "dragons_5x5": (5, 5, 593, 840),
}
ANCHORS = {
    "x265-paper": 'x265, medium, 4:2:0 ("paper")',
    "x265": "x265, veryslow, 4:4:4 10 bit",
    "vvenc": "vvenc, slow",
    "aom-av1": "libaom AV1",
    "jplm": "JPEG Pleno 4D transform",
}
# Difficult light fields, few files each; the video codecs that ran on them.
DIFFICULT = (
    "bikes_14x14_black_corners",
    "lowtoys_16x16_wide_baseline",
    "dice_5x5_specular",
    "car_1x101",
    "illum_9x9_noisy",
)
DIFFICULT_ANCHORS = ("x265", "x265-paper")
# Heads of the columns of README.md, by codec.
HEADS = {
    "x265-paper": "vs x265 as in papers",
    "x265": "vs x265 veryslow 4:4:4 10 bit",
    "vvenc": "vs VVC (vvenc slow)",
}
FORMATS = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.8", "0.9")
ANCHOR_CURVES = anchor_curves()
FLAT = Selection(profile="sanr", rates=FEW_RATES)


def medium(version: str) -> Selection:
    """Preset medium, of one version of the format."""
    return Selection(format=version, rates=FEW_RATES if version == "0.1" else RATES)


class BdRate(NamedTuple):
    """Difference in rate in percent, and the PSNR interval in dB that it is of."""

    percent: float
    low: float
    high: float


def rising(points: Iterable[Point]) -> list[Point]:
    """Points sorted by rate, without those that do not raise the PSNR."""
    kept: list[Point] = []
    for point in sorted(points):
        if not kept or point.psnr > kept[-1].psnr:
            kept.append(point)
    return kept


def bd_rate(anchor: Iterable[Point], test: Iterable[Point]) -> BdRate:
    """Compare two curves at equal PSNR-YUV.

    Raises:
        ValueError: a curve has fewer than four rising points, or they share no PSNR interval.
    """
    curves = rising(anchor), rising(test)
    if min(map(len, curves)) < MIN_POINTS:
        counts = " and ".join(str(len(curve)) for curve in curves)
        raise ValueError(f"curves have {counts} points of rising PSNR, expected four or more")
    low = max(curve[0].psnr for curve in curves)
    high = min(curve[-1].psnr for curve in curves)
    if high <= low:
        raise ValueError(f"the curves share no PSNR interval: {low:.2f} dB is above {high:.2f} dB")
    percent = bjontegaard.bd_rate(
        *(column for curve in curves for column in list(zip(*curve, strict=True))[:2]),
        method="akima", require_matching_points=False, min_overlap=0,
    )  # fmt: skip
    return BdRate(float(percent), low, high)


def rate_at(curve: Sequence[Point], psnr: float) -> float | None:
    """Bits per pixel of a rising curve at a PSNR, whose logarithm is linear between two points.

    None where the curve does not reach it.
    """
    known = [point.psnr for point in curve]
    if not known[0] <= psnr <= known[-1]:
        return None
    return float(np.exp(np.interp(psnr, known, np.log([point.bpp for point in curve]))))


def difference_at(anchor: Iterable[Point], test: Point) -> float:
    """Bits of one file against the anchor's at the same PSNR-YUV, in percent.

    Raises:
        ValueError: the anchor does not reach this PSNR.
    """
    curve = rising(anchor)
    rate = rate_at(curve, test.psnr)
    if rate is None:
        low, high = curve[0].psnr, curve[-1].psnr
        raise ValueError(f"{test.psnr:.2f} dB is outside {low:.2f}..{high:.2f} dB")
    return 100 * (test.bpp / rate - 1)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = ["|".join(f" {cell} " if cell else " " for cell in line) for line in [head, *rows]]
    lines.insert(1, "|".join(["---"] * len(head)))
    return "\n".join(f"|{line}|" for line in lines)


def scenes_table(selection: Selection) -> str:
    """A row per scene: range of rate and quality, BD-rates against three anchors."""
    return comparison_table(our_curves(selection), ANCHOR_CURVES, SCENES, HEADS)


def comparison_table(
    ours: Mapping[str, Sequence[Point]],
    theirs: Mapping[str, Mapping[str, Sequence[Point]]],
    scenes: Mapping[str, str],
    heads: Mapping[str, str],
) -> str:
    """A row per scene: range of rate and quality, BD-rates against codecs; and their means.

    Args:
        ours: Points of each scene.
        theirs: The same of each scene and codec.
        scenes: Their names for the table.
        heads: Of the columns, by codec.

    A pair of curves that cannot be compared is a dash.
    """
    rows, found = [], []
    for scene, name in scenes.items():
        points = sorted(ours[scene])
        found.append([_percent_or_none(theirs[scene].get(codec, ()), points) for codec in heads])
        rows.append(
            [name, f"{points[0].bpp:.4f}..{points[-1].bpp:.4f}",
             f"{points[0].psnr:.1f}..{points[-1].psnr:.1f} dB",
             *("-" if value is None else _percent(value) for value in found[-1])]
        )  # fmt: skip
    means = []
    for column in zip(*found, strict=True):
        known = [value for value in column if value is not None]
        means.append(_percent(statistics.mean(known)) if len(known) == len(column) else "-")
    last = [["mean", "", "", *means]] if len(rows) > 1 else []
    return table(["scene", "bpp", "PSNR-YUV", *heads.values()], [*rows, *last])


def _percent_or_none(anchor: Iterable[Point], test: Iterable[Point]) -> float | None:
    try:
        return bd_rate(anchor, test).percent
    except ValueError:
        return None


def anchors_table(
    selection: Selection, scenes: Sequence[str] = tuple(SCENES), before: str | None = None
) -> str:
    """A row per anchor: BD-rates of the scenes, their mean, and that of the format ``before``."""
    ours = our_curves(selection)
    means = mean_rates(before) if before else {}
    rows = []
    for codec, name in ANCHORS.items():
        found = [bd_rate(ANCHOR_CURVES[scene][codec], ours[scene]).percent for scene in scenes]
        mean = [statistics.mean(found)] if len(scenes) > 1 else []
        rows.append([name, *map(_percent, [*found, *mean, *([means[codec]] if means else [])])])
    head = ["anchor", *scenes, *(["mean"] if len(scenes) > 1 else [])]
    head += [f"mean of format {before}"] if before else []
    intervals = [bd_rate(ANCHOR_CURVES[scene]["x265-paper"], ours[scene]) for scene in scenes]
    cells = [f"{i.low:.1f}..{i.high:.1f} dB" for i in intervals]
    rows.append(["range compared", *cells, *[""] * (len(head) - 1 - len(scenes))])
    return table(head, rows)


def mean_rates(version: str) -> dict[str, float]:
    """Mean BD-rate of preset medium over the scenes, by anchor, of one version of the format."""
    ours = our_curves(medium(version))
    return {
        codec: statistics.mean(
            bd_rate(ANCHOR_CURVES[scene][codec], ours[scene]).percent for scene in SCENES
        )
        for codec in ANCHORS
    }


def formats_table() -> str:
    """A row per version of the format: mean BD-rates of preset medium."""
    rows = [[version, *map(_percent, mean_rates(version).values())] for version in FORMATS]
    return table(["format", *ANCHORS], rows)


def measured_rows(preset: str) -> list[dict[str, str]]:
    """Rows of rd.csv of the default profile and a preset, in the order of measuring."""
    with (RESULTS / "rd.csv").open(newline="") as lines:
        return [
            row
            for row in csv.DictReader(lines)
            if (row["profile"], row["preset"]) == ("default", preset)
        ]


def fast_table() -> str:
    """A row per file of preset fast as it was or is, on 2 CPU cores: bits at equal PSNR-YUV."""
    scene, rows = "lytro2067_9x9", []
    anchors = ANCHOR_CURVES[scene]
    for row in measured_rows("fast"):
        if row["scene"] != scene or int(row["steps"]) < 640:
            continue
        point = point_of(row)
        seed = row["version"].partition("seed ")[2].rstrip(")") or "0"
        differences = (difference_at(anchors[codec], point) for codec in ("x265-paper", "x265"))
        cells = f"{point.psnr:.2f} dB", f"{point.worst:.2f} dB", f"{float(row['enc_s']):.0f} s"
        rows.append(
            [
                format_of(row["version"]),
                row["steps"],
                seed,
                *cells,
                *(f"{value:+.0f} %" for value in differences),
            ]
        )
    head = ["format", "steps", "seed", "PSNR-YUV", "worst view", "fit"]
    head += ["against x265-paper", "against x265"]
    return table(head, rows)


def difficult_table() -> str:
    """A row per file of a difficult light field by preset medium: bits at equal PSNR-YUV."""
    newest: dict[str, dict[float, Mapping[str, str]]] = {scene: {} for scene in DIFFICULT}
    for row in measured_rows("medium"):
        if row["scene"] in newest:
            newest[row["scene"]][float(row["lmbda"])] = row
    rows = []
    for scene, files in newest.items():
        names = [scene, *[""] * (len(files) - 1)]
        for name, (lmbda, row) in zip(names, sorted(files.items()), strict=True):
            point = point_of(row)
            rows.append(
                [
                    name,
                    f"{lmbda:g}",
                    row["bytes"],
                    f"{point.psnr:.2f} dB",
                    f"{point.worst:.2f} dB",
                    f"{float(row['enc_s']):.0f} s",
                    *(_difference(ANCHOR_CURVES[scene][c], point) for c in DIFFICULT_ANCHORS),
                ]
            )
    head = ["scene", "`lmbda`", "bytes", "PSNR-YUV", "worst view", "encoding"]
    return table([*head, *(f"against {codec}" for codec in DIFFICULT_ANCHORS)], rows)


def _difference(anchor: Iterable[Point], test: Point) -> str:
    try:
        return _percent(difference_at(anchor, test))
    except ValueError:
        return "below its worst" if test.psnr < min(point.psnr for point in anchor) else "above"


def ladder_table() -> str:
    """A row per step of the ladder of --quality: bits per pixel of preset medium."""
    curves = [rising(points) for points in (our_curves(Selection())[scene] for scene in SCENES)]
    rows = []
    for quality in range(40, 85, 4):
        psnr = psnr_of_quality(quality)
        rates = [rate_at(curve, psnr) for curve in curves]
        cells = ["" if rate is None else f"{rate:.4f}" for rate in rates]
        rows.append([str(quality), f"{psnr:.0f} dB", *cells])
    return table(["quality", "PSNR-YUV", *SCENES], rows)


def lmbda_table() -> str:
    """A row per lmbda: size and PSNR-YUV of the files of preset medium."""
    ours = our_curves(Selection())
    rows = [
        [
            rate,
            *(f"{_size(s, p.bpp)}, {p.psnr:.1f} dB" for s, p in zip(SCENES, points, strict=True)),
        ]
        for rate, *points in zip(RATES, *(ours[scene] for scene in SCENES), strict=True)
    ]
    return table(["lmbda", *SCENES], rows)


def sizes_table() -> str:
    """A row per scene and quality: size of the file of each codec."""
    ours, rows = our_curves(Selection()), []
    for scene, name in SCENES.items():
        curves = [rising(ours[scene]), *(rising(ANCHOR_CURVES[scene][c]) for c in ANCHORS)]
        for psnr in range(36, 47, 2):
            rates = [rate_at(curve, psnr) for curve in curves]
            cells = ["" if rate is None else _size(scene, rate) for rate in rates]
            if cells[0]:
                rows.append([name.partition(" ")[0], f"{psnr} dB", *cells])
    return table(["scene", "PSNR-YUV", "sanrcodec", *ANCHORS], rows)


def _size(scene: str, bpp: float) -> str:
    return f"{bpp * math.prod(SHAPES[scene]) / 8 / 1000:.1f} kB"


def _percent(value: float) -> str:
    return f"{value:+.1f} %"


TABLES: dict[str, list[Callable[[], str]]] = {
    "docs/lmbda.md": [lmbda_table, ladder_table],
    "docs/results.md": [sizes_table, lambda: scenes_table(Selection())],
    "README.md": [lambda: scenes_table(Selection())],
    "results/README.md": [
        lambda: anchors_table(Selection()),
        lambda: anchors_table(Selection(preset="slow")),
        formats_table,
        difficult_table,
        lambda: anchors_table(FLAT, ["lytro2067_9x9"]),
        fast_table,
    ],
    "results/notebook/format_0.1.md": [lambda: anchors_table(medium("0.1"))],
    "results/notebook/format_0.2.md": [lambda: anchors_table(medium("0.2"), before="0.1")],
    "results/notebook/format_0.3.md": [lambda: anchors_table(medium("0.3"), before="0.2")],
    "results/notebook/format_0.4.md": [lambda: anchors_table(medium("0.4"), before="0.3")],
    "results/notebook/format_0.5.md": [lambda: anchors_table(medium("0.5"), before="0.4")],
}


def main() -> None:
    """Print all tables."""
    for file, tables in TABLES.items():
        for make in tables:
            print(f"{file}:\n\n{make()}\n")


if __name__ == "__main__":
    main()
