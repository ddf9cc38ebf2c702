# SPDX-License-Identifier: MIT
"""The light field type: what it accepts, what it refuses and how it says so."""

from __future__ import annotations

import numpy as np
import pytest

from sanrcodec.errors import LightFieldError
from sanrcodec.lightfield import LightField, StoredSamples, format_grid, parse_grid


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (2, 3, 4, 5, 3), (1024, 4, 1, 2, 3)])
def test_accepts(shape):
    light_field = LightField(np.zeros(shape, np.uint8))
    assert light_field.shape == shape
    assert light_field.grid == shape[:2]
    assert light_field.bit_depth == 8


def test_view_is_row_then_column():
    samples = np.arange(2 * 3, dtype=np.uint16).reshape(2, 3, 1, 1, 1)
    light_field = LightField(samples, 10)
    assert light_field.view(1, 0).item() == 3
    for v, u in [(2, 0), (0, 3), (-1, 0)]:
        with pytest.raises(LightFieldError, match=rf"view {v},{u} is outside.*\(2 x 3 views"):
            light_field.view(v, u)


class Stored(StoredSamples):
    def __init__(self, samples: np.ndarray) -> None:
        self.samples, self.shape, self.dtype = samples, samples.shape, samples.dtype

    def __getitem__(self, index: tuple[int, int]) -> np.ndarray:
        return self.samples[index]


@pytest.mark.parametrize("keep", [lambda samples: samples, Stored], ids=["memory", "stored"])
def test_eight_bits_are_bytes(keep):
    samples = np.arange(256, dtype=np.uint16).reshape(2, 2, 4, 16, 1)
    light_field = LightField(keep(samples), 8)
    assert light_field.samples.dtype == np.uint8
    assert light_field.view(1, 1).dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(light_field.samples), samples)
    assert LightField(keep(samples), 9).samples.dtype == np.uint16
    with pytest.raises(LightFieldError, match="a sample is 256, but 8 bits hold"):
        LightField(keep(samples + 1), 8)


@pytest.mark.parametrize(
    ("samples", "bit_depth", "message"),
    [
        ([[1]], 8, "list, expected a numpy array"),
        (np.zeros((1, 1, 2, 2, 3)), 8, "float64, expected uint8 or uint16"),
        (np.full((1, 1, 2, 2, 3), np.nan, np.float32), 8, "float32 with NaN"),
        (np.zeros((1, 1, 2, 2, 3), np.int16), 8, "int16, expected"),
        (np.zeros((2, 2, 3), np.uint8), 8, r"shape \(2, 2, 3\), expected \[V, U, H, W, C\]"),
        (np.zeros((1, 0, 2, 2, 3), np.uint8), 8, r"U is 0, expected 1\.\.1024"),
        (np.zeros((1025, 1, 2, 2, 3), np.uint8), 8, r"V is 1025, expected 1\.\.1024"),
        (np.zeros((65, 64, 1, 1, 3), np.uint8), 8, "65x64 has 4160 views, limit is 4096"),
        (np.zeros((1, 1, 1, 16385, 1), np.uint8), 8, r"W is 16385, expected 1\.\.16384"),
        (np.zeros((1, 1, 2, 2, 4), np.uint8), 8, "4 channels"),
        (np.zeros((1, 1, 2, 2, 3), np.uint8), 10, "bit depth 10 needs uint16"),
        (np.zeros((1, 1, 2, 2, 3), np.uint16), 17, r"bit depth is 17, expected 8\.\.16"),
        (np.full((1, 1, 2, 2, 3), 1024, np.uint16), 10, "sample is 1024.* at least 11"),
    ],
)
def test_refuses(samples, bit_depth, message):
    with pytest.raises(LightFieldError, match=message):
        LightField(samples, bit_depth)


def test_grid_notation():
    assert parse_grid("9x17") == (9, 17)
    assert parse_grid(" 1 X 2 ") == (1, 2)
    assert format_grid((9, 17)) == "9x17"
    for text in ["9", "9x", "9*9", "-1x2", "0x3", "1025x1", "65x64", "99999x1", "9x9x9", ""]:
        with pytest.raises(LightFieldError, match="grid"):
            parse_grid(text)
