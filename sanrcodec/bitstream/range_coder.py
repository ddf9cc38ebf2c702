# SPDX-License-Identifier: MIT
"""Symbols <-> words of a range-coded stream: by constriction, or in plain Python without it.

Both give the same words. Must not know what symbols mean, nor let an exception of constriction
escape. See format_spec.md section 6.3.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["InvalidWordsError", "Model", "Reader", "Writer", "model_of", "reader_of", "writer_of"]

Symbols = npt.NDArray[np.int32]


def _import_constriction() -> Any:
    """The library; None where it has no wheel, or where SANR_RANGE_CODER=python asks for that."""
    if os.environ.get("SANR_RANGE_CODER") == "python":
        return None
    try:
        import constriction
    except ImportError:
        return None
    return constriction


constriction = _import_constriction()

# What a coder makes of the weights of a table: a model of constriction, or starts of symbols.
Model = Any

_PRECISION, _WORD = 24, 32
_WORD_MASK, _FULL = (1 << 32) - 1, (1 << 64) - 1


class InvalidWordsError(Exception):
    """Words that no encoder writes; the message says what is wrong with them."""


class Writer(Protocol):
    """Turns symbols into words."""

    def write(self, symbols: Symbols | Sequence[int], model: Model) -> None:
        """Append symbols of one table."""

    def words(self) -> npt.NDArray[np.uint32]:
        """All words, uint32 ``[n]``, none if there were no symbols."""


class Reader(Protocol):
    """Turns words into symbols."""

    def read(self, n: int, model: Model) -> Symbols:
        """Read symbols of one table.

        Raises:
            InvalidWordsError: they do not decode.
        """

    def check(self) -> None:
        """Check that the words go on to the last symbol, now and then: no others can mend that.

        Raises:
            InvalidWordsError: they end before.
        """

    def finish(self) -> None:
        """Check the end of the stream.

        Raises:
            InvalidWordsError: it is not the end that an encoder writes after these symbols.
        """


class _ConstrictionWriter:
    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def write(self, symbols: Symbols | Sequence[int], model: Model) -> None:
        self._coder.encode(np.asarray(symbols, np.int32), model)

    def words(self) -> npt.NDArray[np.uint32]:
        found: npt.NDArray[np.uint32] = self._coder.get_compressed()
        return found


class _ConstrictionReader:
    def __init__(self, words: npt.NDArray[np.uint32]) -> None:
        self._words = words
        self._coder = constriction.stream.queue.RangeDecoder(words)
        # Writes what was read: the words of an encoder are the only ones that are allowed.
        self._twin = constriction.stream.queue.RangeEncoder()

    def read(self, n: int, model: Model) -> Symbols:
        try:
            symbols: Symbols = self._coder.decode(model, n)
        except AssertionError:
            raise InvalidWordsError("coded words are invalid") from None
        self._twin.encode(symbols, model)
        return symbols

    def check(self) -> None:
        if self._twin.num_words() > self._words.size:
            raise InvalidWordsError(f"the stream ends early, after {self._words.size} words")

    def finish(self) -> None:
        if not np.array_equal(self._twin.get_compressed(), self._words):
            raise InvalidWordsError("the stream does not end with its last symbol")


class PythonWriter:
    """A range encoder with a state of 64 bits."""

    def __init__(self) -> None:
        self._lower, self._range, self._words = 0, _FULL, [0]
        self._is_empty = True

    def write(self, symbols: Symbols | Sequence[int], model: Model) -> None:
        """Append symbols of one table."""
        lower, range_, words = self._lower, self._range, self._words
        for symbol in np.asarray(symbols).tolist():
            step = range_ >> _PRECISION
            lower += step * model[symbol]
            range_ = step * (model[symbol + 1] - model[symbol])
            if lower > _FULL:
                lower &= _FULL
                self._carry(words)
            if not range_ >> _WORD:
                words.append(lower >> _WORD)
                lower, range_ = (lower & _WORD_MASK) << _WORD, range_ << _WORD
            self._is_empty = False
        self._lower, self._range = lower, range_

    def words(self) -> npt.NDArray[np.uint32]:
        """All words, uint32 ``[n]``, none if there were no symbols."""
        if self._is_empty:
            return np.zeros(0, np.uint32)
        words = self._words.copy()
        point = (self._lower + _WORD_MASK) >> _WORD
        if point >> _WORD:
            self._carry(words)
        words.append(point & _WORD_MASK)
        if (self._lower + self._range) >> _WORD == point:
            words.append(0)
        return np.array(words[1:], np.uint32)  # the first one takes no carry

    @staticmethod
    def _carry(words: list[int]) -> None:
        i = len(words) - 1
        while words[i] == _WORD_MASK:
            words[i] = 0
            i -= 1
        words[i] += 1


class PythonReader:
    """A range decoder with a state of 64 bits.

    Args:
        words: uint32 ``[n]``.
    """

    def __init__(self, words: npt.NDArray[np.uint32]) -> None:
        self._words: list[int] = words.tolist()
        self._padded = [*self._words, 0, 0, 0]  # what follows the end reads as 0
        self._offset = self._padded[0] << _WORD | self._padded[1]
        self._range, self._position, self._is_unread = _FULL, 2, True

    def read(self, n: int, model: Model) -> Symbols:
        """Read symbols of one table."""
        offset, range_, position, padded = self._offset, self._range, self._position, self._padded
        last = len(self._words) + 1
        symbols = []
        for _ in range(n):
            step = range_ >> _PRECISION
            quantile = offset // step
            if quantile >> _PRECISION:
                raise InvalidWordsError("coded words are invalid")
            symbol = bisect_right(model, quantile) - 1
            offset -= step * model[symbol]
            range_ = step * (model[symbol + 1] - model[symbol])
            if not range_ >> _WORD:
                if position >= last:
                    break
                range_, offset = range_ << _WORD, offset << _WORD | padded[position]
                position += 1
            symbols.append(symbol)
        if len(symbols) < n or (n and not self._words):
            raise InvalidWordsError(f"the stream ends early, after {len(self._words)} words")
        self._offset, self._range, self._position = offset, range_, position
        self._is_unread &= not n
        return np.array(symbols, np.int32)

    def check(self) -> None:
        """Nothing is left to check: symbols without words are refused as they are read."""

    def finish(self) -> None:
        """Check the end of the stream."""
        n_words, is_right = 0, True
        if not self._is_unread:
            n_words, is_right = self._position - 1, not self._offset >> _WORD
            if self._range - self._offset <= _WORD_MASK:
                n_words += 1
                is_right = is_right and self._words[-1:] == [0]
        if not is_right or len(self._words) != n_words:
            raise InvalidWordsError("the stream does not end with its last symbol")


def model_of(weights: npt.NDArray[np.int64]) -> Model:
    """What both directions take for a table of weights, int64 ``[n]``, that sum to ``2**24``.

    constriction adds 1 to every scaled weight; the sum of ``w - 1`` makes its scale exactly 1.0,
    so that the float arithmetic inside is on integers below 2**24, hence exact.
    """
    if constriction is None:
        return (0, *accumulate(weights.tolist()))
    return constriction.stream.model.Categorical((weights - 1).astype(np.float64), perfect=False)


def writer_of() -> Writer:
    """A stream that is empty."""
    return PythonWriter() if constriction is None else _ConstrictionWriter()


def reader_of(words: npt.NDArray[np.uint32]) -> Reader:
    """The stream of some words, uint32 ``[n]``."""
    return PythonReader(words) if constriction is None else _ConstrictionReader(words)
