# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np

from sanrcodec import color


def test_the_matrices_are_inverse() -> None:
    product = np.array(color.RGB_FROM_YCC) @ np.array(color.YCC_FROM_RGB)
    np.testing.assert_allclose(product, np.eye(3), atol=1e-15)


def test_the_integers_are_the_rounded_matrix() -> None:
    rounded = np.rint(4096 * np.array(color.RGB_FROM_YCC)).astype(int)
    assert tuple(map(tuple, rounded.tolist())) == color.RGB_FROM_YCC_Q12


def test_by_hand() -> None:
    """White has no chroma; pure red and blue have all of theirs; luma weighs as BT.709 says."""
    white, red, blue = color.ycc(np.array([[1.0, 1, 1], [1, 0, 0], [0, 0, 1]]))
    np.testing.assert_allclose(white, [1, 0, 0], atol=1e-15)
    np.testing.assert_allclose(red, [0.2126, -0.2126 / 1.8556, 0.5])
    np.testing.assert_allclose(blue, [0.0722, 0.5, -0.0722 / 1.5748])


def test_luma() -> None:
    view = np.array([[[10, 20, 30], [0, 0, 255]]], np.uint8)
    expected = [[0.2126 * 10 + 0.7152 * 20 + 0.0722 * 30, 0.0722 * 255]]
    np.testing.assert_allclose(color.luma(view), expected)
    assert color.luma(view[..., :1]).tolist() == [[10.0, 0.0]]
