# SPDX-License-Identifier: MIT
"""Rate-distortion curves from results/rd.csv and results/anchors.csv; measures nothing.

Which rows of rd.csv make a curve, in this order:

1. the profile and the preset asked for, fitted on a GPU unless `cpu_too`;
2. the format asked for, by default the newest with a whole curve (`MIN_POINTS`) of each scene that
   has one in any format: a table is of one format;
3. seed 0, which `version` does not name;
4. the rates asked for: `RATES`, or `FEW_RATES` for profile `sanr` and for format 0.1;
5. of rows with the same scene and rate the last, since the file is in the order of measuring.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

RESULTS = Path(__file__).resolve().parents[1] / "results"
RATES = ("1.5", "4", "10", "30", "110")  # values of lmbda
MIN_POINTS = 4  # of a curve that can be compared
FEW_RATES = ("1.5", "6", "25", "100")


class Point(NamedTuple):
    """One file: bits per pixel of the whole file, PSNR-YUV and that of the worst view in dB."""

    bpp: float
    psnr: float
    worst: float


class Selection(NamedTuple):
    """What chooses the rows of a curve; see the head of this module."""

    profile: str = "default"
    preset: str = "medium"
    format: str | None = None
    rates: Sequence[str] = RATES
    cpu_too: bool = False


def point_of(row: Mapping[str, str]) -> Point:
    """The point of a row of rd.csv or anchors.csv."""
    return Point(*(float(row[name]) for name in ("bpp", "psnr_yuv", "psnr_yuv_min")))


def format_of(version: str) -> str:
    """Format ``0.6`` of a version such as ``0.1.0 (0.6; commit)``."""
    found = re.fullmatch(r"\S+ \(([\d.]+)(;.*)?\)", version)
    if not found:
        raise ValueError(f"version {version!r} has the wrong form, expected '0.1.0 (0.6; commit)'")
    return found[1]


def our_curves(selection: Selection, path: Path = RESULTS / "rd.csv") -> dict[str, list[Point]]:
    """Points of each scene, in the order of rates.

    Raises:
        ValueError: no row is selected.
    """
    with path.open(newline="") as lines:
        rows = [
            row
            for row in csv.DictReader(lines)
            if (row["profile"], row["preset"]) == (selection.profile, selection.preset)
            and (selection.cpu_too or "cpu" not in row["device"].lower())
            and "seed" not in row["version"]
            and row["lmbda"] in selection.rates
        ]
    by_format: dict[str, dict[str, dict[str, Point]]] = {}
    for row in rows:
        scenes = by_format.setdefault(format_of(row["version"]), {})
        scenes.setdefault(row["scene"], {})[row["lmbda"]] = point_of(row)
    whole = {
        name: {scene for scene, points in scenes.items() if len(points) >= MIN_POINTS}
        for name, scenes in by_format.items()
    }
    every = set().union(*whole.values())
    complete = [name for name, scenes in whole.items() if scenes and scenes == every]
    wanted = selection.format or max(complete, default="", key=_numbers)
    chosen = by_format.get(wanted, {})
    if not chosen:
        raise ValueError(f"{path.name} has no row of {selection}")
    return {
        scene: [points[rate] for rate in selection.rates if rate in points]
        for scene, points in chosen.items()
    }


def anchor_curves(path: Path = RESULTS / "anchors.csv") -> dict[str, dict[str, list[Point]]]:
    """Points of each scene and codec."""
    curves: dict[str, dict[str, list[Point]]] = {}
    with path.open(newline="") as lines:
        for row in csv.DictReader(lines):
            codecs = curves.setdefault(row["scene"], {})
            codecs.setdefault(row["codec"], []).append(point_of(row))
    return curves


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
