# SPDX-License-Identifier: MIT
"""Dark and black views: what is measured, and that they do not spoil the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import load_example

import sanrcodec
from sanrcodec.lightfield import LightField
from sanrcodec.metrics import light_field_psnr_yuv
from sanrcodec.presets import PROFILES, Parallax, make_header

torch = pytest.importorskip("torch")
exposure = pytest.importorskip("sanrcodec.encoder.exposure")


@pytest.fixture(scope="module")
def views() -> np.ndarray:
    made: np.ndarray = load_example("synthetic").render((5, 5), (48, 64), 2, (-0.8, 0.6))
    return made


@pytest.mark.parametrize("n_dead", [0, 4, 24])
def test_measured(views: np.ndarray, n_dead: int) -> None:
    views = views.copy()
    views[0, 1] = (views[0, 1] * 0.3).astype(np.uint8)
    order = [(4, 4), (4, 0), (0, 4), (0, 0), *((v, u) for v in range(5) for u in range(5))]
    dead = list(dict.fromkeys(p for p in order if p != (0, 1)))[:n_dead]
    for place in dead:
        views[place] = 0
    measured = exposure.measure_exposure(LightField(views, 8))
    assert sorted(zip(*np.nonzero(measured.is_dead), strict=True)) == sorted(dead)
    assert bool(measured.is_dark[0, 1]) == (n_dead < 24)
    if n_dead < 24:
        assert measured.gain[0, 1] == pytest.approx(0.3, rel=0.15)


def test_nothing_but_black_is_not_dead() -> None:
    black = np.zeros((2, 2, 8, 8, 1), np.uint8)
    measured = exposure.measure_exposure(LightField(black, 8))
    assert not measured.is_dead.any()
    assert not measured.has_light
    black[1, 0, 3, 4] = 1
    assert exposure.measure_exposure(LightField(black, 8)).has_light


@pytest.mark.parametrize(("channels", "bit_depth"), [(3, 8), (1, 8), (1, 12)])
def test_noise_beyond_what_is_usual(views: np.ndarray, channels: int, bit_depth: int) -> None:
    """White noise of known variance, which black pixels do not count for."""
    random = np.random.default_rng(0)
    unit = 1 << (bit_depth - 8)
    clean = np.clip(views[..., :1] // 2 + 60.0, 0, 200) * unit
    noise = random.normal(0, 2 * unit, clean.shape)
    noise[0, 3] *= 3
    noise[4, 1] *= 1.1  # what texture may do, too
    noisy = np.repeat(np.rint(clean + noise), channels, -1)
    noisy[3, 3, ::6, ::6] = 0
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    measured = exposure.measure_exposure(LightField(noisy.astype(dtype), bit_depth))
    found = measured.excess_noise
    assert np.argwhere(found > 1).tolist() == [[0, 3]]
    assert 5 < found[0, 3] < 9  # texture is taken for noise of all
    assert found.min() == 1
    assert 3.5 * unit**2 < measured.noise[1, 1] < 7 * unit**2


def test_noise_of_alike_views_is_usual(views: np.ndarray) -> None:
    # Not even where there is none, or no room to see it.
    for samples in (views, 0 * views + 9, views[..., :2, :2, :], np.zeros_like(views)):
        measured = exposure.measure_exposure(LightField(np.ascontiguousarray(samples), 8))
        assert (measured.excess_noise == 1).all()
    assert (exposure.Exposure(np.ones((2, 3))).excess_noise == np.ones((2, 3))).all()


def test_start_and_rest_of_gains(views: np.ndarray) -> None:
    from sanrcodec.encoder.gains import held_gains, start_gains
    from sanrcodec.encoder.model import SceneModel

    header = make_header(LightField(views, 8), PROFILES["default"], Parallax(1.0), 16)
    model = SceneModel(header)
    gain = np.ones((5, 5))
    gain[0, 0], gain[4, 2], gain[1, 1] = 0.0, 0.25, 1.1
    measured = exposure.Exposure(gain)
    start_gains(model, measured)
    started = model.integers()[0]["view_gain"].reshape(5, 5)
    assert (started[0, 0], started[4, 2], started[1, 1]) == (-1024, -768, 0)
    held = held_gains(model, measured)
    assert held is not None
    assert int(held.sum()) == 1
    assert held_gains(model, exposure.Exposure(np.ones((5, 5)))) is None


@pytest.mark.slow
def test_nothing_but_black_is_said(tmp_path: Path, fit: Callable[..., Any]) -> None:
    """A wrong file, or a wrong part of one, gives black views; their geometry is none to fit."""
    black = LightField(np.zeros((3, 3, 16, 16, 3), np.uint8), 8)
    lines: list[str] = []
    stops = iter([False] * 2 + [True] * 100)
    options = {"steps": 4, "checkpoint": tmp_path / "ck"}
    fit(black, on_geometry=lines.append, should_stop=lambda: next(stops), **options)
    (line,) = lines
    assert line.endswith("+0.00 pixels per view; too little to tell how the camera moves")
    result = fit(black, **options)
    assert result.finished
    assert result.warnings[0].startswith("all views are black; look with sanr inspect whether")
    assert not [line for line in result.warnings[1:] if "black" in line]


@pytest.mark.slow
def test_dark_views_are_said_before_a_fit(fit: Callable[..., Any], views: np.ndarray) -> None:
    dark = views.copy()
    dark[0, 1], dark[4, 4] = 0, dark[4, 4] // 4
    lines: list[str] = []
    fit(LightField(dark, 8), steps=2, on_geometry=lines.append)
    said = "exposure: of 25 views, 1 is black and 1 is less than half as bright as the others, the"
    assert lines[0].startswith(f"{said} first at 0,1")
    assert lines[1].startswith("parallax: ")


@pytest.mark.slow
def test_black_views_do_not_spoil_the_others(fit: Callable[..., Any], views: np.ndarray) -> None:
    """As good as without them, at about the same size, and black stays black."""
    black = views.copy()
    corners = [(v, u) for v in (0, 4) for u in (0, 4)]
    for corner in corners:
        black[corner] = 0
    good = [(v, u) for v in range(5) for u in range(5) if (v, u) not in corners]

    def quality(samples: np.ndarray) -> tuple[float, int]:
        # Shorter fits differ by more than half a decibel by chance.
        result = fit(LightField(samples, 8), steps=300, preset="fast")
        opened = sanrcodec.open(result.content)
        decoded = [opened.view(*place) for place in good]
        for corner in corners if samples is black else []:
            assert not opened.view(*corner).any()
        mean, _ = light_field_psnr_yuv((samples[place] for place in good), iter(decoded), 8)
        return mean, len(result.content)

    psnr, size = quality(views)
    psnr_black, size_black = quality(black)
    assert psnr_black > psnr - 0.5
    assert size_black < 1.1 * size


@pytest.mark.slow
def test_exposure_of_a_view_is_corrected(fit: Callable[..., Any], views: np.ndarray) -> None:
    gain = np.random.default_rng(3).uniform(0.8, 1.2, (5, 5, 1, 1, 1))
    lit = np.clip(views * 0.8 * gain, 0, 255).astype(np.uint8)
    result = fit(LightField(lit, 8), steps=300, preset="fast", lmbda=2.0)
    found = sanrcodec.open(result.content).weights["view_gain"].ravel() / 1024
    assert np.corrcoef(found, gain.ravel())[0, 1] > 0.9
