# SPDX-License-Identifier: MIT
"""Names that only count views -> the grid that their numbers tell; opens no image."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple, TypeVar

from sanrcodec.errors import LightFieldError
from sanrcodec.io import hci_parameters
from sanrcodec.io.conventions import find_convention
from sanrcodec.io.names import NameSet, axis_places, list_names
from sanrcodec.io.reading import Request
from sanrcodec.lightfield import check_grid, format_grid

__all__ = ["ADD_OR_SELECT", "Count", "find_runs", "fits", "read_count", "refuse_missing"]


ADD_OR_SELECT = "; add what is missing, or keep other rows or columns with --views"
_Any = TypeVar("_Any")


class Count(NamedTuple):
    """What the numbers of counted names tell.

    Attributes:
        names: In order of their numbers.
        grid: Number of views ``(V, U)``; None if they do not tell it.
        remark: What to say of the numbers; may be empty.
        hint: What may be missing, to end a message that asks for the grid.
        by_rows: Whether it is known that rows are counted, not columns.
    """

    names: list[str]
    grid: tuple[int, int] | None = None
    remark: str = ""
    hint: str = ""
    by_rows: bool = False


def read_count(request: Request, found: NameSet) -> Count:
    """Find the grid that numbers tell.

    The parameters of the HCI benchmark say how many views were counted, of which a regular part may
    be there; without them a square number of its names is a square grid, and of fewer than the user
    states it is known which are missing. The numbers of every second view, say, have gaps that tell
    where a row ends.

    Raises:
        LightFieldError: views are missing, or the user states another grid.
    """
    numbers = _numbers_of(found)
    if numbers is None:
        return _read_counting_field(found)
    convention = find_convention(found.names[0].rsplit("/", 1)[-1])
    is_hci = convention is not None and convention.pattern.groups == 1
    if is_hci:
        stated = hci_parameters.read_grid((request.path / found.names[0]).parent)
        if stated is not None:
            return _read_part(request, found, numbers, stated, hci_parameters.FILE_NAME)
        if request.grid is not None and numbers[0] == 0:
            n_wanted = math.prod(request.grid)
            if max(len(numbers), numbers[-1]) < n_wanted:
                return _read_part(request, found, numbers, request.grid, "--grid")
    if start := _find_restart(numbers):
        names = [*found.names[start:], *found.names[:start]]
        return Count(
            names, None, f", the counter went on from {found.names[-1]} to {names[-start]}"
        )
    names, grid, remark = list(found.names), None, ""
    first, step = numbers[0], math.gcd(*(n - numbers[0] for n in numbers)) or 1
    is_even = numbers[-1] - first == step * (len(numbers) - 1)
    n_gaps = 0 if is_even else numbers[-1] - first + 1 - len(numbers)
    side, runs = math.isqrt(len(names)), find_runs(numbers)
    if is_hci and is_even and step == 1 and first in (0, 1) and side * side == len(names):
        grid = side, side
    elif runs is not None:
        grid, remark = _turned(request, runs), ", rows as the gaps in their numbers tell"
    if grid is not None:
        request.refuse_other_grid(grid, f"{names[0]} to {names[-1]} make")
        return Count(names, grid, remark, by_rows=is_hci)
    if n_gaps and not (request.grid and fits(numbers, _turned(request, request.grid))):
        lacking = _name_like(names[0], _first_gap(numbers))
        if is_hci:
            what = f"{names[0]} to {names[-1]} are no regular part of a grid"
            hint = "; add what is missing, or --grid VxU, and --views for what is whole"
            refuse_missing(request, [lacking, *[""] * (n_gaps - 1)], what, hint)
        remark = f", with {n_gaps} gaps in their numbers, the first at {lacking}"
        return Count(names, None, remark, f", or look for {lacking}")
    if step > 1:
        return Count(names, None, f", in steps of {step}", f" (numbers in steps of {step})")
    side += side * side < len(names)
    at_end = [_name_like(names[0], first + n) for n in range(len(names), side * side)]
    hint = f", or look for {list_names(at_end)}" if is_hci and 0 < len(at_end) <= side else ""
    return Count(names, None, "", hint)


def find_runs(numbers: Sequence[int]) -> tuple[int, int] | None:
    """Find how many runs of equal length numbers with regular gaps make.

    Those of every second view of 9 x 9, for example, go 0, 2, .., 8, 18, 20, .., 26, 36, ..: five
    runs of five.

    Args:
        numbers: In rising order, none of them twice.

    Returns:
        Runs and their length; None if the gaps are not regular, or so few that single views may
        rather be missing.
    """
    steps = [b - a for a, b in itertools.pairwise(numbers)]
    length = next((n for n, step in enumerate(steps, 1) if step != steps[0]), len(numbers))
    n_runs = len(numbers) // length
    if n_runs < 2 or not fits(numbers, (n_runs, length)):
        return None
    return (n_runs, length) if n_runs > 2 or (steps[0] > 1 and length > 2) else None


def fits(numbers: Sequence[int], runs: tuple[int, int]) -> bool:
    """Tell whether numbers in rising order make so many runs of such a length, all alike."""
    n_runs, length = runs
    if n_runs * length != len(numbers):
        return False
    step = numbers[1] - numbers[0] if length > 1 else 1
    stride = numbers[length] - numbers[0] if n_runs > 1 else 1
    return all(
        number == numbers[0] + (n // length) * stride + (n % length) * step
        for n, number in enumerate(numbers)
    )


def refuse_missing(request: Request, missing: Sequence[str], what: str, hint: str = "") -> None:
    """Refuse views that are missing, if any are.

    Args:
        request: For the message.
        missing: One text for each, empty beyond those to be named.
        what: How it is known.
        hint: What to do, the end of the message.
    """
    if missing:
        named = [name for name in missing if name]
        more = ", ..." if len(named) < len(missing) else ""
        lacking = "1 view is" if len(missing) == 1 else f"{len(missing)} views are"
        raise LightFieldError(
            f"{request.path}: {what}: {lacking} missing: {list_names(named)}{more}{hint}"
        )


def _numbers_of(found: NameSet) -> list[int] | None:
    """Return the rising numbers of names; None if not exactly one number of a name counts."""
    varying = [column for column in zip(*found.values, strict=True) if len(set(column)) > 1]
    if len(found.names) == 1:
        varying = [values[-1:] for values in found.values if values]
    if len(varying) != 1 or any(value.denominator != 1 for value in varying[0]):
        return None
    numbers = [int(value) for value in varying[0]]
    return numbers if all(a < b for a, b in itertools.pairwise(numbers)) else None


def _read_part(
    request: Request,
    found: NameSet,
    numbers: Sequence[int],
    stated: tuple[int, int],
    source: str,
) -> Count:
    """Place names that count the views of a grid from 0, of which some may be there only."""
    whole, says = format_grid(stated), f"{source} says"
    try:
        check_grid(stated)
    except LightFieldError as error:
        raise LightFieldError(f"{request.path}: {says} {error}") from None
    n_rows, length = _turned(request, stated)
    if not 0 <= numbers[0] <= numbers[-1] < n_rows * length:
        raise LightFieldError(
            f"{request.path}: {says} {whole} views, but there is {found.names[-1]}; "
            "correct it, or take it away and add --grid VxU"
        )
    lines = [
        [int(place) for place in axis_places([Fraction(n) for n in values])] or list(range(size))
        for values, size in (
            ([number // length for number in numbers], n_rows),
            ([number % length for number in numbers], length),
        )
    ]
    by_number = dict(zip(numbers, found.names, strict=True))
    places = [row * length + column for row in lines[0] for column in lines[1]]
    grid = _turned(request, (len(lines[0]), len(lines[1])))
    kept = _turned(request, request.selection.places(grid))
    missing = [
        _name_like(found.names[0], n)
        for k, n in enumerate(places)
        if n not in by_number and k // len(lines[1]) in kept[0] and k % len(lines[1]) in kept[1]
    ]
    refuse_missing(request, missing, f"{says} {whole} views", ADD_OR_SELECT)
    names = [by_number.get(n, "") for n in places]
    if grid == stated:
        request.refuse_other_grid(grid, says)
        return Count(names, grid, by_rows=True)
    request.refuse_other_grid(grid, f"of {whole} views that {says}, there are")
    remark = f", a regular part of the {whole} views that {says}"
    return Count(names, grid, remark, by_rows=True)


def _read_counting_field(found: NameSet) -> Count:
    """Order names of which several numbers vary by the one that counts without gaps, if one does.

    The others may be serial numbers of cameras, or times.
    """
    counting = [
        field
        for field, column in enumerate(zip(*found.values, strict=True))
        if len(set(column)) == len(column) > 2
        and all(value.denominator == 1 for value in column)
        and max(column) - min(column) == len(column) - 1
    ]
    if len(counting) != 1:
        return Count(list(found.names), hint=", or look for missing views")
    field = counting[0]
    rows = sorted(zip(found.values, found.names, strict=True), key=lambda row: row[0][field])
    names = [name for _, name in rows]
    remark = (
        "" if names == list(found.names) else f", in the order of number {field + 1} in their names"
    )
    return Count(names, None, remark)


def _find_restart(numbers: Sequence[int]) -> int:
    """Index of the first number that was counted, where a counter of 9999, say, began again at 1.

    Numbers rise without gaps from 0 or 1, and again up to the last one of so many digits, and lack
    more in between than there are. 0 where that is not so.
    """
    gaps = [n for n, (a, b) in enumerate(itertools.pairwise(numbers), 1) if b > a + 1]
    if len(gaps) != 1 or numbers[0] not in (0, 1) or not _is_full(numbers[-1]):
        return 0
    n_missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    return gaps[0] if n_missing > len(numbers) else 0


def _is_full(number: int) -> bool:
    """Whether a counter of at least three digits has reached its end."""
    return number >= 999 and set(str(number)) == {"9"}


def _turned(request: Request, pair: tuple[_Any, _Any]) -> tuple[_Any, _Any]:
    """Pair for ``(V, U)`` <-> pair for the lines that are counted, and the places in a line."""
    return pair[::-1] if request.order == "columns" else pair


def _first_gap(numbers: Sequence[int]) -> int:
    return next(a + 1 for a, b in itertools.pairwise(numbers) if b > a + 1)


def _name_like(name: str, number: int) -> str:
    """Return a name with another number as its last one."""
    start = max(name.rfind(digit) for digit in "0123456789") + 1
    head, tail = name[:start].rstrip("0123456789"), name[start:]
    return f"{head}{number:0{start - len(head)}d}{tail}"
