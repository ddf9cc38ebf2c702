# SPDX-License-Identifier: MIT
from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import count

import numpy as np
import numpy.typing as npt
import pytest
import reference_range_decoder as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from sanrcodec.bitstream.coder import (
    MAX_ESCAPE_BITS,
    SymbolCounter,
    SymbolDecoder,
    SymbolEncoder,
)
from sanrcodec.bitstream.tables import ESCAPE, MAX_RESIDUAL, N_SCALES, frequency_table
from sanrcodec.errors import CorruptSectionError

Ints = npt.NDArray[np.int32]
Call = tuple[Ints, Ints, Ints]  # values, location, scale

FAIR = (1 << 23, 1 << 23)
FARTHEST = MAX_RESIDUAL + 2 ** (MAX_ESCAPE_BITS + 1) - 1


def ints(*values: int) -> Ints:
    return np.array(values, dtype=np.int32)


def random_call(seed: int, n: int, n_scales: int = N_SCALES) -> Call:
    rng = np.random.default_rng(seed)
    scale = rng.integers(0, n_scales, n).astype(np.int32)
    location = rng.integers(-300, 300, n).astype(np.int32)
    values = np.rint(location / 8 + rng.laplace(0, 2.0 ** (scale / 4 - 4.25))).astype(np.int32)
    return values, location, scale


def encode(*calls: Call) -> bytes:
    encoder = SymbolEncoder()
    for call in calls:
        encoder.code(*call)
    return encoder.finish()


def decode(payload: bytes, calls: list[Call]) -> list[list[int]]:
    """Read calls up to the end of the stream."""
    decoder = SymbolDecoder(payload)
    decoded = [decoder.code(None, location, scale).tolist() for _, location, scale in calls]
    decoder.finish()
    return decoded


def bits_of(call: Call) -> float:
    counter = SymbolCounter()
    counter.code(*call)
    return counter.bits


def words_of(payload: bytes) -> list[int]:
    return np.frombuffer(payload, dtype="<u4").tolist()


def walk_by_hand(
    calls: list[Call], code: Callable[[int, npt.NDArray[np.int64] | tuple[int, int]], int]
) -> list[list[int]]:
    """Follow the spec's symbol order one symbol at a time; ``code(symbol, weights) -> symbol``."""
    decoded = []
    for values, location, scale in calls:
        n = len(location)
        nearest = [(x + 4) // 8 for x in location.tolist()]
        fraction = [x - 8 * m for x, m in zip(location.tolist(), nearest, strict=True)]
        order = sorted(range(n), key=lambda i: (int(scale[i]), fraction[i], i))
        result, escapes = [0] * n, []
        for i in order:
            residual = int(values[i]) - nearest[i]
            symbol = residual + MAX_RESIDUAL if abs(residual) <= MAX_RESIDUAL else ESCAPE
            symbol = code(symbol, frequency_table(int(scale[i]), fraction[i]))
            result[i] = nearest[i] + symbol - MAX_RESIDUAL
            if symbol == ESCAPE:
                escapes.append(i)
        for i in escapes:
            residual = int(values[i]) - nearest[i]
            e_plus_1 = abs(residual) - MAX_RESIDUAL
            sign = code(int(residual < 0), FAIR)
            length = e_plus_1.bit_length() - 1
            n_bits = next(k for k in count() if not code(int(k < length), FAIR))
            low = 0
            for k in reversed(range(n_bits)):
                low = 2 * low + code(e_plus_1 >> k & 1, FAIR)
            magnitude = MAX_RESIDUAL + 2**n_bits + low
            result[i] = nearest[i] + (-magnitude if sign else magnitude)
        decoded.append(result)
    return decoded


@st.composite
def calls(draw: st.DrawFn) -> list[Call]:
    symbol = st.tuples(
        st.integers(-60, 60) | st.integers(-FARTHEST + 1000, FARTHEST - 1000),
        st.integers(-4000, 4000),
        st.integers(0, N_SCALES - 1),
    )
    drawn = draw(st.lists(st.lists(symbol, max_size=40), max_size=4))
    return [
        tuple(np.array(rows, dtype=np.int32).reshape(-1, 3).T.copy())  # type: ignore[misc]
        for rows in drawn
    ]


@given(calls())
def test_round_trip(messages: list[Call]) -> None:
    decoder = SymbolDecoder(encode(*messages))
    for values, location, scale in messages:
        decoded = decoder.code(None, location, scale)
        assert decoded.dtype == np.int32
        assert np.array_equal(decoded, values)
    decoder.finish()


@given(calls())
@settings(max_examples=30)
def test_reference_coder_agrees_in_both_directions(messages: list[Call]) -> None:
    intervals = []

    def record(symbol: int, weights: npt.NDArray[np.int64] | tuple[int, int]) -> int:
        intervals.append((symbol, [int(w) for w in weights]))
        return symbol

    walk_by_hand(messages, record)
    words = words_of(encode(*messages))
    assert reference.encode(intervals) == words

    coder = reference.RangeDecoder(words)
    decoded = walk_by_hand(messages, lambda _, weights: coder.decode([int(w) for w in weights]))
    assert decoded == [call[0].tolist() for call in messages]
    assert coder.is_exhausted()


def test_reference_decoder_agrees_on_every_table() -> None:
    keys = np.arange(N_SCALES * 8 * 6, dtype=np.int32) % (N_SCALES * 8)
    rng = np.random.default_rng(1)
    location = 8 * rng.integers(-9, 9, keys.size).astype(np.int32) + keys % 8 - 4
    # Uniform residuals visit the weights of 1 that a fitting message hardly ever does.
    values = (location + 4 >> 3) + rng.integers(-34, 35, keys.size).astype(np.int32)
    call = values, location, keys // 8
    coder = reference.RangeDecoder(words_of(encode(call)))
    decoded = walk_by_hand([call], lambda _, weights: coder.decode([int(w) for w in weights]))
    assert decoded == [values.tolist()]
    assert coder.is_exhausted()


@pytest.mark.parametrize("n", [1, 2, 10, 30, 59])
@pytest.mark.parametrize("last", [-9, 0, 9])
def test_reference_coder_agrees_on_long_carries(n: int, last: int) -> None:
    # Values around code point 1/2 keep the words 7fffffff ffffffff ... undecided; the last value
    # settles them, by a carry if it is large.
    zeros, scale = np.zeros(n, dtype=np.int32), np.full(n, 22, dtype=np.int32)
    values = SymbolDecoder(bytes.fromhex("00000080") + bytes(120)).code(None, zeros, scale)
    values[-1] += last
    call = values, zeros, scale
    weights = frequency_table(22, 0).tolist()
    words = words_of(encode(call))
    assert reference.encode([(r + MAX_RESIDUAL, weights) for r in values.tolist()]) == words
    if n == 59:
        assert words[1:-1] == [0 if last > 0 else 0xFFFFFFFF] * 5
    decoder = SymbolDecoder(encode(call))
    assert np.array_equal(decoder.code(None, zeros, scale), values)
    decoder.finish()


def test_words_are_frozen() -> None:
    first = (
        ints(0, 1, -1, 5, 40, -700, 2, 2),
        ints(0, 6, -5, 44, 9, -3, 20, 12),
        ints(*range(0, 40, 5)),
    )
    second = ints(3, -3, 0), ints(24, -25, 4), ints(8, 8, 8)
    payload = encode(first, second)
    assert payload.hex() == "e3808264995984f54fbba3c5"


def test_split_into_calls_changes_the_words() -> None:
    values, location, scale = random_call(3, 50)
    halves = [(values[s], location[s], scale[s]) for s in (slice(25), slice(25, None))]
    assert encode((values, location, scale)) != encode(*halves)


def test_size_meets_the_estimate() -> None:
    call = random_call(5, 20000)
    n_bits = 8 * len(encode(call))
    assert bits_of(call) < n_bits < 1.0001 * bits_of(call) + 64


@given(calls())
def test_cost_counts_escapes(messages: list[Call]) -> None:
    n_bits = 8 * len(encode(*messages))
    estimate = sum(bits_of(call) for call in messages)
    assert estimate - 32 <= n_bits <= 1.01 * estimate + 64


@pytest.mark.parametrize("distance", [33, 34, 35, 36, 39, 40, FARTHEST - 1, FARTHEST])
def test_escape_boundaries(distance: int) -> None:
    values, location, scale = (
        ints(distance, -distance, 32, -32),
        ints(0, 0, 0, 0),
        ints(0, 3, 39, 0),
    )
    decoder = SymbolDecoder(encode((values, location, scale)))
    assert np.array_equal(decoder.code(None, location, scale), values)
    decoder.finish()


def test_narrow_scale_types_are_fine() -> None:
    values, location, scale = random_call(7, 500)
    assert encode((values, location, scale.astype(np.uint8))) == encode((values, location, scale))


def test_extreme_locations_do_not_overflow() -> None:
    location = ints(2**31 - 1, -(2**31))
    values, scale = ints(2**28, -(2**28)), ints(10, 10)
    decoded = SymbolDecoder(encode((values, location, scale))).code(None, location, scale)
    assert np.array_equal(decoded, values)


def test_empty_stream() -> None:
    none = ints()
    assert encode() == encode((none, none, none)) == b""
    assert bits_of((none, none, none)) == 0
    decoder = SymbolDecoder(b"")
    assert decoder.code(None, none, none).shape == (0,)
    decoder.finish()


def test_encode_refuses() -> None:
    one, encoder = ints(1), SymbolEncoder()
    for distance in (FARTHEST + 1, -FARTHEST - 1):
        with pytest.raises(ValueError, match="residuals run"):
            encoder.code(ints(distance), ints(0), ints(0))
    for scale in (-1, N_SCALES):
        with pytest.raises(ValueError, match="scale runs"):
            encoder.code(one, one, ints(scale))
    with pytest.raises(ValueError, match="but scale 2"):
        encoder.code(one, one, ints(1, 2))
    with pytest.raises(ValueError, match="values has 2"):
        encoder.code(ints(1, 2), one, one)
    with pytest.raises(TypeError, match="location is float64"):
        encoder.code(one, one.astype(np.float64), one)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"values is int32 \[1, 1\]"):
        encoder.code(one[None], one, one)
    assert encoder.finish() == b""


def test_decoder_notices_what_it_can() -> None:
    with pytest.raises(CorruptSectionError, match="multiple of 4"):
        SymbolDecoder(bytes(6))
    with pytest.raises(CorruptSectionError, match="ends early, after 0 words"):
        SymbolDecoder(b"").code(None, ints(0, 0), ints(0, 0))
    with pytest.raises(CorruptSectionError, match="does not end with its last symbol"):
        SymbolDecoder(bytes(4)).finish()

    values, location, scale = random_call(8, 400)
    decoder = SymbolDecoder(encode((values, location, scale)) + bytes(8))
    decoder.code(None, location, scale)
    with pytest.raises(CorruptSectionError, match="does not end"):
        decoder.finish()


@given(calls(), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_every_message_has_one_stream(messages: list[Call], noise: int) -> None:
    """Other words are refused, by both decoders, or are those of another message."""
    words = words_of(encode(*messages))
    flips = [[*words[:i], words[i] ^ 1 << noise % 32, *words[i + 1 :]] for i in range(len(words))]
    ends = [words[:-1], words[:-2], [*words, 0], [*words, noise], [*words, 0, 0], *flips[-3:]]
    ends += [[*words[:-1], words[-1] + d & 0xFFFFFFFF] for d in (-1, 1)] if words else []
    n_refused = 0
    for other in ends:
        if other == words:
            continue
        coder = reference.RangeDecoder(other)
        expected = None
        with suppress(ValueError, StopIteration):
            by_hand = walk_by_hand(messages, lambda _, w, c=coder: c.decode([int(x) for x in w]))
            expected = by_hand if coder.is_exhausted() else None
        assert expected != [call[0].tolist() for call in messages]
        try:
            found = decode(np.array(other, "<u4").tobytes(), messages)
        except CorruptSectionError:
            found = None
        assert found == expected
        n_refused += found is None
    assert n_refused >= 2


def test_a_stream_that_ends_early_is_refused_at_once() -> None:
    """A word of zeros must not decode millions of symbols first."""
    one = np.zeros(10_000, np.int32)
    with pytest.raises(CorruptSectionError, match="ends early, after 1 words"):
        decode(bytes(4), 60 * [(one, one, one)])


def test_endless_escape_is_refused() -> None:
    table = frequency_table(0, 0).tolist()
    words = reference.encode([(ESCAPE, table), (0, FAIR), *[(1, FAIR)] * 40])
    payload = np.array(words, dtype="<u4").tobytes()
    with pytest.raises(CorruptSectionError, match="over 20 bits"):
        SymbolDecoder(payload).code(None, ints(0), ints(0))


def test_invalid_code_point_is_refused() -> None:
    # A range that is no multiple of 2**24 leaves code points that belong to no symbol.
    _, location, scale = random_call(9, 2000)
    with pytest.raises(CorruptSectionError, match="coded words are invalid"):
        SymbolDecoder(b"\xff" * 2400).code(None, location, scale)


@given(st.binary(max_size=200), st.integers(0, 2**32))
def test_damage_raises_nothing_else(garbage: bytes, seed: int) -> None:
    values, location, scale = random_call(seed, 60)
    payload = encode((values, location, scale))
    cut = seed % len(payload)
    for damaged in (garbage, payload[:cut], payload[:cut] + garbage + payload[cut:]):
        with suppress(CorruptSectionError):
            decoder = SymbolDecoder(damaged)
            assert decoder.code(None, location, scale).shape == values.shape
            decoder.finish()


def test_bit_flips_raise_nothing_else() -> None:
    values, location, scale = random_call(11, 100)
    payload = encode((values, location, scale))
    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        with suppress(CorruptSectionError):
            decoder = SymbolDecoder(bytes(damaged))
            decoder.code(None, location, scale)
            decoder.finish()
