# SPDX-License-Identifier: MIT
"""Views that are not where they belong are found, and only those."""

from __future__ import annotations

import numpy as np
import pytest
from io_inputs import noise, render

from sanrcodec.io import find_misplaced, find_twins

HALF_TURN = np.s_[::-1, ::-1]
GRIDS = [(5, 5), (3, 7), (9, 9), (1, 12), (12, 1), (4, 6)]


@pytest.fixture
def samples():
    return render((5, 6), (48, 64), seed=3)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("disparity", [(-0.4, 0.3), (-2.0, 1.5), (-9.0, 4.0), (0.0, 0.0)])
def test_nothing_is_odd_in_a_light_field(grid, disparity):
    samples = render(grid, (48, 64), seed=5, disparity=disparity)
    assert find_misplaced(samples) == []
    assert find_misplaced(samples[::-1]) == []
    assert find_twins(samples) == []


@pytest.mark.parametrize("harm", ["tint", "noise", "dark corners", "black"])
def test_light_and_noise_are_not_odd(samples, harm):
    rng = np.random.default_rng(0)
    if harm == "tint":
        samples = samples * rng.uniform(0.7, 1, (5, 6, 1, 1, 3))
    elif harm == "noise":
        samples = np.clip(samples + rng.normal(0, 12, samples.shape), 0, 255)
    elif harm == "dark corners":
        samples[::4, ::5] //= 4
    else:
        samples[::4, ::5] = 0
    samples = samples.astype(np.uint8)
    assert find_misplaced(samples) == []
    assert find_twins(samples) == []


@pytest.mark.parametrize("place", [(0, 0), (0, 3), (2, 2), (4, 5)])
@pytest.mark.parametrize("harm", ["turned", "other scene"])
def test_a_view_that_does_not_belong_is_found(samples, place, harm):
    samples[place] = (
        samples[place][HALF_TURN] if harm == "turned" else render((1, 1), (48, 64), seed=8)[0, 0]
    )
    assert find_misplaced(samples)[0] == place


def test_views_in_each_other_s_place(samples):
    samples[[0, 4], [0, 5]] = samples[[4, 0], [5, 0]]
    assert {*find_misplaced(samples)} == {(0, 0), (4, 5)}


def test_a_row_that_is_backwards(samples):
    samples[3] = samples[3, ::-1]
    assert {v for v, _ in find_misplaced(samples)} == {3}


def test_views_that_are_counted_from_another_one(samples):
    shifted = np.roll(samples.reshape(30, 48, 64, 3), 1, axis=0).reshape(samples.shape)
    assert {u for _, u in find_misplaced(shifted)} == {0}


def test_twins(samples):
    samples[2, 3], samples[4, 4], samples[0, 1] = samples[2, 2], samples[2, 2], samples[0, 0]
    assert find_twins(samples) == [((0, 0), (0, 1)), ((2, 2), (2, 3)), ((2, 2), (4, 4))]
    nearly = render((1, 2), (48, 64), seed=3)
    nearly[0, 1] = nearly[0, 0]
    nearly[0, 1, 7, 9] ^= 1
    assert find_twins(nearly) == []


def test_views_that_do_not_tell():
    assert find_misplaced(noise((5, 5, 8, 9, 3))) == []  # small ones are alike by chance
    assert find_misplaced(noise((2, 2, 32, 40, 3))) == []
    assert find_twins(np.repeat(noise((1, 1, 32, 40, 3)), 5, axis=1)) == []  # nothing moves
    assert find_twins(np.zeros((3, 3, 32, 40, 3), np.uint8)) == []
