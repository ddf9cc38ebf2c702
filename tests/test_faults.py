# SPDX-License-Identifier: MIT
"""A fit that went wrong is told, and goes on where that helps."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import assert_ok, sanr, synthetic

from sanrcodec.lightfield import LightField
from sanrcodec.metrics import psnr_yuv
from sanrcodec.presets import PROFILES, Parallax, make_header

torch = pytest.importorskip("torch")
faults = pytest.importorskip("sanrcodec.encoder.faults")
quality = pytest.importorskip("sanrcodec.encoder.quality")
model = pytest.importorskip("sanrcodec.encoder.model")


def half_flat(rng: np.random.Generator) -> np.ndarray:
    """A view that is rough in one corner and smooth elsewhere, uint8 ``[96, 128, 3]``."""
    rows, columns = np.mgrid[:96, :128]
    view = np.repeat((90 + rows / 4 + columns / 8)[..., None], 3, 2)
    view[:16, :32] += rng.normal(0, 40, (16, 32, 1))
    return np.clip(np.rint(view), 0, 255).astype(np.uint8)


def noisy(view: np.ndarray, rng: np.random.Generator, level: float = 2.0) -> np.ndarray:
    return np.clip(np.rint(view + rng.normal(0, level, view.shape)), 0, 255).astype(np.uint8)


def found(view: np.ndarray, decoded: np.ndarray, bit_depth: int = 8) -> Any:
    return quality.fallen_block(view, decoded, bit_depth, psnr_yuv(view, decoded, bit_depth))


def test_error_of_one_size_everywhere_is_no_fallen_block() -> None:
    rng = np.random.default_rng(0)
    view = half_flat(rng)
    assert found(view, noisy(view, rng)) is None
    assert found(view, view) is None
    assert found(view[:15], noisy(view[:15], rng)) is None  # there is no whole block


@pytest.mark.parametrize("color", [(230, 120, 10), (0, 0, 0)])
@pytest.mark.parametrize("bit_depth", [8, 10])
def test_a_block_of_another_color_fell_out(color: tuple[int, ...], bit_depth: int) -> None:
    rng = np.random.default_rng(0)
    view = half_flat(rng)
    decoded = noisy(view, rng)
    decoded[52:60, 82:90] = color  # not even a whole block
    scale = 2 ** (bit_depth - 8)
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    block = found(
        view.astype(dtype) * dtype(scale), decoded.astype(dtype) * dtype(scale), bit_depth
    )
    assert (block.y, block.x) == (48, 80)
    assert block.gap_db > 12


def test_what_a_transform_codec_loses_too_is_no_fault() -> None:
    """Rough blocks are far below a view that is smooth elsewhere, at one step for all of it."""
    rng = np.random.default_rng(0)
    view = half_flat(rng)[..., :1]
    k, n = np.mgrid[:8, :8]
    cosines = np.cos(np.pi * (2 * n + 1) * k / 16) * np.where(k == 0, np.sqrt(1 / 8), 0.5)
    blocks = view.reshape(12, 8, 16, 8, 1).astype(float)
    step = 50
    levels = np.rint(np.einsum("ky,lx,rycxp->rkclp", cosines, cosines, blocks) / step)
    samples = np.einsum("ky,lx,rkclp->rycxp", cosines, cosines, levels * step).reshape(view.shape)
    decoded = np.clip(np.rint(samples), 0, 255).astype(np.uint8)
    rough = psnr_yuv(view[:16, :16], decoded[:16, :16])
    assert psnr_yuv(view, decoded) - rough > 12
    assert found(view, decoded) is None


@pytest.mark.parametrize("shift", [1, 2])
def test_an_outline_that_is_off_by_a_little_is_no_fault(shift: int) -> None:
    """A step of the brightness, in a view that is smooth and good elsewhere."""
    rng = np.random.default_rng(0)
    view = half_flat(rng)
    block = slice(48, 64), slice(48, 64)
    view[block], view[48:64, 56:64] = 80, 170
    decoded = noisy(view, rng, 1.0)
    decoded[48:64, 56 : 56 + shift] = 80
    assert psnr_yuv(view, decoded) - psnr_yuv(view[block], decoded[block]) > 12
    assert psnr_yuv(view[block], decoded[block]) < 30
    assert found(view, decoded) is None


def test_texture_that_is_lost_or_elsewhere_fell_out() -> None:
    rng = np.random.default_rng(0)
    view = half_flat(rng)
    view[48:80, 48:80] = np.clip(128 + 40 * rng.standard_normal((32, 32, 1)), 0, 255)
    decoded = noisy(view, rng, 1.0)
    decoded[64:80, 48:64] = view[64:80, 48:64][::-1]  # as large an error as twice the contrast
    block = found(view, decoded)
    assert (block.y, block.x) == (64, 48)
    decoded[64:80, 48:64] = 128
    decoded[64:66, 48:64] = 0
    assert found(view, decoded) is not None


@pytest.mark.parametrize("instead", [(140, 140, 140), (220, 60, 20)])
def test_a_spot_of_a_rare_color_fell_out(instead: tuple[int, ...]) -> None:
    """No texture hides a wrong color: half the contrast of chroma is enough."""
    rng = np.random.default_rng(0)
    view = half_flat(rng)
    view[52:60, 84:92] = (220, 130, 20)
    decoded = noisy(view, rng, 1.0)
    decoded[52:60, 84:92] = instead
    block = found(view, decoded)
    assert (block.y, block.x) == (48, 80)


def test_faults_in_words() -> None:
    fallen = quality.FallenBlock(16, 32, 13.25)
    views = np.array([100.0, 40.0, 39.0, 40.5, 33.0, 37.0])
    measured = quality.Quality(48.0, 33.0, views, {3: fallen, 5: fallen._replace(gap_db=12.5)})
    first, second = faults.faults_of(measured, (2, 3))
    # Black views that are exact do not count: the median is that of the others.
    assert first.startswith("1 of 6 views is more than 3 dB below the median of 39.00 dB;")
    assert "; the worst is view 1,1 with 33.00 dB." in first
    assert second.startswith("2 of 6 views have a block of 16 x 16 pixels that fell out; the worst")
    assert "at row 16 and column 32 of view 1,0, is 13.2 dB below its view" in second
    assert faults.faults_of(quality.Quality(40.0, 39.0, views[1:4], {}), (1, 3)) == []
    assert faults.faults_of(quality.Quality(math.nan, math.nan, np.empty(0), {}), (2, 3)) == []
    assert faults.faults_of(quality.Quality(100.0, 100.0, np.full(6, 100.0), {}), (2, 3)) == []


@pytest.mark.parametrize("transposed", [False, True])
def test_views_that_move_further_than_the_canvas_holds(transposed: bool) -> None:
    light_field = synthetic((1, 9), (40, 64))
    for extent, n_lines in ((4.0, 0), (5.0, 1)):  # at most a quarter of the longer side
        parallax = Parallax(extent, transposed=transposed)
        header = make_header(light_field, PROFILES["default"], parallax, 16)
        lines = faults.limits_of(extent, header)
        assert len(lines) == n_lines
        assert all(
            "move by 20 pixels, and the canvas has a margin of 17:" in line for line in lines
        )
    flat = make_header(light_field, PROFILES["sanr"], None, 16)
    assert faults.limits_of(0.0, flat) == []


def test_higher_cost_in_words() -> None:
    (line,) = faults.backwards(40.0, 50.0)
    assert "its cost is 25 % higher than it was" in line
    assert faults.backwards(40.0, 43.0) == []
    assert faults.backwards(40.0, 20.0) == []


@pytest.mark.slow
def test_a_fit_that_goes_backwards_is_told(
    fit: Callable[..., Any], light_field: LightField, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, n_calls = model.SceneModel.loss, 0

    def turned(*args: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        value, *rest = loss(*args)
        return (-value if n_calls > 130 else value), *rest

    assert not any("backwards" in line for line in fit(light_field, steps=200).warnings)
    monkeypatch.setattr(model.SceneModel, "loss", turned)
    assert any("the fit went backwards" in line for line in fit(light_field, steps=200).warnings)


@pytest.mark.slow
def test_a_view_that_fell_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Residuals would bring it back.
    monkeypatch.setattr("sanrcodec.encoder.encoding.supplemented", lambda fitted, *_: fitted)
    samples = np.array(synthetic((3, 3), (48, 64)).samples)
    samples[0, 2] = samples[0, 2, ::-1, ::-1]
    np.save(tmp_path / "odd.npy", samples)
    arguments = ["--steps", 100, "--device", "cpu", "--lmbda", 2, "--json"]
    result = sanr("encode", tmp_path / "odd.npy", "-o", tmp_path / "odd.sanr", *arguments)
    told = json.loads(assert_ok(result))["warnings"]
    (line,) = [t for t in told if "below the median" in t]
    assert line.startswith("1 of 9 views is more than 3 dB below the median")
    assert "the worst is view 0,2 with" in line
    assert result.stderr.count(f"Warning: {line}\n") == 1


@pytest.mark.slow
def test_views_in_serpentines_are_told(fit: Callable[..., Any]) -> None:
    samples = np.array(synthetic((3, 5), (48, 64)).samples)
    samples[1] = samples[1, ::-1].copy()
    warnings = fit(LightField(samples, 8), steps=2, preset="fast").warnings
    (line,) = [line for line in warnings if line.startswith("order: ")]
    assert "row by row, every second one backwards" in line
    assert "--order serpentine" in line


@pytest.mark.slow
def test_a_usual_fit_has_no_warnings(fit: Callable[..., Any]) -> None:
    assert fit(synthetic((3, 3), (48, 64)), steps=150, preset="fast").warnings == ()


@pytest.fixture
def diverge_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[set[int]], list[float]]:
    """Spoil the loss of some calls; returns the list of all losses."""

    def replace(calls: set[int]) -> list[float]:
        loss, losses = model.SceneModel.loss, []

        def spoiled(*args: Any) -> Any:
            value, *rest = loss(*args)
            losses.append(float(value.detach()))
            return (value * math.nan if len(losses) in calls else value), *rest

        monkeypatch.setattr(model.SceneModel, "loss", spoiled)
        return losses

    return replace


@pytest.mark.slow
@pytest.mark.parametrize(("calls", "kept"), [({28}, 25), ({3}, 0), ({28, 55}, 25)])
def test_a_fit_that_diverges_goes_on(
    fit: Callable[..., Any],
    light_field: LightField,
    caplog: pytest.LogCaptureFixture,
    diverge_at: Callable[[set[int]], list[float]],
    calls: set[int],
    kept: int,
) -> None:
    losses = diverge_at(calls)
    # So short a fit tries no steps before the first one, which would count among the calls.
    with caplog.at_level(logging.WARNING):
        result = fit(light_field, steps=59)
    assert (result.steps, result.finished) == (59, True)
    assert len(losses) > 59
    assert losses[-1] < 0.5 * losses[0]
    assert any(
        f"from the state after step {kept} with 0.5 of the rates" in w for w in result.warnings
    )
    assert sum("the fit diverged in step" in w for w in result.warnings) == len(calls)
    assert caplog.messages == list(result.warnings)
