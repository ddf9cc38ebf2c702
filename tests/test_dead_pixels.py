# SPDX-License-Identifier: MIT
"""Pixels that an aperture hides: which ones are found, what a fit sees there, and what is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import load_example

import sanrcodec
from sanrcodec.lightfield import LightField
from sanrcodec.metrics import light_field_psnr_yuv

torch = pytest.importorskip("torch")

from sanrcodec.encoder.dead_pixels import (  # noqa: E402
    filled,
    find_dead_pixels,
    without_dead_pixels,
)
from sanrcodec.encoder.exposure import measure_exposure  # noqa: E402

CORNERS = [(0, 0), (0, 4), (4, 0), (4, 4)]
BESIDE = [(0, 1), (1, 0), (0, 3), (4, 1)]


@pytest.fixture(scope="module")
def views() -> np.ndarray:
    made: np.ndarray = load_example("synthetic").render((5, 5), (48, 64), 2, (-0.8, 0.6))
    return np.maximum(made, 30)


def hidden(
    views: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, dict[tuple[int, int], np.ndarray]]:
    """Black corners, and views beside them of which a tenth of the pixels is black."""
    random = np.random.default_rng(seed)
    spoiled = views.copy()
    for corner in CORNERS:
        spoiled[corner] = 0
    masks = {place: random.random(views.shape[2:4]) < 0.1 for place in BESIDE}
    for place, mask in masks.items():
        spoiled[place][mask] = random.integers(0, 3, (int(mask.sum()), 3))
    return spoiled, masks


def found(samples: np.ndarray, extent: float = 0.8) -> dict[tuple[int, int], np.ndarray]:
    light_field = LightField(samples, 8)
    return find_dead_pixels(light_field, measure_exposure(light_field), extent)


def test_all_are_found_and_no_others(views: np.ndarray) -> None:
    spoiled, masks = hidden(views)
    dead = found(spoiled)
    assert sorted(dead) == sorted(masks)
    for place, mask in masks.items():
        np.testing.assert_array_equal(dead[place], mask)
    assert not found(views)


def test_views_of_a_deep_sample_and_of_gray(views: np.ndarray) -> None:
    spoiled, masks = hidden(views)
    gray = LightField(spoiled[..., 1:2].astype(np.uint16) << 2, 10)
    dead = find_dead_pixels(gray, measure_exposure(gray), 0.8)
    for place, mask in masks.items():
        np.testing.assert_array_equal(dead[place], mask)


def test_black_in_the_scene_is_not_dead(views: np.ndarray) -> None:
    """Neither where all views show it, nor where an outline hides it from most of them."""
    dots = views.copy()
    for v, u in np.ndindex(5, 5):
        dots[v, u, 10 + v : 40 : 8, 12 + u : 60 : 8] = 0
    assert not found(dots)
    behind = views.copy()
    for v in range(5):  # comes to light in the last two columns
        behind[v, 3, 10 + v : 40 : 4, 30] = 0
        behind[v, 4, 10 + v : 40 : 4, 30:32] = 0
    assert measure_exposure(LightField(behind, 8)).is_speckled.sum() == 10
    assert not found(behind)


def test_one_row_of_views_has_no_witnesses(views: np.ndarray) -> None:
    row = views[2:3].copy()
    row[0, 4, ::3, ::3] = 0
    assert measure_exposure(LightField(row, 8)).is_speckled[0, 4]
    assert not found(row)


def test_a_view_that_is_mostly_black_is_dead(views: np.ndarray) -> None:
    few = views.copy()
    is_lit = np.random.default_rng(0).random(views.shape[2:4]) < 0.2
    few[0, 0][~is_lit] = 0
    few[4, 4] = few[4, 4] // 4  # darker, but no less is seen
    measured = measure_exposure(LightField(few, 8))
    assert np.argwhere(measured.is_dead).tolist() == [[0, 0]]
    assert not measured.is_black.any()
    assert np.argwhere(measured.is_dark).tolist() == [[0, 0], [4, 4]]
    assert measured.gain[0, 0] == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_filled_from_around(dtype: type) -> None:
    y, x = np.mgrid[:12, :16]
    view = (20 + 3 * y + 2 * x)[..., None].astype(dtype)
    dead = np.zeros((12, 16), bool)
    dead[2::3, 2::3] = True  # each inside the view
    dead[-1], dead[:, -1] = False, False
    spoiled = np.where(dead[..., None], 0, view).astype(dtype)
    np.testing.assert_array_equal(filled(spoiled, dead), view)  # a mean keeps a slope
    dead[4:9, 4:9] = True
    mended = filled(np.where(dead[..., None], 0, view).astype(dtype), dead)
    assert mended.dtype == dtype
    np.testing.assert_array_equal(mended[~dead], view[~dead])
    assert np.abs(mended.astype(int) - view)[dead].max() <= 8
    everything = np.ones((12, 16), bool)
    assert not filled(0 * view, everything).any()


def test_a_fit_sees_filled_views_and_all_others_as_they_are(views: np.ndarray) -> None:
    spoiled, masks = hidden(views)
    light_field = LightField(spoiled, 8)
    assert without_dead_pixels(light_field, {}) is light_field
    mended = without_dead_pixels(light_field, masks)
    assert (mended.shape, mended.dtype, mended.bit_depth) == ((5, 5, 48, 64, 3), np.uint8, 8)
    for v, u in np.ndindex(5, 5):
        view = mended.view(v, u)
        mask = masks.get((v, u), np.zeros((48, 64), bool))
        np.testing.assert_array_equal(view[~mask], spoiled[v, u][~mask])
        if mask.any():
            assert np.abs(view.astype(int) - views[v, u])[mask].mean() < 10


@pytest.mark.slow
def test_dead_pixels_do_not_spoil_the_others(fit: Callable[..., Any], views: np.ndarray) -> None:
    """As good as without them, at about the same size; and they are spoken of."""
    spoiled, masks = hidden(views)
    good = [p for p in np.ndindex(5, 5) if p not in [*CORNERS, *masks]]

    def quality(samples: np.ndarray) -> tuple[float, Any]:
        result = fit(LightField(samples, 8), steps=300, preset="fast")
        opened = sanrcodec.open(result.content)
        decoded = (opened.view(*place) for place in good)
        return light_field_psnr_yuv((samples[p] for p in good), decoded, 8)[0], result

    psnr, result = quality(views)
    assert not any("black pixels" in line for line in result.warnings)
    psnr_spoiled, spoiled_result = quality(spoiled)
    n_dead = sum(int(mask.sum()) for mask in masks.values())
    (line,) = [line for line in spoiled_result.warnings if "black pixels" in line]
    assert line.startswith(f"{n_dead} black pixels in 4 views")
    assert psnr_spoiled > psnr - 0.5
    assert len(spoiled_result.content) < 1.1 * len(result.content)
