# SPDX-License-Identifier: MIT
"""Integers <-> range-coded bytes; the only module that imports constriction.

Feeds integer frequency tables to the coder. Must not let a float decide a probability, nor let
an exception of constriction escape.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import Any

import constriction
import numpy as np
import numpy.typing as npt

from sanrcodec.bitstream.tables import (
    ESCAPE,
    MAX_RESIDUAL,
    N_FRACTIONS,
    N_SCALES,
    TOTAL_WEIGHT,
    cost_table,
    frequency_table,
)
from sanrcodec.errors import CorruptSectionError

__all__ = ["MAX_ESCAPE_BITS", "Coder", "SymbolCounter", "SymbolDecoder", "SymbolEncoder"]

MAX_ESCAPE_BITS = 20  # residuals reach +-(MAX_RESIDUAL + 2**21 - 1)

_BIT = -1  # pseudo table index of the fair coin that codes escapes


class Coder(ABC):
    """Integers on their way through a stream: whoever walks them need not know which way."""

    @abstractmethod
    def code(
        self,
        values: npt.NDArray[np.int32] | None,
        location: npt.NDArray[np.int32],
        scale: npt.NDArray[np.integer[Any]],
    ) -> npt.NDArray[np.int32]:
        """Pass integers, each with its own Laplace distribution.

        The split into calls is part of the format: a decoder must make the same calls.

        Args:
            values: int32 ``[n]``; None where they are read.
            location: int32 ``[n]``, centers in eighths of a step.
            scale: Integers ``[n]``, indices of widths, ``0..N_SCALES - 1``.

        Returns:
            int32 ``[n]``, the values written, counted or read.

        Raises:
            TypeError: an array is not one-dimensional or not of integers.
            ValueError: lengths differ, a scale is out of range, or a value is farther than
                ``MAX_RESIDUAL + 2**21 - 1`` from its center.
            CorruptSectionError: the words that are read do not decode.

        See format_spec.md, section "Entropy coding".
        """


class _Stream(Coder):
    """The order in which one call's symbols pass the stream, the same in both directions.

    Subclasses supply the two primitives, which code what they are given (encoder) or ignore it
    (decoder), and return what was coded.
    """

    @abstractmethod
    def _code_run(self, symbols: npt.NDArray[np.int32], table: int) -> npt.NDArray[np.int32]: ...

    @abstractmethod
    def _code_bit(self, bit: int) -> int: ...

    def _code(
        self,
        residual: npt.NDArray[np.int64],
        table: npt.NDArray[np.uint16],
    ) -> npt.NDArray[np.int64]:
        """Code residuals grouped by table, then their escapes; return the residuals coded.

        Grouping lets one coder call serve all symbols of a table, which is what makes Python
        fast enough. See format_spec.md, section "Symbol order".
        """
        order = np.argsort(table, kind="stable")
        residual = residual[order]
        symbols = np.where(np.abs(residual) <= MAX_RESIDUAL, residual + MAX_RESIDUAL, ESCAPE)
        symbols = symbols.astype(np.int32)
        counts = np.bincount(table)
        used = np.flatnonzero(counts)
        stops = np.cumsum(counts[used]).tolist()
        runs = [
            self._code_run(symbols[start:stop], number)
            for number, start, stop in zip(used.tolist(), [0, *stops], stops, strict=False)
        ]
        symbols = np.concatenate([*runs, symbols[:0]])

        coded = symbols.astype(np.int64) - MAX_RESIDUAL
        for i in np.flatnonzero(symbols == ESCAPE).tolist():
            coded[i] = self._code_escape(int(residual[i]))
        restored = np.empty_like(coded)
        restored[order] = coded
        return restored

    def _code_escape(self, residual: int) -> int:
        """Code a residual beyond +-MAX_RESIDUAL: sign, then Exp-Golomb of order 0."""
        excess = max(abs(residual) - MAX_RESIDUAL, 1)
        negative = self._code_bit(int(residual < 0))
        n_bits = 0
        while self._code_bit(int(excess >> n_bits > 1)):
            n_bits += 1
            if n_bits > MAX_ESCAPE_BITS:
                raise _damaged(f"an escape has over {MAX_ESCAPE_BITS} bits")
        coded = 1
        for shift in reversed(range(n_bits)):
            coded = coded << 1 | self._code_bit(excess >> shift & 1)
        return -(coded + MAX_RESIDUAL) if negative else coded + MAX_RESIDUAL


class SymbolEncoder(_Stream):
    """Writes integers to one range-coded stream."""

    def __init__(self) -> None:
        """Start an empty stream."""
        self._coder = constriction.stream.queue.RangeEncoder()

    def code(
        self,
        values: npt.NDArray[np.int32] | None,
        location: npt.NDArray[np.int32],
        scale: npt.NDArray[np.integer[Any]],
    ) -> npt.NDArray[np.int32]:
        """Append ``values``."""
        assert values is not None
        nearest, table = _locate(location, scale)
        self._code(_residual(values, nearest), table)
        return values

    def finish(self) -> bytes:
        """Return the stream: little-endian uint32 words, none if nothing was encoded."""
        words: npt.NDArray[np.uint32] = self._coder.get_compressed()
        return words.astype("<u4").tobytes()

    def _code_run(self, symbols: npt.NDArray[np.int32], table: int) -> npt.NDArray[np.int32]:
        self._coder.encode(symbols, _model(table))
        return symbols

    def _code_bit(self, bit: int) -> int:
        self._coder.encode(bit, _model(_BIT))
        return bit


class SymbolDecoder(_Stream):
    """Reads the integers of one range-coded stream.

    The coder itself hardly notices damage: rely on the section's CRC-32 for that.

    Args:
        payload: Little-endian uint32 words as from `SymbolEncoder.finish`.

    Raises:
        CorruptSectionError: the length is no multiple of 4 bytes.
    """

    def __init__(self, payload: bytes) -> None:
        if len(payload) % 4:
            raise _damaged(f"payload has {len(payload)} bytes, expected a multiple of 4")
        self._words = np.frombuffer(payload, dtype="<u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(self._words)
        # Writes what was read: the words of an encoder are the only ones that are allowed.
        self._writer = constriction.stream.queue.RangeEncoder()

    def code(
        self,
        values: npt.NDArray[np.int32] | None,
        location: npt.NDArray[np.int32],
        scale: npt.NDArray[np.integer[Any]],
    ) -> npt.NDArray[np.int32]:
        """Read as many values as there are locations; ``values`` is None."""
        assert values is None
        nearest, table = _locate(location, scale)
        return (nearest + self._code(np.zeros_like(nearest), table)).astype(np.int32)

    def finish(self) -> None:
        """Check that the stream ends after the last symbol, as an encoder ends it.

        Raises:
            CorruptSectionError: words remain, are missing, or are not those of an encoder.
        """
        if not np.array_equal(self._writer.get_compressed(), self._words):
            raise _damaged("the stream does not end with its last symbol")

    def _code_run(self, symbols: npt.NDArray[np.int32], table: int) -> npt.NDArray[np.int32]:
        try:
            run: npt.NDArray[np.int32] = self._coder.decode(_model(table), symbols.size)
        except AssertionError:
            raise _damaged("coded words are invalid") from None
        self._keep(run, table)
        return run

    def _code_bit(self, bit: int) -> int:
        try:
            bit = int(self._coder.decode(_model(_BIT)))
        except AssertionError:
            raise _damaged("coded words are invalid") from None
        self._keep(bit, _BIT)
        return bit

    def _keep(self, symbols: npt.NDArray[np.int32] | int, table: int) -> None:
        """Note symbols that were read; a stream that ended before them is refused at once."""
        self._writer.encode(symbols, _model(table))
        if self._writer.num_words() > self._words.size:
            raise _damaged(f"the stream ends early, after {self._words.size} words")


class SymbolCounter(Coder):
    """Adds up the ideal code length of integers; writes nothing.

    A stream is longer by the coder's rounding (below 0.01 %) and its last one or two words.

    Attributes:
        bits: Of all calls.
    """

    def __init__(self) -> None:
        self.bits = 0.0

    def code(
        self,
        values: npt.NDArray[np.int32] | None,
        location: npt.NDArray[np.int32],
        scale: npt.NDArray[np.integer[Any]],
    ) -> npt.NDArray[np.int32]:
        """Count ``values``."""
        assert values is not None
        nearest, table = _locate(location, scale)
        residual = _residual(values, nearest)
        excess = np.abs(residual) - MAX_RESIDUAL
        symbols = np.where(excess <= 0, residual + MAX_RESIDUAL, ESCAPE)
        table_bits = cost_table().reshape(N_SCALES * N_FRACTIONS, -1)[table, symbols]
        # Sign, n ones, a zero and n low bits; frexp is an exact bit length here.
        n_bits = np.frexp(excess[excess > 0].astype(np.float64))[1] - 1
        self.bits += float(table_bits.sum(dtype=np.float64) + (2 * n_bits + 2).sum())
        return values


def _locate(
    location: npt.NDArray[np.int32], scale: npt.NDArray[np.integer[Any]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]:
    """Return the integer nearest to each center, and the table for the fraction left over."""
    eighths = _integers(location, "location") + 4
    width = _integers(scale, "scale")
    if eighths.shape != width.shape:
        raise ValueError(f"location has {eighths.size} elements, but scale {width.size}")
    if width.size and (width.min() < 0 or width.max() >= N_SCALES):
        raise ValueError(f"scale runs {width.min()}..{width.max()}, expected 0..{N_SCALES - 1}")
    # 16 bits, because numpy's stable sort of those is a radix sort.
    table = (width * N_FRACTIONS + (eighths & 7)).astype(np.uint16)
    return eighths >> 3, table


def _residual(
    values: npt.NDArray[np.int32], nearest: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    wanted = _integers(values, "values")
    if wanted.shape != nearest.shape:
        raise ValueError(f"values has {wanted.size} elements, but location {nearest.size}")
    residual = wanted - nearest
    limit = MAX_RESIDUAL + (2 << MAX_ESCAPE_BITS) - 1
    if residual.size and (residual.min() < -limit or residual.max() > limit):
        raise ValueError(
            f"residuals run {residual.min()}..{residual.max()}, expected -{limit}..{limit}"
        )
    return residual


def _integers(array: npt.NDArray[np.integer[Any]], name: str) -> npt.NDArray[np.int64]:
    """Widen to int64, so that no sum or difference here overflows."""
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name} is {array.dtype} {list(array.shape)}, expected integers [n]")
    return array.astype(np.int64)


@cache
def _model(table: int) -> Any:
    """Return constriction's model with exactly the integer weights of one table.

    constriction adds 1 to every scaled weight; the sum of ``w - 1`` makes its scale exactly 1.0,
    so that the float arithmetic inside is on integers below 2**24, hence exact.
    """
    if table == _BIT:
        weights = np.full(2, TOTAL_WEIGHT // 2)
    else:
        weights = frequency_table(table // N_FRACTIONS, table % N_FRACTIONS - 4)
    return constriction.stream.model.Categorical((weights - 1).astype(np.float64), perfect=False)


def _damaged(reason: str) -> CorruptSectionError:
    return CorruptSectionError(f"{reason}; the file is damaged")
