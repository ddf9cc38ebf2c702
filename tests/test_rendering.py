# SPDX-License-Identifier: MIT
from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planes import GRID, plane_file

import sanrcodec
from sanrcodec.errors import LightFieldError
from sanrcodec.rendering import paths, pictures
from sanrcodec.rendering.refocus import disparity_at, disparity_range
from sanrcodec.rendering.resample import sampled, shifted

VECTORS = Path(__file__).parent / "vectors"
INNER = np.s_[8:-8, 8:-8]
DIRECTIONS = pytest.mark.parametrize(
    "direction", [{}, {"mirrored": 1}, {"axes_reversed": 1}, {"mirrored": 1, "axes_reversed": 1}],
    ids=lambda d: "+".join(d) or "plain",
)  # fmt: skip


def error(ours: Any, theirs: Any) -> float:
    difference = ours[INNER].astype(float) - theirs[INNER].astype(float)
    return float(np.sqrt(np.mean(difference**2)))


# ------------------------------------------------------------------- disparity


@pytest.mark.parametrize("disparity", [-1.25, 0.5, 2.0])
@DIRECTIONS
def test_disparity_of_a_plane(disparity: float, direction: dict[str, int]) -> None:
    opened = sanrcodec.open(plane_file((disparity,), **direction))
    for v, u in [(0, 0), (1, 2), (2, 4), (0.5, 3.25)]:
        found = opened.disparity(v, u)
        assert found.dtype == np.float32
        assert found.shape == (40, 56)
        assert (found == disparity).all()


@pytest.mark.parametrize("disparity", [-1.5, 0.75])
def test_sign_is_that_of_hci(disparity: float) -> None:
    """What has disparity d moves by -d when the camera moves right or down by one view."""
    opened = sanrcodec.open(plane_file((disparity,)))
    first = opened.view(1, 2)
    assert error(opened.view(1, 3), shifted(first, 0, disparity)) < 1.5
    assert error(opened.view(2, 2), shifted(first, disparity, 0)) < 1.5
    assert error(opened.view(1, 3), shifted(first, 0, -disparity)) > 5


@DIRECTIONS
def test_offset_tells_where_things_are(direction: dict[str, int]) -> None:
    opened = sanrcodec.open(plane_file((1.0,), **direction))
    middle = opened.view(1, 2)
    for v, u in [(0, 2), (1, 4), (2, 1)]:
        a_v, a_u, dy, dx = opened.offset(v, u)
        assert (dy, dx) == (0, 0)
        assert (abs(a_v), abs(a_u)) == (abs(v - 1), abs(u - 2))
        assert error(middle, shifted(opened.view(v, u), -a_v, -a_u)) < 1.5


def test_layers_share_the_pixels() -> None:
    opened = sanrcodec.open(plane_file((1.0, -0.5), visibility=0.25))
    layers = opened.layer_disparities(1, 3)
    assert layers.disparity.shape == layers.share.shape == (2, 40, 56)
    assert (layers.disparity[0] == 1).all()
    assert (layers.disparity[1] == -0.5).all()
    np.testing.assert_allclose(layers.share[0], 0.25, atol=0.01)
    np.testing.assert_allclose(layers.share.sum(0), 1, atol=1e-6)
    assert (opened.disparity(1, 3) == -0.5).all()
    assert (sanrcodec.open(plane_file((1.0, -0.5), 0.75)).disparity(1, 3) == 1).all()


def test_smaller_disparity_maps() -> None:
    opened = sanrcodec.open(plane_file((1.0,)))
    small = opened.disparity(0, 0, scale=1 / 4)
    assert small.shape == (10, 14)
    np.testing.assert_allclose(small, 1, atol=0.01)


def test_no_geometry_no_disparity() -> None:
    opened = sanrcodec.open(VECTORS / "sanr.sanr")
    with pytest.raises(LightFieldError, match="no geometry"):
        opened.disparity(0, 0)
    with pytest.raises(LightFieldError, match="outside this light field"):
        opened.disparity(9, 0)


# ------------------------------------------------------------------- refocus


def test_focus_is_sharp_where_it_is_set() -> None:
    opened = sanrcodec.open(plane_file((1.0,)))
    middle = opened.view(1, 2)
    sharp, blurred = opened.refocus(1.0), opened.refocus(-1.0)
    assert sharp.shape == middle.shape
    assert sharp.dtype == middle.dtype
    assert error(sharp, middle) < 1.5
    assert error(blurred, middle) > 5
    assert np.std(blurred[INNER]) < 0.8 * np.std(sharp[INNER])


def test_refocus_is_the_mean_of_shifted_views() -> None:
    opened = sanrcodec.open(plane_file((0.5, -1.0), 0.6))
    expected = np.zeros((40, 56, 3))
    for v, u in np.ndindex(GRID):
        expected += shifted(opened.view(v, u), -(v - 1) * 0.5, -(u - 2) * 0.5) / 15
    assert np.abs(opened.refocus(0.5, shape="square") - expected).max() <= 0.5 + 1e-3


def test_apertures() -> None:
    opened = sanrcodec.open(plane_file((1.0,)))
    np.testing.assert_array_equal(opened.refocus(-1.0, aperture=0), opened.view(1, 2))
    corner = opened.refocus(1.0, aperture=0.5, center=(0, 4))
    a_v, a_u, _, _ = opened.offset(0, 4)
    assert error(corner, shifted(opened.view(0, 4), -a_v, -a_u)) < 1
    narrow, wide = (opened.refocus(-1.0, aperture=a) for a in (1, 2))
    assert np.std(wide[INNER]) < np.std(narrow[INNER])
    counts: list[tuple[int, int]] = []
    opened.refocus(0.0, aperture=1, progress=lambda *done: counts.append(done))
    assert counts == [(n, 5) for n in range(1, 6)]
    with pytest.raises(LightFieldError, match="disk or square"):
        opened.refocus(0.0, shape="star")
    with pytest.raises(LightFieldError, match="holds no view"):
        opened.refocus(0.0, aperture=0.2, center=(7, 2))


def test_all_in_focus_is_sharp_everywhere() -> None:
    opened = sanrcodec.open(plane_file((1.0,)))
    assert error(opened.all_in_focus(), opened.view(1, 2)) < 1.5


def test_focal_stack_goes_from_far_to_near() -> None:
    opened = sanrcodec.open(plane_file((1.0,)))
    images = list(opened.focal_stack(3, limits=(-1.0, 1.0)))
    sharpness = [float(np.std(image[INNER])) for image in images]
    assert sharpness == sorted(sharpness)
    np.testing.assert_array_equal(images[2], opened.refocus(1.0))


def test_disparity_of_a_place() -> None:
    opened = sanrcodec.open(plane_file((1.0,)))
    assert disparity_at(opened, 0, 55) == 1.0
    assert disparity_range(opened) == (1.0, 1.0)
    with pytest.raises(LightFieldError, match=r"place 40,0 is outside"):
        disparity_at(opened, 40, 0)


# ------------------------------------------------------------------- pictures and paths


def test_epipolar_planes() -> None:
    opened = sanrcodec.open(plane_file((1.0,)))
    rows = opened.epi(row=7)
    assert rows.shape == (5, 56, 3)
    for u in range(5):
        np.testing.assert_array_equal(rows[u], opened.view(1, u)[7])
    columns = opened.epi(column=3, at=4)
    for v in range(3):
        np.testing.assert_array_equal(columns[v], opened.view(v, 4)[:, 3])
    assert opened.epi(row=7, at=0, n=9).shape == (9, 56, 3)
    for options in ({}, {"row": 1, "column": 1}, {"row": 40}, {"column": -1}):
        with pytest.raises(LightFieldError):
            opened.epi(**options)


@DIRECTIONS
def test_the_right_eye_sees_near_things_farther_left(direction: dict[str, int]) -> None:
    opened = sanrcodec.open(plane_file((2.0,), **direction))
    both = pictures.side_by_side(opened, 2)
    left, right = both[:, :56], both[:, 56:]
    assert error(right, shifted(left, 0, 4)) < 2
    mixed = pictures.anaglyph(opened, 2)
    np.testing.assert_array_equal(mixed[..., 0], left[..., 0])
    np.testing.assert_array_equal(mixed[..., 1:], right[..., 1:])
    with pytest.raises(LightFieldError, match=r"baseline of 9 views"):
        pictures.side_by_side(opened, 9)


def test_paths_stay_in_the_grid() -> None:
    for places in (paths.orbit((3, 5), 12), paths.line((3, 5), 7), paths.line((4, 1), 4)):
        assert all(0 <= v <= 3 and 0 <= u <= 4 for v, u in places)
    steps = [
        np.hypot(a[0] - b[0], a[1] - b[1]) for a, b in itertools.pairwise(paths.orbit((5, 5), 90))
    ]
    assert max(steps) < 0.2
    assert paths.line((3, 5), 3) == [(1, 0), (1, 2), (1, 4)]
    assert paths.line((4, 1), 4) == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert paths.parse_path("# a\n0,1.5\n\n 2, 4 \n", (3, 5)) == [(0, 1.5), (2, 4)]
    for text, reason in [("1;2", "line 1"), ("\n5,0", "line 2"), ("# none", "no line")]:
        with pytest.raises(LightFieldError, match=reason):
            paths.parse_path(text, (3, 5))


# ------------------------------------------------------------------- resampling


@pytest.mark.parametrize("shift", [(0, 0), (2, -3), (0.5, 0.25), (-1.75, 4.5)])
def test_shift_and_samples_agree(shift: tuple[float, float]) -> None:
    y, x = np.mgrid[:30, :40]
    image = np.stack([np.sin(y / 5) + np.cos(x / 6), y * 0.1 + x], -1)
    moved = shifted(image, *shift)
    np.testing.assert_allclose(
        moved, sampled(image, y + shift[0], x + shift[1]), rtol=1e-4, atol=1e-4
    )
    exact = np.stack(
        [
            np.sin((y + shift[0]) / 5) + np.cos((x + shift[1]) / 6),
            (y + shift[0]) * 0.1 + x + shift[1],
        ],
        -1,
    )
    np.testing.assert_allclose(moved[INNER], exact[INNER], atol=2e-3)
