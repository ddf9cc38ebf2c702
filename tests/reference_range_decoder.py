# SPDX-License-Identifier: MIT
"""The range coder of format_spec.md in plain integers, slow, written from the text alone.

Must not import constriction: it is the second opinion on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

PRECISION = 24
WORD = 32
STATE_MASK = (1 << 64) - 1


class RangeDecoder:
    """64-bit state, 32-bit words, weights that sum to ``2**24``."""

    def __init__(self, words: Sequence[int]) -> None:
        self.words = list(words)
        self.position = 0
        self.has_symbols = False
        self.range = STATE_MASK
        self.offset = self._next_word() << WORD | self._next_word()  # code point minus lower end

    def decode(self, weights: Sequence[int]) -> int:
        self.has_symbols = True
        step = self.range >> PRECISION
        quantile = self.offset // step
        if quantile >> PRECISION:
            raise ValueError("invalid code point")
        starts = [0, *accumulate(weights)]
        symbol = next(s for s, end in enumerate(starts[1:]) if quantile < end)
        self.offset -= step * starts[symbol]
        self.range = step * weights[symbol]
        if self.range >> WORD == 0:
            self.range <<= WORD
            self.offset = self.offset << WORD | self._next_word()
        return symbol

    def is_exhausted(self) -> bool:
        """True if the words are those that the encoder's end rule gives, and no others."""
        if not self.has_symbols:
            return not self.words
        n_words = self.position - 1  # k + 1
        if self.range - self.offset < 1 << WORD:
            n_words += 1
            if self.words[-1:] != [0]:
                return False
        return len(self.words) == n_words and self.offset >> WORD == 0

    def _next_word(self) -> int:
        word = self.words[self.position] if self.position < len(self.words) else 0
        self.position += 1
        return word


def encode(symbols: Iterable[tuple[int, Sequence[int]]]) -> list[int]:
    """Return the words of ``(symbol, weights)`` pairs; an unbounded integer does the carries."""
    lower, range_, n_shifts = 0, STATE_MASK, 0
    for symbol, weights in symbols:
        step = range_ >> PRECISION
        lower += step * sum(weights[:symbol])
        range_ = step * weights[symbol]
        if range_ >> WORD == 0:
            lower, range_, n_shifts = lower << WORD, range_ << WORD, n_shifts + 1
    if range_ == STATE_MASK:
        return []
    point = lower + (1 << WORD) - 1 >> WORD
    words = [point >> WORD * k & 0xFFFFFFFF for k in reversed(range(n_shifts + 1))]
    if lower + range_ >> WORD == point:
        words.append(0)
    return words
