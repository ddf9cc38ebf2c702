# SPDX-License-Identifier: MIT
"""Parameter types, and arguments and options of several commands; holds no command."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from sanrcodec import limits
from sanrcodec.decoder import SCALES
from sanrcodec.errors import LightFieldError
from sanrcodec.lightfield import parse_grid
from sanrcodec.presets import OPTION_RANGES

__all__ = [
    "FINITE",
    "GRID",
    "OUTPUT_FILE",
    "PATH",
    "PIXEL",
    "SCALE",
    "VIEW_POSITION",
    "FilePath",
    "FiniteRange",
    "NumberRange",
    "Parsed",
    "file_argument",
    "force_option",
    "number_option",
    "parse_size",
]

Command = TypeVar("Command", bound=Callable[..., Any])


class Parsed(click.ParamType):
    """What a function of the library reads from text, and refuses with a LightFieldError."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse text; leave alone what is parsed already."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except LightFieldError as error:
            self.fail(str(error), param, ctx)


class _ViewPosition(click.ParamType):
    name = "V,U"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            v, u = (float(part) for part in value.split(","))
        except ValueError:
            v = u = math.nan
        if not (math.isfinite(v) and math.isfinite(u)):
            self.fail(f"view {value!r} has the wrong form, expected V,U such as 4,4", param, ctx)
        return v, u


class _Pixel(click.ParamType):
    name = "Y,X"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            y, x = (int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} has the wrong form, expected Y,X such as 120,200", param, ctx)
        return y, x


class _Scale(click.ParamType):
    name = "SCALE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        with suppress(ValueError, ZeroDivisionError):
            if Fraction(value) in SCALES:
                return Fraction(value)
        self.fail(f"scale {value!r} is not among {', '.join(map(str, SCALES))}", param, ctx)


class NumberRange(click.FloatRange):
    """A range that does not hold NaN, which no comparison with its ends finds outside."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a number and check it."""
        if math.isnan(click.FLOAT.convert(value, param, ctx)):
            self.fail(f"{value} is no number", param, ctx)
        return super().convert(value, param, ctx)


class FiniteRange(NumberRange):
    """A range that does not hold infinity either."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a number and check it."""
        if math.isinf(click.FLOAT.convert(value, param, ctx)):
            self.fail(f"{value} is no finite number", param, ctx)
        return super().convert(value, param, ctx)


class _Finite(click.ParamType):
    name = "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return FiniteRange().convert(value, param, ctx)


class FilePath(click.Path):
    """A path that says something: not empty, as a variable of a shell that was never set is.

    ``-`` is refused where it would be a file of that name, unless ``allow_dash`` gives it a
    meaning.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check the text before it is a path; an empty one would be the current folder."""
        if value == "":
            self.fail("the name is empty, expected that of a file or a folder", param, ctx)
        if value == "-" and not self.allow_dash:
            self.fail("- stands for no file here; give a name, ./- if it is this one", param, ctx)
        return super().convert(value, param, ctx)


def number_option(
    flag: str, name: str, *, is_whole: bool = False, **settings: Any
) -> Callable[[Command], Command]:
    """A number of :func:`sanrcodec.encode`, within the range that it has there.

    Args:
        flag: On the command line.
        name: Of the number, a key of :data:`~sanrcodec.presets.OPTION_RANGES`.
        is_whole: It has no fraction.
        settings: Of ``click.option``.
    """
    least, most, above = OPTION_RANGES[name]
    span: click.ParamType = (
        click.IntRange(int(least), int(most))
        if is_whole
        else FiniteRange(least, most, min_open=above)
    )
    return click.option(flag, name, type=span, **settings)


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "KIB": 2**10, "MIB": 2**20}


def parse_size(text: str) -> int:
    """Read ``20000``, ``50kB``, ``0.5MB`` or ``64KiB`` as bytes.

    Raises:
        LightFieldError: the text has another form, or is less than one byte.
    """
    match = re.fullmatch(r"\s*([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([A-Za-z]*)\s*", text)
    if match and match[2].upper() in _UNITS:
        n_bytes = int(float(match[1]) * _UNITS[match[2].upper()])
        least, most, _ = OPTION_RANGES["max_size"]
        if least <= n_bytes <= most:
            return n_bytes
    raise LightFieldError(f"size {text!r} is none of 1 byte to 1 GiB; expected one such as 50kB")


GRID, PIXEL, SCALE, VIEW_POSITION = Parsed("VxU", parse_grid), _Pixel(), _Scale(), _ViewPosition()
FINITE = _Finite()  # unlike a range without ends, which click's help would tell as x<=None
PATH = FilePath(path_type=Path)
OUTPUT_FILE = FilePath(path_type=Path, dir_okay=False)


def _set_limit(ctx: click.Context, param: click.Parameter, value: float | None) -> None:
    """Limit what a file may cost in this call of the command."""
    name = f"{param.name}".upper()
    if value is not None:
        ctx.call_on_close(partial(setattr, limits, name, getattr(limits, name)))
        setattr(limits, name, value)


def _limit(name: str, what: str) -> Callable[[Command], Command]:
    return click.option(
        name, type=NumberRange(0), callback=_set_limit, expose_value=False, metavar="N",
        help=f"Warn of a file that asks for more {what}, refuse it at twice that; inf: no limit.",
    )  # fmt: skip


def file_argument(command: Command) -> Command:
    """Add the .sanr file that is decoded, and what it may cost."""
    for add in (
        _limit("--max-work", "multiply-accumulates up to its first view"),
        _limit("--max-pixels", "pixels on its canvas, all layers together"),
        click.argument("file", type=PATH),
    ):
        command = add(command)
    return command


force_option = click.option("--force", is_flag=True, help="Overwrite what is there.")
