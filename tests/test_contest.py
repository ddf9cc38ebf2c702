# SPDX-License-Identifier: MIT
"""Where no geometry is found, short fits choose between scenes with and without layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import load_example

import sanrcodec
from sanrcodec.lightfield import LightField

torch = pytest.importorskip("torch")
contest = pytest.importorskip("sanrcodec.encoder.contest")
encoding = pytest.importorskip("sanrcodec.encoder.encoding")
resumable = pytest.importorskip("sanrcodec.encoder.resumable")

Fit = Callable[..., Any]


@pytest.fixture(scope="module")
def shuffled() -> LightField:
    """Views in a random order, of which none is found."""
    views = load_example("synthetic").render((5, 5), (48, 64), 2, (-3, 3))
    order = np.random.default_rng(0).permutation(25)
    return LightField(
        np.ascontiguousarray(views.reshape(25, 48, 64, 3)[order].reshape(views.shape)), 8
    )


def cost(result: Any, light_field: LightField, lmbda: float) -> float:
    height, width = light_field.shape[2:4]
    distortion = 255.0**2 / 10 ** (result.psnr_yuv / 10)
    return float(distortion + lmbda * 8 * len(result.content) / (height * width))


@pytest.mark.slow
def test_the_default_is_never_worse_than_the_profile_without_geometry(
    fit: Fit, shuffled: LightField
) -> None:
    """As files have it: before, such views always had no layers, for a third more of the cost."""
    lines: list[str] = []
    options = {"steps": 240, "preset": "fast", "lmbda": 8.0}
    ours = fit(shuffled, on_geometry=lines.append, **options)
    flat = fit(shuffled, profile="sanr", **options)
    assert (ours.geometry, flat.geometry) == ("not found", "none")
    assert cost(ours, shuffled, 8.0) <= cost(flat, shuffled, 8.0)
    assert lines[0].startswith("parallax: not found; no order of the axes explains the views.")
    assert lines[1].startswith("short fits (50 steps): cost ")
    assert len(lines) == 2


@pytest.mark.slow
@pytest.mark.parametrize("has_layers", [False, True])
def test_the_better_short_fit_decides(
    fit: Fit, shuffled: LightField, monkeypatch: pytest.MonkeyPatch, has_layers: bool
) -> None:
    costs = [20.0, 20.5] if has_layers else [20.5, 20.0]
    remaining = iter(costs)
    monkeypatch.setattr(contest, "_cost", lambda *args: next(remaining))
    lines: list[str] = []
    result = fit(shuffled, steps=3, on_geometry=lines.append)
    assert (sanrcodec.open(result.content).header.layers > 0) == has_layers
    kept = "with" if has_layers else "without"
    told = f"cost {costs[0]} with layers, {costs[1]} without; fitted {kept} layers"
    assert lines[1] == f"short fits (3 steps): {told}"


@pytest.mark.slow
def test_there_is_no_contest_without_doubt(
    fit: Fit, light_field: LightField, shuffled: LightField, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(contest.Contest, "of", refuse)
    assert fit(light_field, steps=1).geometry == "found"
    assert fit(shuffled, steps=1, profile="sanr").geometry == "none"
    one = LightField(np.asarray(shuffled.view(0, 0))[None, None], 8)
    assert fit(one, steps=1).geometry == "none"


@pytest.mark.slow
@pytest.mark.parametrize("has_layers", [False, True])
def test_a_checkpoint_remembers_the_outcome(
    tmp_path: Path,
    fit: Fit,
    shuffled: LightField,
    monkeypatch: pytest.MonkeyPatch,
    has_layers: bool,
) -> None:
    found = contest.Contest(1, 1.0, 2.0) if has_layers else contest.Contest(1, 2.0, 1.0)
    calls: list[int] = []
    monkeypatch.setattr(contest.Contest, "of", lambda *args: calls.append(1) or found)
    whole = fit(shuffled, steps=6)
    stops = iter([False] * 3 + [True] * 100)
    path = tmp_path / "ck"
    ended = fit(shuffled, steps=6, checkpoint=path, should_stop=lambda: next(stops))
    assert not ended.finished
    gone_on = fit(shuffled, steps=6, checkpoint=path)
    assert gone_on.finished
    assert gone_on.content == whole.content
    assert len(calls) == 2


def options_of(light_field: LightField, steps: int | None = None) -> Any:
    from sanrcodec.encoder import options

    return options.checked_options(
        light_field, lmbda=8.0, bpp=None, psnr=None, max_size=None, quality=None, preset="fast",
        profile="default", steps=steps, schedule=None, time_budget=None, seed=0,
    )  # fmt: skip


@pytest.mark.parametrize(("steps", "short"), [(3, 3), (50, 50), (240, 50), (800, 100)])
def test_steps_of_short_fits(
    monkeypatch: pytest.MonkeyPatch, shuffled: LightField, steps: int, short: int
) -> None:
    from sanrcodec.encoder import distributed, exposure
    from sanrcodec.presets import PROFILES

    taken: list[int] = []
    monkeypatch.setattr(contest, "fit", lambda *args, **named: taken.append(named["steps"]))
    whole = options_of(shuffled, steps)
    found = contest.Contest.of(
        shuffled, (PROFILES["default"], PROFILES["sanr"]), exposure.measure_exposure(shuffled),
        whole, torch.device("cpu"), distributed.ALONE, lambda: False,
    )  # fmt: skip
    assert taken == [short] * 2
    assert found.steps == short


def test_black_views_have_no_part_in_the_cost(shuffled: LightField) -> None:
    """They decode exactly, and would hide what the others lose."""
    from sanrcodec.encoder import distributed, exposure
    from sanrcodec.presets import PROFILES

    samples = np.array(shuffled)
    samples[0], samples[4] = 0, 0
    some_black = LightField(samples, 8)
    found = exposure.measure_exposure(some_black)
    assert found.is_black.sum() == 10

    new = torch.device("cpu"), distributed.ALONE
    profile = PROFILES["default"]
    model = contest.new_model(some_black, profile, None, found, options_of(some_black), *new)
    cost = contest._cost(model, some_black, found, 8.0)
    lit = LightField(samples[1:4], 8)
    of_lit = exposure.measure_exposure(lit)
    alone = contest.new_model(lit, profile, None, of_lit, options_of(lit), *new)
    # The gains of black views are all that the file has more, in a fit of 3072 pixels.
    assert cost == pytest.approx(contest._cost(alone, lit, of_lit, 8.0), rel=0.02)


@pytest.mark.parametrize(
    "kept", [None, True, (True,), (1, 2.0), (True, "1"), (False, -1.0), (True, float("nan"))]
)
def test_an_outcome_that_is_none_is_refused(kept: Any) -> None:
    assert resumable.checked_contest((False, 2.5), True) == (False, 2.5)
    assert resumable.checked_contest(None, False) is None
    with pytest.raises(sanrcodec.SanrError, match="checkpoint"):
        resumable.checked_contest(kept, True)
    if kept is not None:
        with pytest.raises(sanrcodec.SanrError, match="checkpoint"):
            resumable.checked_contest(kept, False)


@pytest.mark.slow
def test_the_contest_takes_its_share_of_the_time(
    fit: Fit, shuffled: LightField, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, float | None]] = []
    inner = contest.fit

    def watched(*args: Any, **options: Any) -> Any:
        seen.append((options["steps"], options["time_budget"]))
        return inner(*args, **options)

    monkeypatch.setattr(contest, "fit", watched)
    monkeypatch.setattr(encoding, "fit", watched)
    fit(shuffled, steps=16, time_budget=400.0)
    (*short, whole) = seen
    assert short == [(16, 50.0)] * 2
    assert whole[0] == 16
    assert whole[1] is not None
    assert 250 < whole[1] < 400
