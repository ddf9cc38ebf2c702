# SPDX-License-Identifier: MIT
"""Names of views -> their places in the grid; knows names alone and opens nothing."""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from sanrcodec.io.conventions import Convention, counts_time, find_convention, first_index

__all__ = [
    "NameSet",
    "NamedGrid",
    "axis_places",
    "find_grid",
    "group_names",
    "list_names",
    "natural_key",
]

_SIGN = r"(?:(?<![^_\s/,=(\[-])[-+])?"  # a sign where a number begins, else a hyphen between words
_NUMBER = re.compile(rf"{_SIGN}\d+(?:\.\d+)?")
_SIGNED = re.compile(r"(?:(?<!\d)[-+])?\d+(?:\.\d+)?")  # a sign stands after letters, too
_PLUS = re.compile(r"[-+]?\d+(?:\.\d+)?")  # where a name has a plus, signs stand after digits, too
_INTEGER = re.compile(rf"{_SIGN}\d+")
_LEAST_FILL = 0.5  # of a grid; with more holes two numbers are no grid but, say, a date and a time
_LEAST_SIGNED_FILL = 0.8  # likewise, where only signs make it one grid


@dataclass(frozen=True, slots=True)
class NameSet:
    """Names that differ in their numbers only.

    Attributes:
        texts: What stands before, between and after the numbers, in lower case.
        names: File names without ending, possibly with the folder before a slash.
        values: The numbers of each name.
    """

    texts: tuple[str, ...]
    names: tuple[str, ...]
    values: tuple[tuple[Fraction, ...], ...]


@dataclass(frozen=True, slots=True)
class NamedGrid:
    """Where names put the views.

    Attributes:
        rows: Names ``[V][U]``, from the top left; empty where a view is missing.
        missing: What would fill the holes, for a message, by place in ``rows``.
        scheme: How the names were understood, in words.
        first: Which index comes first, ``rows`` or ``columns``.
        told: Whether something says for sure which index is the row.
    """

    rows: list[list[str]]
    missing: dict[tuple[int, int], str]
    scheme: str
    first: str
    told: bool

    @property
    def grid(self) -> tuple[int, int]:
        """Number of views ``(V, U)``."""
        return len(self.rows), len(self.rows[0])


def group_names(names: Sequence[str]) -> list[NameSet]:
    """Put names together that differ in their numbers only, the largest set first.

    A hyphen after a letter joins words, as in ``cam-1``. It is a sign if other views have none in
    its place and both together make one set with hardly a hole: ``x-0.05``, ``x0.00``, ``x0.05``.
    So is one after a digit, if a name has a plus: ``cam+0-1``.
    """
    joined = _group(names, _NUMBER)
    signed = _group(names, _PLUS if any("+" in name for name in names) else _SIGNED)
    return signed if signed and _is_better(signed[0], joined) else joined


def find_grid(names: NameSet, order: str | None = None) -> NamedGrid | None:
    """Place names by two of their numbers.

    The two that are taken vary, belong to one view each, and leave the fewest holes; all further
    numbers, such as positions of cameras, say nothing. Indices may begin anywhere and have steps.

    Args:
        names: At least one name.
        order: Which index comes first, ``rows`` or ``columns``, if the user knows better.

    Returns:
        The grid, with or without holes; None if the names do not tell one.
    """
    convention = find_convention(names.names[0].rsplit("/", 1)[-1])
    by_convention = _find_by_convention(names, convention, order)
    if by_convention is not None:
        return by_convention
    best: tuple[float, NameSet, tuple[int, int]] | None = None
    # "2067.01.01": where decimals give no grid, a point may stand between two integers.
    candidates = [names, *_group(names.names, _INTEGER)[:1]]
    for candidate in candidates:
        if len(candidate.names) != len(names.names):
            continue
        for pair in itertools.combinations(range(len(candidate.values[0])), 2):
            if any(counts_time(candidate.texts[field]) for field in pair):
                continue
            # Where words name row and column, either may have one value only.
            is_named = first_index((candidate.texts[pair[0]], candidate.texts[pair[1]])) is not None
            fill = _fill(candidate, pair, least=1 if is_named else 2)
            if fill > _LEAST_FILL and (best is None or fill > best[0]):
                best = fill, candidate, pair
    if best is None:
        return None
    _, chosen, pair = best
    stated = first_index((chosen.texts[pair[0]], chosen.texts[pair[1]]))
    first = order or stated or "rows"
    pattern = _pattern(chosen.texts, pair, first)
    return _place(chosen, pair, first, f"names {pattern}", stated is not None or order is not None)


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key by which ``view10`` follows ``view9``."""
    return [
        (int(part), "") if part.isdigit() else (-1, part)
        for part in re.split(r"([0-9]+)", name.lower())
    ]


def list_names(names: Sequence[str], most: int = 6) -> str:
    """Write a few of many names for a message."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def axis_places(values: Sequence[Fraction]) -> list[Fraction]:
    """Return all places of an axis on which values lie, those without a view included.

    The places have one step; there are none if the values are scattered too much for an axis.
    """
    low, high = min(values), max(values)
    gaps = {value - low for value in values} - {Fraction(0)}
    if not gaps:
        return [low]
    step = Fraction(
        math.gcd(*(gap.numerator * _denominator(gaps) // gap.denominator for gap in gaps)),
        _denominator(gaps),
    )
    n_places = (high - low) / step + 1
    if n_places > 2 * len(set(values)):
        return []
    return [low + k * step for k in range(int(n_places))]


def _group(names: Sequence[str], number: re.Pattern[str]) -> list[NameSet]:
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in sorted(names, key=natural_key):
        found[tuple(number.split(name.lower()))].append(name)
    sets = []
    for texts, members in found.items():
        # In order of the numbers themselves: -1 is before 0, and 0.10 before 0.9.
        rows = [(tuple(Fraction(n) for n in number.findall(name)), name) for name in members]
        rows.sort(key=lambda row: row[0])
        values, ordered = zip(*rows, strict=True)
        sets.append(NameSet(texts, ordered, values))
    return sorted(sets, key=lambda one: -len(one.names))


def _is_better(signed: NameSet, joined: list[NameSet]) -> bool:
    """Whether signs put sets of names together, and these make a grid or a row without holes."""
    parts = [one for one in joined if not set(one.names).isdisjoint(signed.names)]
    if len(parts) < 2:
        return False
    columns = list(zip(*signed.values, strict=True))
    varying = [field for field, column in enumerate(columns) if len(set(column)) > 1]
    if len(varying) == 1:
        column = columns[varying[0]]
        has_signs = min(column) < 0 <= max(column)
        return has_signs and len(axis_places(column)) == len(signed.names) > 2
    has_signs = any(min(columns[field]) < 0 <= max(columns[field]) for field in varying)
    fills = [_fill(signed, pair) for pair in itertools.combinations(varying, 2)]
    return any(fill == 1 or (has_signs and fill >= _LEAST_SIGNED_FILL) for fill in fills)


def _find_by_convention(
    names: NameSet, convention: Convention | None, order: str | None
) -> NamedGrid | None:
    """Place names of a known scheme, in which either index may have one value only."""
    if convention is None or convention.pattern.groups != 2:
        return None
    folder = names.names[0].rpartition("/")[0]
    n_before = len(_NUMBER.findall(folder))
    pair = n_before, n_before + 1
    if len(names.values[0]) <= pair[1] or _fill(names, pair, least=1) <= _LEAST_FILL:
        return None
    first = order or convention.first
    scheme = f"names {convention.name}"
    if order is not None and order != convention.first:
        scheme += f", read with {order} first"
    return _place(names, pair, first, scheme, order is not None or not convention.common)


def _fill(names: NameSet, pair: tuple[int, int], least: int = 2) -> float:
    """Share of the places of a grid that names fill; 0 if the two numbers make no grid."""
    columns = [[values[field] for values in names.values] for field in pair]
    if len(set(zip(*columns, strict=True))) != len(names.names):
        return 0.0
    if any(len(set(column)) < least for column in columns):
        return 0.0
    n_places = math.prod(len(axis_places(column)) for column in columns)
    return len(names.names) / n_places if n_places else 0.0


def _denominator(values: set[Fraction]) -> int:
    return math.lcm(*(value.denominator for value in values))


def _place(names: NameSet, pair: tuple[int, int], first: str, scheme: str, told: bool) -> NamedGrid:
    v_field, u_field = pair if first == "rows" else pair[::-1]
    by_place = {
        (values[v_field], values[u_field]): name
        for name, values in zip(names.names, names.values, strict=True)
    }
    v_axis, u_axis = (
        axis_places([values[f] for values in names.values]) for f in (v_field, u_field)
    )
    rows = [[by_place.get((v, u), "") for u in u_axis] for v in v_axis]
    missing = {
        (i, j): f"row {v} column {u}"
        for i, v in enumerate(v_axis)
        for j, u in enumerate(u_axis)
        if (v, u) not in by_place
    }
    for axis, word in ((v_axis, "rows"), (u_axis, "columns")):
        step = axis[1] - axis[0] if len(axis) > 1 else Fraction(1)
        if axis[0] not in (0, 1) or step != 1:
            scheme += f", {word} from {axis[0]}" + (f" in steps of {step}" if step != 1 else "")
    return NamedGrid(rows, missing, scheme, first, told)


def _pattern(texts: tuple[str, ...], pair: tuple[int, int], first: str) -> str:
    """Write names with what was understood, such as ``lf_ROW_COLUMN``."""
    roles = dict(
        zip(pair, ("ROW", "COLUMN") if first == "rows" else ("COLUMN", "ROW"), strict=True)
    )
    numbers = [roles.get(field, "*") for field in range(len(texts) - 1)]
    return "".join(itertools.chain.from_iterable(zip(texts, [*numbers, ""], strict=True)))
