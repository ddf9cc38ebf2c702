# SPDX-License-Identifier: MIT
"""Residuals of single views: their bytes, their transform, and what the encoder makes of them."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from conftest import synthetic, without_residuals
from headers import HEADER
from hypothesis import given
from hypothesis import strategies as st
from random_vectors import TABLES, random_residuals

pytest.importorskip("torch")

import sanrcodec
from sanrcodec.bitstream import container
from sanrcodec.bitstream.container import SectionType
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.residuals import (
    BLOCK,
    LEVEL_MAX,
    MAX_FLAG,
    N_STEPS,
    Tables,
    ViewResiduals,
    flag_classes,
    no_residuals,
    pack_residuals,
    residual_bits,
    step_of,
    unpack_residuals,
)
from sanrcodec.decoder import SanrFile
from sanrcodec.encoder import supplement
from sanrcodec.encoder.block_errors import BlockErrors, fallen_blocks, find_block_errors
from sanrcodec.encoder.quality import measure_quality
from sanrcodec.encoder.residuals import choose_residuals
from sanrcodec.encoder.settle import Written
from sanrcodec.encoder.supplement import supplemented
from sanrcodec.encoder.target import target_of
from sanrcodec.errors import CorruptSectionError
from sanrcodec.lightfield import LightField
from sanrcodec.metrics import psnr_yuv
from sanrcodec.scene.residuals import RESIDUAL_MAX, TRANSFORM, add_residuals, residual_planes

SHAPES = {
    "color": {"channels": 3, "features": 5, "height": 27, "width": 37},
    "gray": {"channels": 1, "features": 4, "height": 16, "width": 9},
    "single": {"channels": 3, "features": 5, "n_v": 1, "n_u": 1, "height": 8, "width": 8},
}


def header_of(name: str) -> StreamHeader:
    return dataclasses.replace(HEADER, margin_y=0, margin_x=0, **SHAPES[name])


def assert_same(found: list[ViewResiduals], expected: list[ViewResiduals]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for part, wanted in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, wanted)


# ------------------------------------------------------------------- bytes


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("name", SHAPES)
def test_round_trip(name: str, share: float) -> None:
    header = header_of(name)
    views = random_residuals(np.random.default_rng(1), header, share)
    payload = pack_residuals(header, TABLES, views)
    tables, found = unpack_residuals(header, payload)
    assert tables == TABLES
    assert_same(found, views)
    # The coder ends on whole words.
    assert 0 <= 8 * len(payload) - residual_bits(header, TABLES, views) < 80


@given(
    st.integers(0, N_STEPS - 1),
    st.lists(st.tuples(st.integers(-4, 3), st.integers(0, 39)), min_size=4, max_size=4),
    st.lists(st.integers(0, 39), min_size=30, max_size=30),
)
def test_heads(step: int, flags: list[tuple[int, int]], scales: list[int]) -> None:
    tables = Tables(step, tuple(flags), (tuple(scales[:15]), tuple(scales[15:])))
    assert Tables.of(tables.head()) == tables


def test_steps_grow_by_at_most_a_quarter() -> None:
    steps = [step_of(i, 1) for i in range(N_STEPS)]
    assert steps[0] == 4
    assert all(1 < b / a <= 1.25 for a, b in pairwise(steps))
    assert [step_of(29, flag) for flag in (1, -2, 3)] == [640, 320, 160]


def test_classes_by_hand() -> None:
    left = np.zeros((3, 4), bool)
    left[1, 1] = True
    expected = [[1, 1, 1, 0], [1, 3, 1, 0], [1, 1, 1, 0]]
    assert flag_classes([left], (3, 4)).tolist() == expected
    above = np.zeros((3, 4), bool)
    above[0, 2] = above[1, 3] = True
    found = flag_classes([left, above], (3, 4))
    assert found[0].tolist() == [1, 2, 3, 2]
    assert not flag_classes([], (3, 4)).any()


# ------------------------------------------------------------------- samples


def test_the_transform_is_nearly_orthogonal() -> None:
    product = TRANSFORM.astype(np.int64) @ TRANSFORM.T
    assert np.abs(product - (1 << 15) * np.eye(BLOCK)).max() <= 50


def test_levels_of_a_difference_give_it_back() -> None:
    """A fine step, and the transform that the encoder uses."""
    random = np.random.default_rng(2)
    difference = random.integers(-60, 61, (8, 8, 3))
    reference = np.full((8, 8, 3), 128, np.uint8)
    decoded = (reference - difference).astype(np.uint8)
    (coefficients,) = find_block_errors(reference, decoded, 8, 1e-6).coefficients
    step = step_of(0, 1) * 255 / 4096
    levels = np.rint(coefficients / step).astype(np.int32)
    found = ViewResiduals(np.array([0]), np.array([-1], np.int32), levels[None])
    add_residuals(decoded, 8, 8, (0, 8, 0, 8), 0, found)
    assert np.abs(decoded.astype(int) - reference).max() <= 1


def test_a_level_by_hand() -> None:
    """The check of format_spec.md 8.6."""
    levels = np.zeros((1, 3, 64), np.int32)
    levels[0, 0, 0] = 1
    found = ViewResiduals(np.array([1]), np.array([1], np.int32), levels)
    assert (residual_planes(29, found)[0, 0] == 80).all()
    samples = np.full((9, 12, 3), 100, np.uint8)
    add_residuals(samples, 8, 12, (0, 9, 0, 12), 29, found)
    assert (samples[:8, 8:] == 105).all()
    assert (samples[:8, :8] == 100).all()
    assert (samples[8:] == 100).all()


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_levels_saturate(sign: int) -> None:
    levels = np.full((1, 1, 64), sign * LEVEL_MAX, np.int32)
    found = ViewResiduals(np.array([0]), np.array([1], np.int32), levels)
    planes = residual_planes(N_STEPS - 1, found)
    assert np.abs(planes).max() <= RESIDUAL_MAX
    samples = np.full((8, 8, 1), 30000, np.uint16)
    add_residuals(samples, 16, 8, (0, 8, 0, 8), N_STEPS - 1, found)
    assert {0, 65535} >= {int(samples[0, 0, 0])}


def test_regions(content: bytes) -> None:
    opened = SanrFile(content)
    assert SectionType.RESIDUALS in opened.sections
    whole = opened.view(1, 2)
    assert (whole != SanrFile(without_residuals(content)).view(1, 2)).any()
    for y0, y1, x0, x1 in ((0, 24, 0, 32), (7, 9, 15, 17), (3, 4, 0, 32), (16, 24, 5, 8)):
        np.testing.assert_array_equal(
            opened.view(1, 2, region=(y0, y1, x0, x1)), whole[y0:y1, x0:x1]
        )


def test_views_between_and_smaller_ones_do_without(content: bytes) -> None:
    """They neither have any nor wait for them: faults of the section are for others to meet."""
    plain = without_residuals(content)
    header, weights, latents = container.unpack(plain).sections.values()
    parts = [(part.type, part.payload) for part in (header, weights, latents)]
    damaged = container.pack([*parts, (SectionType.RESIDUALS, bytes(8))])
    for options in ({"v": 1.5, "u": 1}, {"v": 1, "u": 1, "scale": 1 / 2}):
        expected = SanrFile(plain).view(**options)
        for file in (content, damaged):
            np.testing.assert_array_equal(SanrFile(file).view(**options), expected)
    with pytest.raises(CorruptSectionError, match="section RESIDUALS"):
        SanrFile(damaged).view(1, 1)


# ------------------------------------------------------------------- the choice


def errors_of(reference: np.ndarray, decoded: np.ndarray, bit_price: float) -> list[BlockErrors]:
    pairs = zip(reference, decoded, strict=True)
    return [find_block_errors(one, other, 8, bit_price) for one, other in pairs]


@pytest.fixture
def textured() -> np.ndarray:
    """Four views of noise, uint8 ``[4, 64, 64, 3]``."""
    return np.random.default_rng(3).integers(60, 120, (4, 64, 64, 3), np.uint8)


SMALL = dataclasses.replace(
    HEADER, n_v=2, n_u=2, height=64, width=64, margin_y=0, margin_x=0, channels=3, features=5
)


def test_noise_has_no_residuals(textured: np.ndarray) -> None:
    noise = np.random.default_rng(4).integers(-3, 4, textured.shape)
    decoded = (textured + noise).astype(np.uint8)
    assert choose_residuals(SMALL, errors_of(textured, decoded, 100.0), 100.0) is None
    assert choose_residuals(SMALL, errors_of(textured, textured, 1.0), 1.0) is None


def test_a_highlight_of_one_view_gets_its_blocks_and_no_others(textured: np.ndarray) -> None:
    noise = np.random.default_rng(4).integers(-3, 4, textured.shape)
    decoded = (textured + noise).astype(np.uint8)
    textured[2, 16:32, 40:48, 0] += 110
    errors = errors_of(textured, decoded, 100.0)
    assert fallen_blocks(errors[2].squares, errors[2].limit_db, (64, 64)).sum() == 1
    chosen = choose_residuals(SMALL, errors, 100.0)
    assert chosen is not None
    tables, views = chosen
    assert [view.places.tolist() for view in views] == [[], [], [2 * 8 + 5, 3 * 8 + 5], []]
    assert np.abs(views[2].flags).max() <= MAX_FLAG
    before = psnr_yuv(textured[2], decoded[2])
    add_residuals(decoded[2], 8, 64, (0, 64, 0, 64), tables.step, views[2])
    assert psnr_yuv(textured[2], decoded[2]) > before + 6
    after = errors_of(textured, decoded, 100.0)[2]
    assert not fallen_blocks(after.squares, after.limit_db, (64, 64)).any()
    n_bytes = len(pack_residuals(SMALL, tables, views))
    assert 8 * n_bytes < residual_bits(SMALL, tables, views) + 80


@pytest.mark.parametrize(("n_fallen", "n_lifted"), [(1, 1), (2, 0)])
def test_fallen_blocks_are_lifted_where_that_takes_little_for_all(
    n_fallen: int, n_lifted: int
) -> None:
    """None of them pays; where they are too many, the few that could be lifted are of no use."""
    random, price = np.random.default_rng(5), 800.0
    views = random.integers(60, 120, (4, 512, 512, 3), np.uint8)
    decoded = (views + random.integers(-3, 4, views.shape)).astype(np.uint8)
    decoded[2, : 16 * n_fallen, 48:64] += 12
    header = dataclasses.replace(SMALL, height=512, width=512)
    errors = errors_of(views, decoded, price)
    assert fallen_blocks(errors[2].squares, errors[2].limit_db, (512, 512)).sum() == n_fallen
    chosen = choose_residuals(header, errors, price)
    assert (chosen is not None) == bool(n_lifted)
    if chosen is not None:
        tables, residuals = chosen
        assert [len(view.places) for view in residuals] == [0, 0, 4 * n_lifted, 0]
        add_residuals(decoded[2], 8, 512, (0, 512, 0, 512), tables.step, residuals[2])
        after = errors_of(views, decoded, price)[2]
        assert not fallen_blocks(after.squares, after.limit_db, (512, 512)).any()


def test_hidden_pixels_get_none(textured: np.ndarray) -> None:
    decoded = textured.copy()
    textured[0, :16, :16] = 0
    hidden = np.zeros((64, 64), bool)
    hidden[:16, :16] = True
    seen = find_block_errors(textured[0], decoded[0], 8, 10.0)
    assert seen.places.size == 4
    assert not find_block_errors(textured[0], decoded[0], 8, 10.0, hidden).places.size


def test_views_smaller_than_a_block() -> None:
    header = dataclasses.replace(SMALL, height=5, width=3)
    reference = np.full((4, 5, 3, 3), 200, np.uint8)
    decoded = np.full((4, 5, 3, 3), 100, np.uint8)
    chosen = choose_residuals(header, errors_of(reference, decoded, 1.0), 1.0)
    assert chosen is not None
    assert_same(unpack_residuals(header, pack_residuals(header, *chosen))[1], chosen[1])


def test_none_of_a_view() -> None:
    assert no_residuals(SMALL).levels.shape == (0, 3, 64)


# ------------------------------------------------------------------- files with residuals


@pytest.fixture(scope="module")
def plain(encoded: Any, light_field: LightField) -> Written:
    """A file without residuals."""
    content = without_residuals(encoded.content)
    opened = SanrFile(content)
    quality = measure_quality(light_field.views(), opened.views(), light_field.bit_depth)
    return Written(content, len(content), opened, quality)


def supplemented_for(
    plain: Written, light_field: LightField, **asked: float
) -> tuple[Written, str, list[str]]:
    """With residuals for what is asked for, how that is missed, and warnings."""
    target, lines = target_of(int(np.prod(light_field.shape[:4])), **asked), []
    assert target is not None
    found = supplemented(plain, light_field, 4.0, target, warn=lines.append)
    return found, target.missed(len(found.content), found.quality.mean), lines


@pytest.mark.parametrize("db", [3.0, 10.0])
def test_quality_that_the_scene_lacks(plain: Written, light_field: LightField, db: float) -> None:
    found, missed, (line,) = supplemented_for(plain, light_field, psnr=plain.quality.mean + db)
    assert missed == ""
    paying = supplemented(plain, light_field, 4.0)
    assert f": this fit ends at {paying.quality.mean:.2f} dB and " in line
    assert line.endswith("More steps or a slower preset may need fewer")
    assert found.decoded.n_bytes == len(found.content) > len(plain.content)
    pairs = zip(light_field.views(), SanrFile(found.content).views(), strict=True)
    assert found.quality.mean == pytest.approx(np.mean([psnr_yuv(*pair) for pair in pairs]))


def test_what_is_near_enough_gets_no_dear_residuals(
    plain: Written, light_field: LightField
) -> None:
    paying = supplemented(plain, light_field, 4.0)
    for asked in (
        {"psnr": paying.quality.mean + 0.19},
        {"bpp": 1.029 * paying.decoded.bpp},
        {"max_size": len(paying.content) / 0.952},
    ):
        found, missed, lines = supplemented_for(plain, light_field, **asked)
        assert (found.content, missed, lines) == (paying.content, "", [])


def test_bits_that_the_scene_does_not_use(plain: Written, light_field: LightField) -> None:
    asked = 2 * len(plain.content)
    found, missed, lines = supplemented_for(plain, light_field, max_size=asked)
    assert (missed, lines) == ("", [])
    assert 0.95 * asked < len(found.content) <= asked
    assert found.quality.mean > plain.quality.mean + 1
    bpp = 1.5 * plain.decoded.bpp
    assert supplemented_for(plain, light_field, bpp=bpp)[1] == ""


def test_what_no_residuals_reach(plain: Written, light_field: LightField) -> None:
    found, missed, _ = supplemented_for(plain, light_field, psnr=90.0)
    assert missed.startswith("psnr 90: asked for 90.00 dB, reached ")
    assert found.quality.mean > plain.quality.mean + 10


def test_residuals_have_only_what_a_target_leaves(plain: Written, light_field: LightField) -> None:
    free, *_ = supplemented_for(plain, light_field, max_size=1e6)
    for share in (0.2, 0.6):
        asked = round(len(plain.content) + share * (len(free.content) - len(plain.content)))
        found, *_ = supplemented_for(plain, light_field, max_size=asked)
        assert len(plain.content) < len(found.content) <= asked
    for asked in ({"max_size": len(plain.content)}, {"psnr": plain.quality.mean - 1}):
        assert supplemented_for(plain, light_field, **asked)[0] is plain


def test_an_ended_fit_gets_no_more_than_pays(plain: Written, light_field: LightField) -> None:
    target = target_of(1, psnr=plain.quality.mean + 5)
    paying = supplemented(plain, light_field, 4.0)
    found = supplemented(plain, light_field, 4.0, target, may_cost_more=False)
    assert found.content == paying.content


def test_a_file_whose_quality_is_not_known_stays(plain: Written, light_field: LightField) -> None:
    unknown = plain._replace(quality=plain.quality._replace(mean=float("nan")))
    assert supplemented(unknown, light_field, 0.1) is unknown


def test_a_file_stays_where_memory_is_short(
    plain: Written, light_field: LightField, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(supplemented(plain, light_field, 0.1).content) > len(plain.content)
    monkeypatch.setattr(supplement, "free_bytes", lambda device: 1000)
    assert supplemented(plain, light_field, 0.1) is plain


def test_errors_are_found_once(
    plain: Written, light_field: LightField, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def counted(*arguments: Any) -> BlockErrors:
        found.append(None)
        return find_block_errors(*arguments)

    monkeypatch.setattr(supplement, "find_block_errors", counted)
    supplemented(plain, light_field, 0.1)
    assert len(found) == 9


def test_views_are_decoded_once_for_all_files_that_are_tried(
    plain: Written, light_field: LightField, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = []
    view = SanrFile.view

    def counted(opened: SanrFile, v: int, u: int) -> np.ndarray:
        places.append((v, u))
        return view(opened, v, u)

    monkeypatch.setattr(SanrFile, "view", counted)
    found, *_ = supplemented_for(plain, light_field, psnr=plain.quality.mean + 5)
    assert found is not plain
    assert sorted(places) == list(np.ndindex(light_field.grid))


# ------------------------------------------------------------------- whole encodings


def lagrangian(light_field: LightField, content: bytes, lmbda: float) -> float:
    opened = SanrFile(content)
    levels = [
        psnr_yuv(view, decoded)
        for view, decoded in zip(light_field.views(), opened.views(), strict=True)
    ]
    distortion = 255.0**2 * np.mean(10 ** (-np.array(levels) / 10))
    height, width = opened.shape[2:4]
    return float(distortion + lmbda * 8 * len(content) / (height * width))


@pytest.mark.slow
def test_what_one_view_sees_comes_back(fit: Any) -> None:
    samples = synthetic((3, 3), (32, 48)).samples.copy()
    samples[1, 2, 8:16, 8:20] = 255 - samples[1, 2, 8:16, 8:20]
    result = fit(samples, steps=150, lmbda=4.0)
    opened = sanrcodec.open(result.content)
    assert SectionType.RESIDUALS in opened.sections
    plain = without_residuals(result.content)
    block = np.s_[8:16, 8:20]
    before = psnr_yuv(samples[1, 2][block], SanrFile(plain).view(1, 2)[block])
    after = psnr_yuv(samples[1, 2][block], opened.view(1, 2)[block])
    assert after > before + 6
    light_field = LightField(samples, 8)
    assert lagrangian(light_field, result.content, 4.0) < lagrangian(light_field, plain, 4.0)


@pytest.mark.slow
def test_a_good_fit_has_no_section(fit: Any) -> None:
    """Views of one color, which the scene shows all by itself."""
    result = fit(np.full((2, 2, 32, 32, 3), 90, np.uint8), steps=60, lmbda=50.0)
    assert SectionType.RESIDUALS not in sanrcodec.open(result.content).sections


@pytest.mark.slow
def test_a_largest_size_is_kept(fit: Any) -> None:
    samples = synthetic((3, 3), (32, 48)).samples
    for max_size in (900, 1400):
        result = fit(samples, steps=120, max_size=max_size)
        assert len(result.content) <= max_size
