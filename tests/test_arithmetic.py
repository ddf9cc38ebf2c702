# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest

from sanrcodec.arithmetic.dense import Dense, LayerFormat, carrier_bits, round_shift
from sanrcodec.arithmetic.ops import NUMPY, NumpyOps
from sanrcodec.errors import LimitError


def dense_of(weight: np.ndarray, bias: np.ndarray, in_max: int) -> Dense:
    return Dense(weight, bias, LayerFormat(9, 10, in_max, -32767, 32767), name="layer")


@pytest.mark.parametrize("weight_max", [3, 300, 18000])
@pytest.mark.parametrize("peak", [0, 20, 400, 16383])
def test_dense_is_exact(weight_max: int, peak: int) -> None:
    """In whichever carrier it takes, also where the sums just fit float32, or just do not."""
    rng = np.random.default_rng(peak + weight_max)
    weight = rng.integers(-weight_max, weight_max + 1, (5, 7)).astype(np.int32)
    bias = rng.integers(-32767, 32768, 5).astype(np.int32)
    x = rng.integers(-peak, peak + 1, (7, 1000))
    x[:, 0] = peak * np.sign(weight[0])  # the largest sum
    sums = weight.astype(np.int64) @ x + (bias.astype(np.int64)[:, None] << 6)
    expected = np.clip((sums + 32) >> 6, -32767, 32767)
    y = dense_of(weight, bias, 16383)(x.astype(np.float32))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("bias", [0, 1, -1, 32767, -49151])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("in_max", "out_bits"), [(16383, 10), (32767, 9), (65535, 1)])
def test_largest_rows_just_fit_32_bits(bias: int, sign: int, in_max: int, out_bits: int) -> None:
    form = LayerFormat(9, out_bits, in_max, -32767, 32767)
    biases = np.array([bias], np.int32)
    (largest,) = form.largest_row_sums(biases).tolist()

    def largest_sum(row_sum: int) -> int:
        return row_sum * in_max + (abs(bias) << 6) + (1 << (form.shift - 1))

    assert largest_sum(largest) < 2**31 <= largest_sum(largest + 1)
    weight = np.array([[sign * (largest - 5), 3, -2]], np.int32)
    layer = Dense(weight, biases, form, name="layer")
    x = in_max * np.sign(weight).T.astype(np.float32)
    expected = np.clip((largest * in_max + (bias << 6) + (1 << form.shift - 1)) >> form.shift,
                       -32767, 32767)  # fmt: skip
    assert layer(x)[0, 0] == expected
    with pytest.raises(LimitError, match=rf"^layer: the weights of output 0 .* {largest}; "):
        Dense(weight + np.array([sign, 0, 0], np.int32), biases, form, name="layer")


def test_dense_uses_float32_where_the_values_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    matmul = NumpyOps.matmul

    def recorded(ops: NumpyOps, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        used.append(a.dtype)
        return matmul(ops, a, b)

    monkeypatch.setattr(NumpyOps, "matmul", recorded)
    layer = dense_of(np.full((1, 1), 4096, np.int32), np.zeros(1, np.int32), 16383)
    for x in (4095, 4096, -4096):
        layer(np.full((1, 1), x, np.float32))
    assert used == [np.float32, np.float64, np.float64]


@pytest.mark.parametrize("n", [0, 1, 7, 8, 50])
def test_matmul_of_any_number_of_columns(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sanrcodec.arithmetic.ops._SERIAL_PRODUCT", 48)  # 8 columns at once
    rng = np.random.default_rng(n)
    a = rng.integers(-9, 10, (2, 3)).astype(np.float32)
    b = rng.integers(-9, 10, (3, n)).astype(np.float32)
    np.testing.assert_array_equal(NUMPY.matmul(a, b), a @ b, strict=True)
    np.testing.assert_array_equal(NUMPY.matmul(a[:, :0], b[:0]), np.zeros((2, n), np.float32))


def test_round_shift_rounds_halves_up_and_keeps_its_argument() -> None:
    x = np.array([-3, -2, -1, 0, 1, 2, 3], np.float32)
    kept = x.copy()
    assert round_shift(x, 1).tolist() == [-1, -1, 0, 0, 1, 1, 2]
    assert round_shift(x, 0).tolist() == kept.tolist()
    np.testing.assert_array_equal(x, kept)


def test_carriers() -> None:
    assert carrier_bits((1 << 24) - 1, "x") == 24
    assert carrier_bits(1 << 24, "x") == carrier_bits((1 << 53) - 1, "x") == 53
    with pytest.raises(LimitError, match=r"^layer: sums of up to 9007199254740992 exceed"):
        carrier_bits(1 << 53, "layer")
