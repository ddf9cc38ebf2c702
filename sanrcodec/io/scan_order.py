# SPDX-License-Identifier: MIT
"""How views that are only counted follow each other, by their content; changes no sample."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from sanrcodec.io.likeness import FLAT, LEAST_SIDE, Look, apart, are_dark, looker, mean_difference
from sanrcodec.io.reading import ORDERS, Samples
from sanrcodec.lightfield import format_grid

__all__ = [
    "ORDERS_IN_WORDS",
    "Scan",
    "find_line_length",
    "find_order",
    "find_row",
    "find_still_axis",
    "suggest_grid",
]

ORDERS_IN_WORDS = {
    "rows": "row by row",
    "columns": "column by column",
    "serpentine": "row by row, every second one backwards",
    "serpentine-columns": "column by column, every second one backwards",
}

_MOST_BREAKS = 4  # between lines that are looked at, from the middle
_MOST_PLACES = 4  # in a line
_STILL = 0.2  # of the difference along the other axis; between rows and columns it is 0.7..1.5
_ALIKE = 0.6  # of the difference of views above each other; in grids it is 1 and more
# Of the difference between neighbors of the supposed order that between those of another order is
# 0.2..0.75 where the other one is right, 1.3..3 where the supposed one is, and 0.7..2 elsewhere.
_LEAST_GAIN, _LEAST_GAIN_IN_DOUBT = -math.log(0.8), -math.log(0.7)
_CONTRADICTS = 1.1  # of one pair; up to it, textures may change more along one axis than both
_LEAST_PAIRS = 2  # that tell two orders apart
_MOST_FOLLOWED = 40  # views, from the first one, that tell how long a line is
_JUMP = 1.3  # times any step within a line
_FEW_VIEWS = 6  # of 2 x 2 and 2 x 3: all pairs are looked at
# Of the spread of all differences, and of that which the next best order leaves unexplained.
_MOST_UNEXPLAINED = 0.5


class Scan(NamedTuple):
    """The order in which views were counted.

    Attributes:
        grid: Number of views ``(V, U)``.
        order: One of `ORDERS`. Serpentine scans go back in every second line.
    """

    grid: tuple[int, int]
    order: str

    @property
    def by_rows(self) -> bool:
        """Whether lines are rows, not columns."""
        return self.order in ("rows", "serpentine")

    @property
    def lines(self) -> tuple[int, int]:
        """Number of lines, and of the views in one."""
        return self.grid if self.by_rows else self.grid[::-1]

    def place(self, number: int) -> tuple[int, int]:
        """Return row and column ``(v, u)`` of the view with a number, from 0."""
        line, along = divmod(number, self.lines[1])
        if line % 2 and self.order.startswith("serpentine"):
            along = self.lines[1] - 1 - along
        return (line, along) if self.by_rows else (along, line)

    def number(self, place: tuple[int, int]) -> int:
        """Return the number of the view at ``(v, u)``."""
        line, along = place if self.by_rows else place[::-1]
        if line % 2 and self.order.startswith("serpentine"):
            along = self.lines[1] - 1 - along
        return line * self.lines[1] + along

    def beside(self, number: int) -> int | None:
        """Return the number of the view that is next to this one in the next line; None if none."""
        v, u = self.place(number)
        v, u = (v + 1, u) if self.by_rows else (v, u + 1)
        return self.number((v, u)) if v < self.grid[0] and u < self.grid[1] else None


def find_order(samples: Samples, order: str) -> str:
    """Find the order in which views were rather counted than in the supposed one.

    Neighbors in two adjacent lines are more alike than views that are farther apart. Which views
    these are, differs from order to order. Where lines and columns have one length, rows and
    columns cannot be told apart so; the parallax does.

    Args:
        samples: Array, or stand-in, ``[V, U, H, W, C]``, arranged by ``order``.
        order: The supposed one of `ORDERS`.

    Returns:
        One of `ORDERS`; ``order`` itself where no other one is clearly better. Views that cannot be
        read say nothing.
    """
    supposed = Scan((samples.shape[0], samples.shape[1]), order)
    if min(supposed.grid) < 2:
        return order
    if min(samples.shape[2:4]) < LEAST_SIDE:
        return order
    look = looker(samples)
    if math.prod(supposed.grid) <= _FEW_VIEWS:
        return _order_of_few(supposed, look)
    # Of a square grid both serpentines are the same: the one along the supposed lines is meant.
    others = sorted(
        (Scan(supposed.grid, other) for other in ORDERS if other != order),
        key=lambda other: other.by_rows != supposed.by_rows,
    )
    gains = {other.order: _gain(supposed, other, look) for other in others}
    best = max(gains, key=lambda other: gains[other])
    return best if gains[best] > 0 else order


def find_row(samples: Samples) -> str:
    """Tell whether the last view of a row is next to the first one of another row.

    In a grid of cameras these are far apart, and views above each other are near.

    Args:
        samples: Array, or stand-in, ``[V, U, H, W, C]``.

    Returns:
        ``top`` if the row of all views goes on in the row below, ``bottom`` if in the row above,
        an empty string if it is none.

    Raises:
        LightFieldError: a view cannot be read.
    """
    n_v, n_u = samples.shape[:2]
    if n_v < 2 or n_u < 3:
        return ""
    look = looker(samples)
    shares: dict[str, list[float]] = {"top": [], "bottom": []}
    for v in _from_the_middle(range(n_v - 1)):
        above, below = (look(v, 0), look(v, n_u - 1)), (look(v + 1, 0), look(v + 1, n_u - 1))
        if are_dark(*above, *below):
            continue
        usual = min(mean_difference(above[0], below[0]), mean_difference(above[1], below[1]))
        if usual < FLAT:
            continue
        shares["top"].append(mean_difference(above[1], below[0]) / usual)
        shares["bottom"].append(mean_difference(below[1], above[0]) / usual)
        if max(shares["top"][-1], shares["bottom"][-1]) < _ALIKE:
            return ""  # both ends are alike: every second row is backwards
    return next((way for way, found in shares.items() if found and max(found) < _ALIKE), "")


def find_line_length(samples: Samples, order: str = "rows") -> int:
    """Find after how many views, as they were counted, the camera jumped back to begin a new line.

    Args:
        samples: Array, or stand-in, ``[V, U, H, W, C]``; of many views only the first are read.
        order: One of `ORDERS`, by which they are arranged; of one row any.

    Returns:
        Views in a line, a part of their number; 0 where no regular jumps stand out. Views that
        cannot be read say nothing.
    """
    scan = Scan((samples.shape[0], samples.shape[1]), order)
    n_views = math.prod(scan.grid)
    n_followed = min(n_views, _MOST_FOLLOWED)
    if min(samples.shape[2:4]) < LEAST_SIDE:
        return 0
    look = looker(samples)
    steps = np.array([
        apart(look, scan.place(k), scan.place(k + 1)) for k in range(n_followed - 1)
    ])  # fmt: skip
    for length in range(2, n_views // 2 + 1):
        is_jump = np.arange(1, n_followed) % length == 0
        jumps, within = steps[is_jump], steps[~is_jump]
        jumps, within = jumps[~np.isnan(jumps)], within[~np.isnan(within)]
        # A single jump of many may be an odd view.
        if n_views % length or jumps.size < (1 if n_followed == n_views and length > 2 else 2):
            continue
        if within.size and jumps.min() > max(_JUMP * within.max(), FLAT):
            return length
    return 0


def suggest_grid(samples: Samples) -> str:
    """Name the grid that jumps between counted views suggest, to go on where it is asked for.

    Args:
        samples: All views in one row, array or stand-in ``[1, N, H, W, C]``.

    Returns:
        Such as ``" such as 3x5, since they seem to come in lines of 5"``, or an empty string.
    """
    length = find_line_length(samples)
    if not length:
        return ""
    grid = format_grid((samples.shape[1] // length, length))
    return f" such as {grid}, since they seem to come in lines of {length}"


def find_still_axis(samples: Samples) -> str:
    """Find the axis along which views hardly change, as those of one camera do over time.

    Args:
        samples: Array, or stand-in, ``[V, U, H, W, C]``.

    Returns:
        ``v``, ``u``, or an empty string. Views that cannot be read say nothing.
    """
    look = looker(samples)
    shares = []
    for v in _from_the_middle(range(samples.shape[0] - 1)):
        for u in _from_the_middle(range(samples.shape[1] - 1))[:2]:
            along_v, along_u = (apart(look, (v, u), to) for to in ((v + 1, u), (v, u + 1)))
            if along_v + along_u > FLAT:  # neither is NaN
                shares.append(along_v / max(along_u, 1e-6))
    if shares and max(shares) < _STILL:
        return "v"
    return "u" if shares and min(shares) > 1 / _STILL else ""


def _gain(supposed: Scan, other: Scan, look: Look) -> float:
    """How much better neighbors of another order match than those of the supposed one.

    Returns:
        Sum of logarithms of the ratios of differences; 0 where one of them contradicts, or where
        they are few or not clear.
    """

    def difference(one: int, another: int | None) -> float:
        """Of two views by their numbers; NaN if one of them says nothing."""
        if another is None:
            return math.nan
        return apart(look, supposed.place(one), supposed.place(another))

    logs, least = [], _LEAST_GAIN
    for number in _some_numbers(supposed):
        beside = other.beside(number)
        usual = difference(number, supposed.beside(number))
        found = difference(number, beside)
        if beside == supposed.beside(number) or not usual > FLAT or math.isnan(found):
            continue
        if found > _CONTRADICTS * usual:
            return 0.0
        if found > usual:
            least = _LEAST_GAIN_IN_DOUBT
        # Views that follow each other directly are alike in any order.
        if beside is not None and abs(beside - number) > 1:
            logs.append(-math.log(max(found / usual, 1e-6)))
    for number in _ends(other):
        # In one long row, of the next line the first view would be the most alike.
        next_line = (number // other.lines[1] + 1) * other.lines[1]
        if difference(number, other.beside(number)) >= difference(number, next_line):
            return 0.0
    is_clear = len(logs) >= _LEAST_PAIRS and sum(logs) > len(logs) * least
    return sum(logs) if is_clear else 0.0


def _order_of_few(supposed: Scan, look: Look) -> str:
    """The order of four or six views in which those that are equally far apart differ equally.

    Lines are so short that hardly any neighbors of two orders tell them apart; all pairs do. Of 414
    parts of synthetic and real light fields, none was taken for another order than its own, and
    three quarters of the scans were found.
    """
    n_views = math.prod(supposed.grid)
    places = [supposed.place(number) for number in range(n_views)]
    differences = {
        pair: apart(look, places[pair[0]], places[pair[1]])
        for pair in itertools.combinations(range(n_views), 2)
    }
    found = np.array(list(differences.values()))
    if not (found > 0).all() or found.max() < FLAT:  # nor NaN
        return supposed.order
    logs = {pair: math.log(difference) for pair, difference in differences.items()}
    scans = [Scan(supposed.grid, order) for order in ORDERS]
    if supposed.grid[0] == supposed.grid[1]:
        scans = [scan for scan in scans if scan.by_rows == supposed.by_rows]
    left = {scan.order: _unexplained(scan, logs) for scan in scans}
    best, second, *_ = sorted(left, key=lambda order: left[order])
    most = min(left[second], len(logs) * float(np.var(list(logs.values()))))
    return best if left[best] < _MOST_UNEXPLAINED * most else supposed.order


def _unexplained(scan: Scan, logs: Mapping[tuple[int, int], float]) -> float:
    """Sum of squares that an order leaves of logarithms of differences, by pairs of numbers.

    They are equal where views are equally far apart, and rise with the distance.
    """
    by_distance: dict[tuple[int, int], list[float]] = defaultdict(list)
    for (one, other), log in logs.items():
        (v, u), (v_other, u_other) = scan.place(one), scan.place(other)
        by_distance[abs(v - v_other), abs(u - u_other)].append(log)
    left = sum(len(group) * float(np.var(group)) for group in by_distance.values())
    for near, far in itertools.permutations(by_distance, 2):
        if near[0] <= far[0] and near[1] <= far[1]:
            group, beyond = by_distance[near], by_distance[far]
            falls = max(0.0, float(np.mean(group) - np.mean(beyond)))
            left += falls**2 * len(group) * len(beyond) / (len(group) + len(beyond))
    return left


def _some_numbers(scan: Scan) -> list[int]:
    """Numbers of views, in lines from the middle, at both ends and between."""
    n_lines, length = scan.lines
    quarter = length // _MOST_PLACES
    along = sorted({0, quarter, length - 1 - quarter, length - 1})
    return [k * length + a for k in _from_the_middle(range(n_lines - 1)) for a in along]


def _ends(scan: Scan) -> list[int]:
    """Numbers of views at that end of a line which is farthest from the first of the next line."""
    n_lines, length = scan.lines
    along = 0 if scan.order.startswith("serpentine") else length - 1
    return [k * length + along for k in _from_the_middle(range(n_lines - 1))]


def _from_the_middle(lines: range) -> list[int]:
    middle = (lines.start + lines.stop - 1) / 2
    return sorted(lines, key=lambda line: abs(line - middle))[:_MOST_BREAKS]
