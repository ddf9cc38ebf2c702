# SPDX-License-Identifier: MIT
"""Small objects of a rare color keep it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sanrcodec
from sanrcodec.lightfield import LightField

torch = pytest.importorskip("torch")
loss = pytest.importorskip("sanrcodec.encoder.loss")


def test_outliers_are_blocks_far_above_the_error_of_their_view() -> None:
    target = torch.zeros(2, 3, 16, 24)
    views = target.clone()
    views[0, 0] += 0.1  # luma does not count
    views[1, 1, 4:8, 8:12] += 20 / 255
    mse = torch.tensor([10.0, 50.0])
    found = loss.color_outliers((views - target).square(), mse)
    assert found[0] == 0
    assert float(found[1]) == pytest.approx((20**2 - 2 * 50) * 16 / (16 * 24), rel=1e-4)
    assert loss.color_outliers((views - target)[:, :1].square(), mse).tolist() == [0, 0]
    # Blocks at the lower and right border may be smaller.
    cut = loss.color_outliers((views - target)[..., :7, :11].square(), mse)
    assert float(cut[1]) == pytest.approx((20**2 - 2 * 50) / (2 * 3), rel=1e-4)
    # What is small may be far above the error of a good view: nobody sees it.
    mse = torch.tensor([1.0, 1.0])
    views[1, 1, 4:8, 8:12] = 11 / 255
    good = loss.color_outliers((views - target).square(), mse)
    assert float(good[1]) == pytest.approx((11**2 - 10**2) * 16 / (16 * 24), rel=1e-4)
    views[1, 1, 4:8, 8:12] = 9 / 255
    assert loss.color_outliers((views - target).square(), mse).tolist() == [0, 0]


@pytest.mark.slow
def test_spots_keep_their_color(fit: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:48, :64]
    noise = np.kron(rng.random((20, 24)), np.ones((4, 4)))
    views = np.empty((3, 3, 48, 64, 3), np.uint8)
    colors = ((40, 200, 60), (230, 140, 20))
    masks = {}
    for v, u in np.ndindex(3, 3):
        gray = noise[8 + v : 56 + v, 8 + u : 72 + u, None]
        views[v, u] = 60 + 120 * gray * np.array([0.75, 0.9, 1.0])
        for (y, x), color in zip(((16, 16), (34, 48)), colors, strict=True):
            spot = (abs(rows + v - 1 - y) < 4) & (abs(columns + u - 1 - x) < 3)
            views[v, u][spot] = color
            masks[v, u, color] = spot
    opened = sanrcodec.open(fit(LightField(views, 8), steps=600, preset="fast", lmbda=4).content)
    for (v, u, color), spot in masks.items():
        np.testing.assert_allclose(opened.view(v, u)[spot].mean(0), color, atol=20)
