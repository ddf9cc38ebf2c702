# SPDX-License-Identifier: MIT
"""Integers <-> range-coded bytes: which symbols, in which order, by which tables.

Must not let a float decide a probability, nor know how a range coder works.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sanrcodec.bitstream.range_coder import (
    InvalidWordsError,
    Model,
    model_of,
    reader_of,
    writer_of,
)
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
        self._coder = writer_of()

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
        return self._coder.words().astype("<u4").tobytes()

    def _code_run(self, symbols: npt.NDArray[np.int32], table: int) -> npt.NDArray[np.int32]:
        self._coder.write(symbols, _model(table))
        return symbols

    def _code_bit(self, bit: int) -> int:
        self._coder.write([bit], _model(_BIT))
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
        self._coder = reader_of(np.frombuffer(payload, dtype="<u4").astype(np.uint32))

    def code(
        self,
        values: npt.NDArray[np.int32] | None,
        location: npt.NDArray[np.int32],
        scale: npt.NDArray[np.integer[Any]],
    ) -> npt.NDArray[np.int32]:
        """Read as many values as there are locations; ``values`` is None."""
        assert values is None
        nearest, table = _locate(location, scale)
        with _damage():
            residual = self._code(np.zeros_like(nearest), table)
            self._coder.check()
        return (nearest + residual).astype(np.int32)

    def finish(self) -> None:
        """Check that the stream ends after the last symbol, as an encoder ends it.

        Raises:
            CorruptSectionError: words remain, are missing, or are not those of an encoder.
        """
        with _damage():
            self._coder.finish()

    def _code_run(self, symbols: npt.NDArray[np.int32], table: int) -> npt.NDArray[np.int32]:
        return self._coder.read(symbols.size, _model(table))

    def _code_bit(self, bit: int) -> int:
        return int(self._coder.read(1, _model(_BIT))[0])


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
def _model(table: int) -> Model:
    """The model with exactly the integer weights of one table."""
    if table == _BIT:
        return model_of(np.full(2, TOTAL_WEIGHT // 2, np.int64))
    return model_of(frequency_table(table // N_FRACTIONS, table % N_FRACTIONS - 4))


@contextmanager
def _damage() -> Iterator[None]:
    """Words that are not a stream's are the damage of a file."""
    try:
        yield
    except InvalidWordsError as error:
        raise _damaged(str(error)) from None


def _damaged(reason: str) -> CorruptSectionError:
    return CorruptSectionError(f"{reason}; the file is damaged")
