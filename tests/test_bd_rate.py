# SPDX-License-Identifier: MIT
"""BD-rates: by hand, and the figures that the pages quote are those of the tables."""

from __future__ import annotations

import bd_rate
import pytest
from bd_rate import TABLES, difference_at, rising
from conftest import ROOT
from curves import Point, Selection, our_curves

CURVE = [(0.1, 33.0), (0.22, 36.1), (0.4, 39.0), (0.9, 42.5), (1.5, 45.0)]
OTHER = [(0.08, 32.5), (0.2, 36.3), (0.35, 38.8), (0.36, 38.7), (0.7, 42.0), (1.2, 44.5)]


def points(curve: list[tuple[float, float]], factor: float = 1.0) -> list[Point]:
    return [Point(rate * factor, psnr, psnr - 1) for rate, psnr in curve]


def test_rates_scaled_by_a_factor() -> None:
    found = bd_rate.bd_rate(points(CURVE), points(CURVE, 0.5)[::-1])
    assert found == pytest.approx((-50.0, 33.0, 45.0))


def test_a_point_that_raises_nothing_does_not_count() -> None:
    assert rising(points(OTHER)) == points(OTHER[:3] + OTHER[4:])
    found = bd_rate.bd_rate(points(CURVE), points(OTHER))
    # By scipy's Akima spline of log10(rate) over the PSNR.
    assert found == pytest.approx((-11.590670291345473, 33.0, 44.5))


def test_curves_that_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="5 and 3 points of rising PSNR, expected four"):
        bd_rate.bd_rate(points(CURVE), points(OTHER[:3]))
    with pytest.raises(ValueError, match="share no PSNR interval"):
        bd_rate.bd_rate(points(CURVE), [p._replace(psnr=p.psnr + 20) for p in points(CURVE)])


def test_a_single_file() -> None:
    """Halfway between two points the anchor's rate is their geometric mean."""
    test = Point(0.1, (36.1 + 39.0) / 2, 0.0)
    expected = 100 * (0.1 / (0.22 * 0.4) ** 0.5 - 1)
    assert difference_at(points(CURVE), test) == pytest.approx(expected)
    with pytest.raises(ValueError, match="outside"):
        difference_at(points(CURVE), test._replace(psnr=32.9))


@pytest.mark.parametrize("file", TABLES)
def test_tables_stand_in_the_pages(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    for make in TABLES[file]:
        assert make() in text, f"renew {file} by python benchmarks/bd_rate.py"


def test_figures_in_the_text() -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())

    flat = our_curves(bd_rate.FLAT)["lytro2067_9x9"]
    anchors = bd_rate.ANCHOR_CURVES["lytro2067_9x9"]
    paper = bd_rate.bd_rate(anchors["x265-paper"], flat)
    strong = bd_rate.bd_rate(anchors["x265"], flat)
    assert (
        f"{-paper.percent:.0f} % fewer bits than x265 as in papers over "
        f"{paper.low:.1f}..{paper.high:.1f} dB, and {strong.percent:.0f} % more than x265"
    ) in readme


def test_the_worst_view_of_medium() -> None:
    ours = our_curves(Selection())
    points = [point for scene in bd_rate.SCENES for point in ours[scene]]
    *others, worst = sorted(point.psnr - point.worst for point in points)
    assert others[-1] < 1.5
    # In antinous at 30, what only one corner view shows has lost its chroma.
    assert worst < 2.1


def test_nothing_selected_is_an_error() -> None:
    with pytest.raises(ValueError, match="no row of Selection"):
        our_curves(Selection(format="9.9"))
