# SPDX-License-Identifier: MIT
"""How a fitted model is brought to its target: single latents, and the steps of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest

from sanrcodec.lightfield import LightField

torch = pytest.importorskip("torch")

from sanrcodec.encoder.correction import Correction  # noqa: E402
from sanrcodec.encoder.model import SceneModel  # noqa: E402
from sanrcodec.encoder.probe import Probe  # noqa: E402
from sanrcodec.encoder.step_moves import move_steps  # noqa: E402
from sanrcodec.encoder.target import Target  # noqa: E402
from sanrcodec.encoder.trim import drop_finest, trim  # noqa: E402

_LMBDA = 2000.0  # at which most steps of random weights are coarse, and latents are most bits


def test_savings_are_those_of_one_move(model: tuple[SceneModel, LightField]) -> None:
    model_, light_field = model
    probe = Probe(model_, light_field, 2)
    latents = model_.rounded_latents()
    with torch.no_grad():
        weights, _ = model_.quantized_weights()
    step, saved = model_.rate.moves(latents, weights)
    places = torch.nonzero(step).flatten()[:: max(1, len(latents) // 40)]
    measured = []
    for place in places:
        moved = latents.clone()
        moved[place] += step[place]
        measured.append(probe.bits(latents) - probe.bits(moved))
    expected = saved[places].numpy()
    assert np.corrcoef(expected, measured)[0, 1] > 0.5
    best = np.argsort(expected)[-len(places) // 4 :]
    assert np.mean(np.array(measured)[best]) > 0.7 * np.mean(expected[best]) > 0.5


def test_trim_moves_latents_until_it_fits(
    model: tuple[SceneModel, LightField],
) -> None:
    model_, light_field = model
    probe, before = Probe(model_, light_field, 2), model_.rounded_latents()
    wanted = 0.9 * probe.bits()
    kept = model_.latents.detach().clone()
    assert trim(model_, probe, lambda x: probe.bits(x) <= wanted)
    after = model_.rounded_latents()
    assert 0.98 * wanted <= probe.bits() <= wanted
    assert ((after - before).abs() <= 24).all()
    assert 0 < int((after != before).sum()) < len(after) // 2
    assert not trim(model_, probe, lambda x: False)
    assert probe.bits() < wanted
    with torch.no_grad():
        model_.latents.copy_(kept)


def test_a_limit_is_kept_at_any_price(model: tuple[SceneModel, LightField]) -> None:
    """The finest latents go where nothing else saves bits."""
    model_, light_field = model
    probe, before = Probe(model_, light_field, 2), model_.rounded_latents()
    few = 0.3 * probe.bits()
    kept = model_.latents.detach().clone()
    drop_finest(model_, lambda x: probe.bits(x) <= few)
    after = model_.rounded_latents()
    assert 0.97 * few <= probe.bits() <= few
    n_kept = int((after != 0).nonzero().max()) + 1
    assert torch.equal(after[:n_kept], before[:n_kept])
    with torch.no_grad():
        model_.latents.copy_(kept)


class Searched(NamedTuple):
    """A model with weights whose steps have been searched."""

    model: SceneModel
    probe: Probe
    bits: float

    def correct(self, target: Target, bits: float | None = None) -> bool:
        correction = Correction(target, self.model, self.probe, torch.tensor(_LMBDA))
        return correction.run(self.bits if bits is None else bits, 0.0, 1.0)


@pytest.fixture(scope="module")
def search(model: tuple[SceneModel, LightField]) -> tuple[Searched, list]:
    """The search, and the state after it."""
    model_, light_field = model
    probe = Probe(model_, light_field, 2)
    with torch.no_grad():
        model_.weights.normal_(std=0.1, generator=torch.Generator().manual_seed(2))
    model_.coarsen(*probe.views(), _LMBDA)
    state = [model_.weight_vector.step, model_.weights.detach(), model_.latents.detach()]
    found = Searched(model_, probe, probe.bits()), [part.clone() for part in state]
    model_.weight_vector.step.fill_(1.0)
    model_.weights.data.zero_()
    return found


@pytest.fixture
def searched(search: tuple[Searched, list]) -> Iterator[Searched]:
    found, (step, weights, latents) = search
    model = found.model
    model.weight_vector.step.copy_(step)
    model.weights.data.copy_(weights)
    yield found
    model.weight_vector.step.fill_(1.0)
    model.weights.data.zero_()
    model.latents.data.copy_(latents)


def test_a_file_near_enough_is_left_alone(searched: Searched) -> None:
    step, latents = searched.model.weight_vector.step.clone(), searched.model.rounded_latents()
    assert not searched.correct(Target("bpp", 1, bits=0.99 * searched.bits))
    assert torch.equal(searched.model.weight_vector.step, step)
    assert torch.equal(searched.model.rounded_latents(), latents)


def test_a_file_that_is_too_small_gets_finer_steps(searched: Searched) -> None:
    step, latents = searched.model.weight_vector.step.clone(), searched.model.rounded_latents()
    wanted = 1.03 * searched.bits
    assert searched.correct(Target("bpp", 1, bits=wanted))
    assert (searched.model.weight_vector.step <= step).all()
    assert 0.976 * wanted < searched.probe.bits() < 1.024 * wanted
    assert torch.equal(searched.model.rounded_latents(), latents)


def test_a_file_that_is_too_large_gets_coarser_steps(searched: Searched) -> None:
    step, latents = searched.model.weight_vector.step.clone(), searched.model.rounded_latents()
    wanted = 0.97 * searched.bits
    assert searched.correct(Target("bpp", 1, bits=wanted))
    assert (searched.model.weight_vector.step >= step).all()
    assert searched.probe.bits() <= 1.024 * wanted
    assert torch.equal(searched.model.rounded_latents(), latents)


def test_a_file_that_is_too_large_for_steps_loses_latents(searched: Searched) -> None:
    step, latents = searched.model.weight_vector.step.clone(), searched.model.rounded_latents()
    wanted = 0.8 * searched.bits
    assert searched.correct(Target("bpp", 1, bits=wanted))
    assert (searched.model.weight_vector.step >= step).all()
    assert wanted < searched.probe.bits() <= 1.024 * wanted
    moved = int((searched.model.rounded_latents() != latents).sum())
    assert 0 < moved < len(latents) // 4


def test_a_file_that_lacks_much_is_not_filled(searched: Searched) -> None:
    model, probe = searched.model, searched.probe
    psnr = probe.psnr_yuv()
    wanted = 3 * searched.bits
    searched.correct(Target("max_size", wanted / 8, bits=wanted, is_limit=True))
    price = _LMBDA / (model.header.height * model.header.width)
    gained = 255**2 * (10 ** (-psnr / 10) - 10 ** (-probe.psnr_yuv() / 10))
    assert gained >= 0.1 * price * (probe.bits() - searched.bits)


@pytest.mark.parametrize("missing_db", [-0.5, 0.5])
def test_quality_is_met_by_steps(searched: Searched, missing_db: float) -> None:
    """If a file has too little of it, only as long as that is cheap."""
    model, probe = searched.model, searched.probe
    step, psnr = model.weight_vector.step.clone(), probe.psnr_yuv()
    target = Target("psnr", 30, psnr_yuv=psnr + missing_db)
    correction = Correction(target, model, probe, torch.tensor(_LMBDA))
    changed = correction.run(0.0, psnr, 1.0)
    finer, coarser = model.weight_vector.step < step, model.weight_vector.step > step
    if missing_db < 0:
        assert changed
        assert not finer.any()
        assert -0.17 < probe.psnr_yuv() - target.psnr_yuv < 0.17
    else:
        assert not coarser.any()
        assert changed == bool(finer.any())


@pytest.mark.parametrize("finer", [True, False])
def test_single_steps_are_changed_as_long_as_they_are_cheap(
    searched: Searched, finer: bool
) -> None:
    model, probe = searched.model, searched.probe
    step = model.weight_vector.step.clone()

    def move(most: float, *, suffices: bool = False, is_too_far: bool = False) -> bool:
        return move_steps(
            model, probe, finer=finer, most=most,
            suffices=lambda: suffices, is_too_far=lambda: is_too_far,
        )  # fmt: skip

    assert not move(math.inf, suffices=True)
    assert not move(-math.inf)
    assert not move(math.inf, is_too_far=True)
    assert torch.equal(model.weight_vector.step, step)
    bits, psnr = probe.bits(), probe.psnr_yuv()
    # What no latent's and no sample's value changes with is free of charge.
    assert move(0.0)
    assert (model.weight_vector.step <= step).all() == finer
    assert (probe.bits() > bits) == finer
    assert probe.psnr_yuv() > psnr - 0.1
    cheap = model.weight_vector.step.clone()
    assert move(math.inf)
    changed = model.weight_vector.step != cheap
    assert changed.any()
    assert (model.weight_vector.step[changed] < cheap[changed]).all() == finer


def test_what_the_file_has_is_believed(searched: Searched) -> None:
    """A file that is 5 % larger than the model expects must lose these, too."""
    wanted = 0.97 * searched.bits
    target = Target("max_size", wanted / 8, bits=wanted, is_limit=True)
    assert searched.correct(target, bits=1.05 * searched.bits)
    assert 0.98 * wanted < 1.05 * searched.probe.bits() <= wanted
