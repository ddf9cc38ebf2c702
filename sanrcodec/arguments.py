# SPDX-License-Identifier: MIT
"""Numbers as callers give them, of any kind, made Python's own; knows nothing of light fields.

A number of numpy computes with the bits of its own type: twice uint8 200 is 144.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from sanrcodec.errors import LightFieldError

__all__ = ["pair", "real", "whole"]


def real(value: Any, name: str) -> float:
    """A number with or without a fraction: of Python, numpy or torch, a Fraction or a Decimal.

    Args:
        value: The number.
        name: Of the argument, for the message.

    Returns:
        The number; of one that is too large infinity, which is outside of every range.

    Raises:
        LightFieldError: it is no single number.
    """
    try:
        if isinstance(value, str | bytes | bytearray) or np.ndim(value):
            raise TypeError
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
    except (TypeError, ValueError):
        raise LightFieldError(f"{name} is {_shown(value)}, expected a number") from None


def whole(value: Any, name: str) -> int:
    """A number without a fraction, and of a type that has none.

    Args:
        value: The number.
        name: Of the argument, for the message.

    Raises:
        LightFieldError: it is none.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise LightFieldError(f"{name} is {_shown(value)}, expected a whole number") from None


def pair(value: Iterable[Any], name: str) -> tuple[float, float]:
    """Two finite numbers.

    Args:
        value: A sequence of them.
        name: Of the argument, for the message.

    Raises:
        LightFieldError: it is none, or not of two finite numbers.
    """
    try:
        first, second = value
    except (TypeError, ValueError):
        raise LightFieldError(f"{name} is {_shown(value)}, expected two numbers") from None
    numbers = real(first, name), real(second, name)
    if not all(map(math.isfinite, numbers)):
        raise LightFieldError(f"{name} is {_shown(value)}, expected two finite numbers")
    return numbers


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"a {type(value).__name__}"
