# SPDX-License-Identifier: MIT
"""What the plane sweep concludes of light fields whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import load_example

from sanrcodec.lightfield import LightField

torch = pytest.importorskip("torch")
sweep = pytest.importorskip("sanrcodec.encoder.sweep")
images = pytest.importorskip("sanrcodec.encoder.images")
planes = pytest.importorskip("sanrcodec.encoder.planes")
report = pytest.importorskip("sanrcodec.encoder.geometry_report")

Views = np.ndarray

# The grid as it is given -> mirrored, reversed, transposed.
ORDERS: dict[str, tuple[Callable[[Views], Views], tuple[bool, bool, bool]]] = {
    "as it should be": (lambda a: a, (False, False, False)),
    "columns from the right": (lambda a: a[:, ::-1], (True, False, False)),
    "rows from below": (lambda a: a[::-1], (True, True, False)),
    "both": (lambda a: a[::-1, ::-1], (False, True, False)),
    "column first": (lambda a: a.swapaxes(0, 1), (False, False, True)),
    "column first, from the right": (lambda a: a[:, ::-1].swapaxes(0, 1), (True, False, True)),
}
# Neighbors differ by -1.5 pixels where it is nearest: p = q + a * d, near is small.
NEAR, FAR = -1.5, 0.5


@pytest.fixture(scope="module")
def render() -> Callable[..., Views]:
    example = load_example("synthetic")

    def render(
        grid: tuple[int, int] = (5, 5),
        size: tuple[int, int] = (72, 96),
        near: float = NEAR,
        far: float = FAR,
    ) -> Views:
        # The example's larger disparity is nearer, and its views run the other way.
        views: Views = example.render(grid, size, seed=4, disparity=(-far, -near))
        return views[::-1, ::-1]

    return render


def found(views: Views) -> Any:
    return sweep.estimate_geometry(LightField(np.ascontiguousarray(views), 8), "cpu")


def ends(geometry: Any) -> list[float]:
    near = geometry.near[4:-4, 4:-4]
    return [float(near.quantile(q)) for q in (0.03, 0.97)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ORDERS)
def test_order_of_the_views(name: str, render: Callable[..., Views]) -> None:
    arrange, truth = ORDERS[name]
    geometry = found(arrange(render((5, 7))))
    parallax = geometry.parallax
    assert (parallax.mirrored, parallax.axes_reversed, parallax.transposed) == truth
    assert (geometry.mirrored, geometry.reversed) == truth[:2]
    assert ends(geometry) == pytest.approx([NEAR, FAR], abs=0.2)


@pytest.mark.parametrize("grid", [(1, 9), (9, 1)])
def test_a_single_row_or_column(grid: tuple[int, int], render: Callable[..., Views]) -> None:
    views = render(grid)
    geometry = found(views)
    assert not geometry.parallax.transposed
    assert not geometry.parallax.axes_reversed
    assert ends(geometry) == pytest.approx([NEAR, FAR], abs=0.2)
    # A row of views whose camera moved down.
    assert found(views.swapaxes(0, 1)).parallax.transposed


def test_a_hundred_views_in_a_row(render: Callable[..., Views]) -> None:
    geometry = found(render((1, 100), (48, 96), -0.3, 0.1))
    assert ends(geometry) == pytest.approx([-0.3, 0.1], abs=0.05)
    assert not geometry.parallax.axes_reversed


@pytest.mark.slow
@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize(
    ("grid", "near", "far"), [((9, 9), -4.5, -3.5), ((8, 8), -7.0, -2.0), ((3, 3), -20.0, -8.0)]
)
def test_wide_baseline(
    grid: tuple[int, int], near: float, far: float, flipped: bool, render: Callable[..., Views]
) -> None:
    """Up to a quarter of a view between the center and the outermost view."""
    views = render(grid, (72, 96), near, far)
    geometry = found(views[:, ::-1] if flipped else views)
    parallax = geometry.parallax
    assert (parallax.mirrored, parallax.transposed) == (flipped, False)
    assert not parallax.axes_reversed
    assert ends(geometry) == pytest.approx([near, far], abs=0.12 * (far - near) + 0.1)


@pytest.mark.slow
def test_exposure_does_not_matter(render: Callable[..., Views]) -> None:
    views = render()
    gain = np.random.default_rng(1).uniform(0.8, 1.2, (5, 5, 1, 1, 1))
    geometry = found(np.clip(views * 0.8 * gain, 0, 255).astype(np.uint8))
    assert ends(geometry) == pytest.approx([NEAR, FAR], abs=0.2)


@pytest.mark.slow
def test_dark_views_are_not_compared(render: Callable[..., Views]) -> None:
    views = render().copy()
    for corner in ((0, 0), (0, 4), (4, 0), (4, 4)):
        views[corner] = 0
    views[2, 2] //= 20  # the center too
    geometry = found(views)
    parallax = geometry.parallax
    assert (parallax.mirrored, parallax.axes_reversed, parallax.transposed) == (False,) * 3
    assert ends(geometry) == pytest.approx([NEAR, FAR], abs=0.2)


@pytest.mark.slow
def test_views_without_geometry(render: Callable[..., Views]) -> None:
    views = render(near=-4.0, far=2.0)
    rng = np.random.default_rng(0)
    shuffled = views.reshape(25, *views.shape[2:])[rng.permutation(25)].reshape(views.shape)
    assert found(shuffled) is None
    assert found(rng.integers(0, 256, views.shape).astype(np.uint8)) is None
    assert found(views[:1, :1]) is None


@pytest.mark.slow
@pytest.mark.parametrize("grid", [(5, 5), (1, 12), (4, 6)])
@pytest.mark.parametrize("seed", [0, 1])
def test_views_in_a_random_order_have_no_geometry(
    render: Callable[..., Views], grid: tuple[int, int], seed: int
) -> None:
    """One of four orders is some percent better than another by chance."""
    views = render(grid)
    order = np.random.default_rng(seed).permutation(len(views) * len(views[0]))
    assert found(views.reshape(-1, *views.shape[2:])[order].reshape(views.shape)) is None
    assert found(views) is not None


def test_rows_in_another_order_have_a_geometry(render: Callable[..., Views]) -> None:
    """A part of it is right, which is worth more to a fit than none."""
    views = render()
    snake = views.copy()
    snake[1::2] = snake[1::2, ::-1]
    assert found(snake) is not None
    assert found(views[[1, 0, 2, 4, 3]]) is not None


def test_still_views_have_a_geometry(render: Callable[..., Views]) -> None:
    still = np.broadcast_to(render((1, 1)), (3, 3, 72, 96, 3))
    assert found(still).extent < 0.3
    noise = np.random.default_rng(0).normal(0, 6, still.shape)
    assert found(np.clip(still + noise, 0, 255).astype(np.uint8)) is not None


@pytest.mark.parametrize("grid", [(3, 3), (1, 2), (2, 2)])
@pytest.mark.parametrize("bit_depth", [8, 16])
def test_nothing_moves_in_views_of_one_color(grid: tuple[int, int], bit_depth: int) -> None:
    """All disparities match as well: the first one did, of whatever range was searched."""
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    for level in (0, 200, 255):
        views = np.full((*grid, 40, 48, 3), level, dtype)
        geometry = sweep.estimate_geometry(LightField(views, bit_depth), "cpu")
        assert geometry.extent == 0
        assert not geometry.near.any()
        assert not geometry.is_certain
        assert not geometry.is_checked
    views[..., 20, 24, :] -= 2
    assert sweep.estimate_geometry(LightField(views, bit_depth), "cpu").near.any()


@pytest.mark.slow
def test_between_two_views(render: Callable[..., Views]) -> None:
    """The canvas of an even grid lies between its views: so does the disparity."""
    fine = found(render((9, 9), (72, 96), -2.0, 1.0))
    coarse = found(render((9, 9), (72, 96), -2.0, 1.0)[:8, :8])
    # The center of 8 views is half a view before that of 9.
    y, x = np.mgrid[12:60, 12:84]
    d = fine.near.numpy()[y, x]
    row, column = (np.rint(c - 0.5 * d).astype(int) for c in (y, x))
    error = np.abs(coarse.near.numpy()[row, column] - d)
    assert np.median(error) < 0.1
    assert (error > 0.5).mean() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("background", [0.0, 40.0])
def test_a_flat_background_does_not_widen_the_range(background: float) -> None:
    """It matches at any disparity; so does some side of nearly every place, among many planes."""
    rng = np.random.default_rng(3)
    samples = np.full((5, 5, 120, 160, 3), background)
    samples += rng.normal(0, 0.7, samples.shape)
    for disparity, (y, x) in ((-2.0, (30, 40)), (0.0, (70, 100)), (3.0, (60, 30))):
        texture = rng.uniform(60, 250, (36, 36, 1))
        for v, u in np.ndindex(5, 5):
            top, left = (round(p + (a - 2) * disparity) for p, a in ((y, v), (x, u)))
            samples[v, u, top : top + 36, left : left + 36] = texture
    geometry = found(samples.clip(0, 255).astype(np.uint8))
    assert geometry is not None
    assert 2.5 <= geometry.extent <= 5.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_two_by_two_views_tell_which_end_is_near(seed: int) -> None:
    """Few pixels are occluded between neighbors; only these tell it, or it is said to be unsure."""
    views = load_example("synthetic").render((5, 5), (64, 96), seed, (-1.5, 1.5))[1:3, 1:3]
    # The example's larger disparity is nearer.
    for samples, is_reversed in ((views, True), (views[::-1, ::-1], False)):
        geometry = found(samples)
        is_right = geometry.parallax.axes_reversed == is_reversed
        assert is_right or (seed in (1, 6) and not geometry.is_certain)


@pytest.mark.slow
@pytest.mark.parametrize("grid", [(1, 2), (2, 2), (1, 3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_few_noisy_views_do_not_widen_the_range(grid: tuple[int, int], seed: int) -> None:
    """Many places match by chance in one direction; in two they hardly do."""
    views = load_example("synthetic").render(grid, (192, 256), seed, (-1.5, 1.5))
    noise = np.random.default_rng(seed).normal(0, 8, views.shape)
    geometry = found((views + noise).clip(0, 255).astype(np.uint8))
    assert not geometry.mirrored
    assert not geometry.parallax.transposed
    assert 1.5 < geometry.extent < 2.5


@pytest.mark.slow
@pytest.mark.parametrize("grid", [(2, 2), (1, 3)])
def test_few_views_in_another_order(grid: tuple[int, int]) -> None:
    views = load_example("synthetic").render(grid, (64, 96), 0, (-1.5, 1.5))
    assert found(views).is_checked
    flat = views.reshape(-1, *views.shape[2:])
    for swapped in ([1, 0, *range(2, len(flat))], [*range(len(flat) - 2), -1, -2]):
        assert found(flat[swapped].reshape(views.shape)) is None
    # Views that hardly move do not tell in which order they are.
    still = load_example("synthetic").render(grid, (64, 96), 0, (-0.02, 0.03))
    noise = np.random.default_rng(0).normal(0, 4, still.shape)
    geometry = found((still + noise).clip(0, 255).astype(np.uint8))
    assert geometry is not None
    assert not geometry.is_checked
    told = report.describe_geometry(replace(geometry, near=geometry.near + 1), grid)
    assert told.endswith("; views so few or so alike do not tell whether they are in order")


def test_what_nothing_hides_is_not_certain(render: Callable[..., Views]) -> None:
    assert found(render()).is_certain
    noise = np.kron(np.random.default_rng(5).uniform(0, 255, (40, 50, 1)), np.ones((3, 3, 3)))
    rows, columns = np.mgrid[:72, :96]
    views = [
        [noise[rows + 8 + v, columns + 8 + u] for u in range(3)] for v in range(3)
    ]  # one plane
    geometry = found(np.array(views).astype(np.uint8))
    assert not geometry.is_certain
    told = report.describe_geometry(geometry, (3, 3))
    assert told.endswith("; which end is nearest is not certain")
    assert "certain" not in report.describe_geometry(replace(geometry, is_certain=True), (3, 3))


def test_what_rounds_to_zero_has_no_sign(render: Callable[..., Views]) -> None:
    geometry = found(render())
    still = replace(geometry, near=0 * geometry.near + 0.001)
    told = report.describe_geometry(still, (3, 3))
    assert told.startswith("parallax: +0.00 (nearest) to +0.00 pixels per view; too little")


@pytest.mark.parametrize("grid", [(1, 2), (2, 1)])
def test_two_views_do_not_tell_which_end_is_nearest(grid: tuple[int, int]) -> None:
    render = load_example("synthetic").render
    for seed in range(3):
        geometry = found(render(grid, (64, 80), seed, (-1.5, 1.5)))
        assert geometry is not None
        assert not geometry.is_certain


def test_planes_match_as_defined() -> None:
    """The mean of each side's truncated errors, where a moved pixel lies in the frame."""
    generator = torch.Generator().manual_seed(0)
    luma = 0.1 * torch.rand((6, 1, 17, 21), generator=generator)
    angular = torch.tensor(
        [[0.0, 0.0], [-1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, -3.0]]
    )
    disparities = torch.tensor([-2.3, 0.0, 1.0, 7.5])
    match = planes.sweep_planes(luma, angular, disparities)
    y, x = torch.meshgrid(torch.arange(17.0), torch.arange(21.0), indexing="ij")
    for d, cost in zip(disparities, match.cost, strict=True):
        errors = []
        for view, a in zip(luma[1:, 0], angular[1:], strict=True):
            row, column = y + a[0] * d, x + a[1] * d
            inside = (row >= -0.5) & (row <= 16.5) & (column >= -0.5) & (column <= 20.5)
            row, column = row.clamp(0, 16), column.clamp(0, 20)
            r, c = row.long().clamp(max=15), column.long().clamp(max=19)
            f, g = row - r, column - c
            moved = (1 - f) * ((1 - g) * view[r, c] + g * view[r, c + 1])
            moved += f * ((1 - g) * view[r + 1, c] + g * view[r + 1, c + 1])
            error = (moved - luma[0, 0]).abs().clamp(max=0.1)
            errors.append(torch.where(inside, error, torch.full_like(error, 0.1)))
        sides = ([0], [1, 3], [4], [2, 3])  # above, below, left, right of the center
        means = torch.stack([torch.stack([errors[i] for i in side]).mean(0) for side in sides])
        smooth = images.box_mean(images.box_mean(means[:, None], 3), 3)[:, 0]
        torch.testing.assert_close(cost, smooth.amin(0), atol=1e-5, rtol=0)


@pytest.mark.parametrize("front", [-2.0, 2.0])
def test_a_flat_background_does_not_tell_which_end_is_near(front: float) -> None:
    """What moves over it looks as if it hid the background, whatever its disparity."""
    rng = np.random.default_rng(3)
    samples = np.full((5, 5, 120, 160, 3), 200.0)
    for disparity, (y, x) in ((-front, (30, 40)), (front, (50, 70))):
        texture = rng.uniform(20, 180, (50, 50, 1))
        for v, u in np.ndindex(5, 5):
            top, left = (round(p + (a - 2) * disparity) for p, a in ((y, v), (x, u)))
            samples[v, u, top : top + 50, left : left + 50] = texture
    geometry = found(samples.clip(0, 255).astype(np.uint8))
    # Views that are moved by +d show what is at -d: near is small.
    assert geometry.parallax.axes_reversed == (front > 0)
    assert geometry.is_certain
