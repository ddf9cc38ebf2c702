# SPDX-License-Identifier: MIT
"""Small objects of a rare color keep it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import without_residuals
from headers import HEADER

import sanrcodec
from sanrcodec.bitstream.residuals import (
    Tables,
    ViewResiduals,
    pack_residuals,
    residual_bits,
    unpack_residuals,
)
from sanrcodec.color import planes_of
from sanrcodec.decoder import SanrFile
from sanrcodec.lightfield import LightField
from sanrcodec.presets import PROFILES
from sanrcodec.scene.residuals import add_residuals

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from sanrcodec.encoder import loss, supplement  # noqa: E402
from sanrcodec.encoder.block_errors import find_block_errors  # noqa: E402
from sanrcodec.encoder.contest import new_model  # noqa: E402
from sanrcodec.encoder.distributed import ALONE  # noqa: E402
from sanrcodec.encoder.exposure import Exposure  # noqa: E402
from sanrcodec.encoder.model import SceneModel  # noqa: E402
from sanrcodec.encoder.options import checked_options  # noqa: E402
from sanrcodec.encoder.quality import measure_quality  # noqa: E402
from sanrcodec.encoder.rarity import has_rare_colors, rare_weights  # noqa: E402
from sanrcodec.encoder.residuals import choose_residuals  # noqa: E402
from sanrcodec.encoder.scene import Known  # noqa: E402
from sanrcodec.encoder.settle import Written  # noqa: E402
from sanrcodec.encoder.target import target_of  # noqa: E402

SPOT = np.s_[8:14, 18:22]
WIDE_SPOT = np.s_[12:20, 20:28]  # across four blocks
ORANGE = 230, 140, 20


def meadow(size: tuple[int, int] = (64, 64), spot: tuple[slice, slice] = SPOT) -> np.ndarray:
    """A green texture and an orange spot, uint8 ``[H, W, 3]``."""
    gray = np.random.default_rng(0).integers(80, 160, (*size, 1))
    view = (gray * np.array([0.8, 1.0, 0.7])).astype(np.uint8)
    view[spot] = ORANGE
    return view


def planes(view: np.ndarray) -> Tensor:
    """A view as targets are, float32 ``[1, 3, H, W]``."""
    return torch.from_numpy(planes_of(view.astype(np.float32) / 255)).permute(2, 0, 1)[None]


def test_pixels_of_a_rare_color_count_for_more() -> None:
    view = meadow()
    weights = rare_weights(planes(view))
    assert weights.shape == (1, 1, 64, 64)
    expected = np.zeros((64, 64), np.float32)
    expected[SPOT] = 6
    np.testing.assert_allclose(weights[0, 0].numpy(), expected)
    assert not rare_weights(planes(view)[:, :1]).any()
    view[:16, 18:22] = 230, 140, 20  # the more of them, the less each counts
    assert float(rare_weights(planes(view)).mean()) == pytest.approx(0.04)
    view[:, :13] = 230, 140, 20  # a fifth of the view is not rare
    assert not rare_weights(planes(view)).any()


def test_what_is_nearly_gray_is_not_rare() -> None:
    view = np.full((64, 64, 3), 100, np.uint8)
    view[SPOT] = 110, 100, 90
    assert not rare_weights(planes(view)).any()
    view[SPOT] = 150, 100, 50
    assert rare_weights(planes(view))[0, 0, 10, 20] > 5


@pytest.mark.parametrize("bit_depth", [8, 10])
def test_light_fields_with_rare_colors(bit_depth: int) -> None:
    kind, factor = (np.uint8, 1) if bit_depth == 8 else (np.uint16, 4)
    views = np.zeros((3, 3, 64, 64, 3), kind)
    views[1, 1] = factor * meadow().astype(kind)
    assert has_rare_colors(LightField(views, bit_depth))
    assert not has_rare_colors(LightField(views[..., :1].copy(), bit_depth))
    views[1, 1][SPOT] = views[1, 1, :6, :4]
    assert not has_rare_colors(LightField(views, bit_depth))


@pytest.mark.parametrize(("preset", "minds"), [("fast", True), ("medium", False)])
def test_only_short_fits_mind_them(preset: str, minds: bool) -> None:
    """Long ones find such colors by themselves."""
    light_field = LightField(np.stack([meadow()] * 2)[None], 8)
    options = checked_options(
        light_field, lmbda=4.0, bpp=None, psnr=None, max_size=None, quality=None, preset=preset,
        profile="default", steps=None, schedule=None, time_budget=None, seed=0,
    )  # fmt: skip
    exposure = Exposure(np.ones((1, 2)))
    made = new_model(
        light_field, PROFILES["default"], None, exposure, options, torch.device("cpu"), ALONE
    )
    assert made.has_rare_colors == minds


def test_bands_of_rows_weigh_as_whole_views() -> None:
    whole = planes(meadow())
    # What the other band has, as other processes tell: its means of chroma, distance and rarity.
    told: list[Tensor] = []
    rare_weights(whole, lambda x: told.append(x) or x)
    means = iter(told)
    upper = rare_weights(whole[:, :, :12], lambda x: next(means))
    assert torch.equal(upper, rare_weights(whole)[:, :, :12])


def test_steps_and_searches_of_a_fit_count_the_same(model: tuple[SceneModel, LightField]) -> None:
    """Moves of single weights would else take back what the steps have done for rare colors."""
    scene_model, _ = model
    index, target = torch.tensor([0, 3]), torch.cat([planes(meadow((24, 32)))] * 2)
    latents = scene_model.rounded_latents()
    with torch.no_grad():
        weights, _ = scene_model.quantized_weights()
        views = scene_model.views(scene_model.scene(latents, weights), weights, index)
        squares = (views - target).square()
        plain = float(loss.mse_yuv(loss.plane_means(squares).mean(0)))
        rare = float(loss.plane_means(squares * rare_weights(target)).sum(1).mean())
        assert rare > 1
        for scene_model.has_rare_colors in (True, False):
            expected = plain + rare * scene_model.has_rare_colors
            cost, figures, _ = scene_model.loss(index, target, torch.round, 0.0)
            assert float(cost) == pytest.approx(expected, rel=1e-4)
            found = scene_model.figures(latents, index, target, Known())
            assert float(found[0]) == pytest.approx(expected, rel=1e-4)
            # What is shown is the error as it is.
            assert float(figures["mse"]) == pytest.approx(plain, rel=1e-4)


def test_residuals_of_rare_colors_are_worth_more() -> None:
    reference = meadow()
    noise = np.random.default_rng(1).integers(-6, 7, reference.shape)
    decoded = (reference.astype(int) + noise).clip(0, 255).astype(np.uint8)
    plain, rare = (
        find_block_errors(reference, decoded, 8, 1e-3, has_rare_colors=has_rare)
        for has_rare in (False, True)
    )
    np.testing.assert_array_equal(plain.places, np.arange(64))
    np.testing.assert_array_equal(rare.places, np.arange(64))
    np.testing.assert_array_equal(plain.weights, plain.weights[:1].repeat(64, 0))
    more = rare.weights - plain.weights
    assert (more[8 + 2] > 1).all()  # 24 of its 64 pixels are rare, and weigh 6
    assert (more[8 + 2] < 4).all()
    assert not np.delete(more, 8 + 2, 0).any()


FOUR_VIEWS = dataclasses.replace(
    HEADER, n_v=2, n_u=2, height=64, width=64, margin_y=0, margin_x=0, channels=3, features=5
)


def paled(by: float, noise: int, bit_depth: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Four views of a meadow with a wide spot, and the same with noise, one spot of them pale."""
    random, factor = np.random.default_rng(6), (2**bit_depth - 1) / 255
    reference = np.repeat(meadow(spot=WIDE_SPOT)[None], 4, 0).astype(float)
    decoded = reference + random.integers(-noise, noise + 1, reference.shape)
    decoded[2][WIDE_SPOT] += by * (np.array((100.0, 120.0, 90.0)) - ORANGE)
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    rounded = ((x.clip(0, 255) * factor).round().astype(dtype) for x in (reference, decoded))
    return tuple(rounded)


def residuals_of(
    views: tuple[np.ndarray, np.ndarray],
    price: float,
    has_rare: bool = True,
    bit_depth: int = 8,
    color_bits: float = 1000.0,
) -> tuple[Tables, list[ViewResiduals]] | None:
    errors = [
        find_block_errors(*pair, bit_depth, price, has_rare_colors=has_rare)
        for pair in zip(*views, strict=True)
    ]
    return choose_residuals(FOUR_VIEWS, errors, price, color_bits=color_bits)


def off_by(reference: np.ndarray, decoded: np.ndarray) -> float:
    """Of the mean color of a wide spot, in levels."""
    difference = reference[WIDE_SPOT].astype(float) - decoded[WIDE_SPOT]
    return float(np.abs(difference.mean((0, 1))).max())


@pytest.mark.parametrize("bit_depth", [8, 12])
@pytest.mark.parametrize("price", [3e3, 3e4])
def test_a_pale_spot_gets_its_color_where_nothing_pays(price: float, bit_depth: int) -> None:
    reference, decoded = views = paled(0.2, 3, bit_depth)
    level = (2**bit_depth - 1) / 255
    assert off_by(reference[2], decoded[2]) > 20 * level
    assert residuals_of(views, price, False, bit_depth) is None
    chosen = residuals_of(views, price, True, bit_depth)
    assert chosen is not None
    tables, found = chosen
    assert [len(view.places) for view in found] == [0, 0, 4, 0]
    add_residuals(decoded[2], bit_depth, 64, (0, 64, 0, 64), tables.step, found[2])
    assert off_by(reference[2], decoded[2]) < 9 * level
    unpacked = unpack_residuals(FOUR_VIEWS, pack_residuals(FOUR_VIEWS, tables, found))
    np.testing.assert_array_equal(unpacked[1][2].levels, found[2].levels)


def test_no_eye_sees_a_spot_that_is_off_by_little_or_less_than_the_view() -> None:
    few, noisy = paled(0.05, 3), paled(0.2, 60)
    assert 5 < off_by(few[0][2], few[1][2]) < 8
    assert residuals_of(few, 3e4) is None
    assert off_by(noisy[0][2], noisy[1][2]) > 15
    assert residuals_of(noisy, 1e6) is None


def test_all_spots_get_their_color_or_none() -> None:
    views = paled(0.2, 3)
    chosen = residuals_of(views, 3e4)
    assert chosen is not None
    bits = residual_bits(FOUR_VIEWS, *chosen)
    # What none take is not counted, but for flags, of 256 blocks.
    assert residuals_of(views, 3e4, color_bits=bits) is not None
    assert residuals_of(views, 3e4, color_bits=bits / 2) is None
    assert residuals_of(views, 3e4, color_bits=0.0) is None


def test_a_target_goes_before_the_color_of_spots(
    encoded: Any, light_field: LightField, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = without_residuals(encoded.content)
    opened = SanrFile(content)
    quality = measure_quality(light_field.views(), opened.views(), light_field.bit_depth)
    written = Written(content, len(content), opened, quality)

    def choose(*args: Any) -> Any:
        """Much more where colors may take bits."""
        header, errors, price, step, color_bits = args
        return choose_residuals(header, errors, price / 50 if color_bits else price, step)

    monkeypatch.setattr(supplement, "choose_residuals", choose)

    def n_bytes(max_size: int | None = None) -> int:
        target = target_of(int(np.prod(light_field.shape[:4])), max_size=max_size)
        return len(supplement.supplemented(written, light_field, 8.0, target, None, False).content)

    colored = n_bytes()
    monkeypatch.setattr(supplement, "_COLOR_SHARE", 0.0)
    plain = n_bytes()
    assert len(content) < plain < colored
    monkeypatch.undo()
    monkeypatch.setattr(supplement, "choose_residuals", choose)
    assert n_bytes(colored) == colored
    assert n_bytes((plain + colored) // 2) == plain


def test_hidden_spots_stay_as_they_are() -> None:
    reference, decoded = paled(0.2, 3)
    hidden = np.zeros((64, 64), bool)
    hidden[WIDE_SPOT] = True
    found = find_block_errors(reference[2], decoded[2], 8, 3e4, hidden, has_rare_colors=True)
    assert not found.rare.at.size


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
        np.testing.assert_allclose(opened.view(v, u)[spot].mean(0), color, atol=8)
