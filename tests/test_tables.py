# SPDX-License-Identifier: MIT
from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from sanrcodec.bitstream.tables import (
    DECAY_Q30,
    ESCAPE,
    MAX_RESIDUAL,
    N_FRACTIONS,
    N_SCALES,
    N_SYMBOLS,
    TOTAL_WEIGHT,
    cost_table,
    frequency_table,
)

TABLES = [(scale, fraction) for scale in range(N_SCALES) for fraction in range(-4, 4)]


def laplace_cdf(x: float, b: float) -> float:
    return 0.5 * math.exp(x / b) if x < 0 else 1 - 0.5 * math.exp(-x / b)


def test_decay_literals_match_their_formula() -> None:
    # The nearest rounding tie is 0.009 away, far beyond any libm's error.
    widths = [2 ** (i / 4 - 4.25) for i in range(N_SCALES)]
    assert [round(math.exp(-1 / (8 * b)) * 2**30) for b in widths] == list(DECAY_Q30)


@pytest.mark.parametrize("fraction", range(-4, 4))
def test_every_weight_is_possible_and_the_sum_exact(fraction: int) -> None:
    for scale in range(N_SCALES):
        table = frequency_table(scale, fraction)
        assert table.shape == (N_SYMBOLS,)
        assert table.dtype == np.int64
        assert table.min() >= 1
        assert table.sum() == TOTAL_WEIGHT
        # constriction's alphabet holds no certain symbol.
        assert table.max() < TOTAL_WEIGHT


def test_weights_follow_the_laplace_distribution() -> None:
    for scale, fraction in TABLES:
        b, center = 2 ** (scale / 4 - 4.25), fraction / 8
        edges = [r - 0.5 - center for r in range(-MAX_RESIDUAL, MAX_RESIDUAL + 2)]
        cdf = [laplace_cdf(x, b) for x in edges]
        ideal = [*np.diff(cdf), cdf[0] + 1 - cdf[-1]]
        # Besides its share, a symbol gets 1, and the largest one what rounding leaves over.
        assert np.allclose(frequency_table(scale, fraction) / 2**24, ideal, rtol=0, atol=5e-6)


def test_opposite_fractions_mirror() -> None:
    for scale in range(N_SCALES):
        for fraction in range(1, 4):
            left = frequency_table(scale, -fraction)[:ESCAPE]
            assert np.array_equal(left, frequency_table(scale, fraction)[ESCAPE - 1 :: -1])


def test_tables_are_frozen() -> None:
    assert frequency_table(12, -3)[30:37].tolist() == [
        524073, 5653584, 9499137, 949784, 88043, 8162, 757,
    ]  # fmt: skip
    joined = b"".join(frequency_table(*key).astype("<u4").tobytes() for key in TABLES)
    assert hashlib.sha256(joined).hexdigest() == (
        "d637ccba84fc0601f31aea80f73406f1295eb71f6b72c85efbc70ae8f715969d"
    )


def test_tables_are_read_only_and_cached() -> None:
    assert frequency_table(3, 1) is frequency_table(3, 1)
    with pytest.raises(ValueError, match="read-only"):
        frequency_table(3, 1)[0] = 5
    with pytest.raises(ValueError, match="read-only"):
        cost_table()[0, 0, 0] = 5


@pytest.mark.parametrize(("scale", "fraction"), [(-1, 0), (N_SCALES, 0), (0, -5), (0, 4)])
def test_index_out_of_range(scale: int, fraction: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        frequency_table(scale, fraction)


def test_costs_are_code_lengths() -> None:
    bits = cost_table()
    assert bits.shape == (N_SCALES, N_FRACTIONS, N_SYMBOLS)
    assert bits.dtype == np.float32
    assert np.allclose(np.exp2(-bits.astype(np.float64)).sum(axis=-1), 1, atol=1e-6)
    assert bits[12, 1, 33] == pytest.approx(-math.log2(frequency_table(12, -3)[33] / 2**24))
