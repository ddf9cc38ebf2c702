# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses
import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import synthetic, without_residuals

import sanrcodec
from sanrcodec.bitstream.container import SectionType
from sanrcodec.bitstream.weights import SHIFT_MAX
from sanrcodec.decoder import SanrFile, n_workers
from sanrcodec.errors import LightFieldError
from sanrcodec.io import read_light_field, stored
from sanrcodec.lightfield import LightField, StoredSamples
from sanrcodec.metrics import light_field_psnr_yuv
from sanrcodec.scene.parts import default_weights

torch = pytest.importorskip("torch")

from sanrcodec.encoder.clock import Clock  # noqa: E402

Fit = Callable[..., Any]

FIELDS: dict[str, dict[str, Any]] = {
    "one row": {"grid": (1, 4)},
    "one column": {"grid": (3, 1)},
    "wide grid": {"grid": (2, 5)},
    "single view": {"grid": (1, 1)},
    "odd sizes": {"size": (17, 23)},
    "tiny views": {"grid": (2, 2), "size": (1, 3)},
    "gray": {"channels": 1},
    "10 bit": {"bit_depth": 10},
    "gray 16 bit": {"channels": 1, "bit_depth": 16, "grid": (2, 2)},
}


def views_of(light_field: LightField) -> list[np.ndarray]:
    return list(light_field.samples.reshape(-1, *light_field.shape[2:]))


def check(result: Any, light_field: LightField) -> SanrFile:
    """The file decodes to the shape of the input and to the quality that was reported."""
    opened = sanrcodec.open(result.content)
    assert opened.shape == light_field.shape
    assert opened.bit_depth == light_field.bit_depth
    views = list(opened.views())
    assert all(view.dtype == light_field.samples.dtype for view in views)
    psnr = light_field_psnr_yuv(views_of(light_field), views, light_field.bit_depth)
    assert psnr == pytest.approx((result.psnr_yuv, result.psnr_yuv_min))
    assert result.bpp == pytest.approx(opened.bpp)
    return opened


def check_twin(opened: SanrFile) -> None:
    """The integers, synthesized by torch, give numpy's samples."""
    by_torch = SanrFile(opened.content, device="cpu")
    for v, u in [*np.ndindex(opened.grid), tuple((n - 1) / 3 for n in opened.grid)]:
        np.testing.assert_array_equal(by_torch.view(v, u), opened.view(v, u))


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["default", "sanr"])
def test_round_trip(
    fit: Fit, light_field: LightField, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sanrcodec.encoder import fitting

    # A busy machine's slow steps would be reported as they come.
    monkeypatch.setattr(fitting, "_REPORT_SECONDS", np.inf)
    states = []
    result = fit(light_field, profile=profile, steps=50, progress=states.append)
    opened = check(result, light_field)
    check_twin(opened)
    assert opened.header.layers == (2 if profile == "default" else 0)
    assert SectionType.METADATA not in opened.sections
    assert result.steps == 50
    assert result.device == "cpu"
    assert [(state.step, state.steps) for state in states] == [(n, 50) for n in (10, 25, 50)]


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["default", "sanr"])
@pytest.mark.parametrize("options", FIELDS.values(), ids=list(FIELDS))
def test_shapes(fit: Fit, options: dict[str, Any], profile: str) -> None:
    light_field = synthetic(**options)
    check_twin(check(fit(light_field, profile=profile, steps=12), light_field))


@pytest.mark.slow
@pytest.mark.parametrize("value", [0, 255])
def test_constant_light_field(fit: Fit, value: int) -> None:
    light_field = LightField(np.full((2, 2, 16, 16, 3), value, np.uint8))
    check(fit(light_field, steps=12), light_field)


def test_array_is_a_light_field_of_8_bits(fit: Fit, light_field: LightField) -> None:
    assert SanrFile(fit(light_field.samples, steps=3).content).shape == light_field.shape


@pytest.mark.slow
def test_same_seed_gives_same_bytes(fit: Fit, light_field: LightField) -> None:
    first, again, other = (fit(light_field, steps=30, seed=seed) for seed in (4, 4, 5))
    assert first.content == again.content
    assert first.content != other.content


@pytest.fixture(scope="module")
def fine(fit: Fit, light_field: LightField) -> Any:
    """A fit to which bits are cheap."""
    return fit(light_field, steps=120, lmbda=0.4)


@pytest.mark.slow
def test_estimate_is_close_to_the_file(fine: Any) -> None:
    opened = SanrFile(fine.content)
    payloads = sum(len(opened.sections[s].payload) for s in (2, 3))
    framing = len(fine.content) - payloads
    error = fine.estimated_bytes - len(fine.content)
    assert abs(error) <= 0.04 * len(fine.content) + framing


@pytest.mark.slow
def test_more_steps_give_better_quality(fit: Fit, encoded: Any, light_field: LightField) -> None:
    longer = fit(light_field, steps=200)
    cost = [8 * len(r.content) + 1e4 * 10 ** (-r.psnr_yuv / 10) for r in (encoded, longer)]
    assert longer.psnr_yuv > encoded.psnr_yuv + 1
    assert cost[1] < 1.5 * cost[0]


@pytest.mark.slow
def test_higher_lmbda_gives_a_smaller_file(fit: Fit, fine: Any, light_field: LightField) -> None:
    coarse = fit(light_field, steps=120, lmbda=60.0)
    assert len(coarse.content) < 0.8 * len(fine.content)
    assert coarse.psnr_yuv < fine.psnr_yuv


@pytest.mark.slow
def test_stop_ends_the_fit(fit: Fit, light_field: LightField) -> None:
    answers = iter([False] * 7 + [True])
    result = fit(light_field, steps=10**5, should_stop=lambda: next(answers))
    assert result.steps == 7
    check(result, light_field)


@pytest.mark.slow
def test_time_budget_shortens_the_fit(
    fit: Fit, light_field: LightField, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step takes a twentieth of a second here, however busy the machine is."""
    now, count = [0.0], Clock.count

    def counted(clock: Clock) -> None:
        now[0] += 0.05
        count(clock)

    monkeypatch.setattr("sanrcodec.encoder.clock.monotonic", lambda: now[0])
    monkeypatch.setattr(Clock, "count", counted)
    result = fit(light_field, steps=10**5, time_budget=5.0)
    # Sixteen steps' time is for the search for the weights' steps, 4 % for moves of weights;
    # both take none here.
    assert 80 <= result.steps <= 82
    assert result.finished
    check(result, light_field)


@pytest.mark.slow
def test_views_may_stay_on_disk(
    tmp_path: Path, fit: Fit, light_field: LightField, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "lf.npy", light_field.samples)
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", 0)
    on_disk = read_light_field(tmp_path / "lf.npy")
    assert isinstance(on_disk.samples, stored.FileSamples)
    assert fit(on_disk, steps=12).content == fit(light_field, steps=12).content


@pytest.mark.slow
def test_eight_bits_in_uint16_samples(fit: Fit, light_field: LightField) -> None:
    samples = light_field.samples.astype(np.uint16)
    expected = fit(light_field, steps=2).content
    assert fit(samples, steps=2).content == expected
    assert fit(LightField(samples, 8), steps=2).content == expected
    with pytest.raises(LightFieldError, match=r"must be at least 9: give LightField\(samples, bit"):
        fit(samples + 256, steps=2)
    again = fit(LightField(samples + 256, 10), steps=2).content
    assert SanrFile(fit(SanrFile(again), steps=2).content).bit_depth == 10


@pytest.mark.slow
def test_views_are_read_a_few_at_a_time(fit: Fit, light_field: LightField) -> None:
    class Counted(StoredSamples):
        shape, dtype = light_field.samples.shape, light_field.samples.dtype
        seen: list[weakref.ref[np.ndarray]] = []  # noqa: RUF012
        most = 0

        def __getitem__(self, index: tuple[int, int]) -> np.ndarray:
            view = light_field.view(*index).copy()
            self.seen.append(weakref.ref(view))
            Counted.most = max(Counted.most, sum(held() is not None for held in self.seen))
            return view

    fit(LightField(Counted()), steps=30)
    assert len(Counted.seen) > 60
    assert Counted.most <= n_workers() + 2


def test_metadata(fit: Fit, light_field: LightField) -> None:
    result = fit(light_field, steps=3, seed=9, metadata=True)
    notes = json.loads(SanrFile(result.content).sections[SectionType.METADATA].payload)
    assert notes["seed"] == 9
    assert notes["steps"] == 3
    assert notes["encoder"] == f"sanrcodec {sanrcodec.__version__}"


@pytest.mark.parametrize(
    "options",
    [{"preset": "best"}, {"profile": "best"}, {"lmbda": 0.0}, {"lmbda": float("nan")},
     {"metadata": {"camera": "mine"}}],
    ids=str,
)  # fmt: skip
def test_unusable_options_are_refused(
    fit: Fit, light_field: LightField, options: dict[str, Any]
) -> None:
    with pytest.raises(LightFieldError):
        fit(light_field, **options)


@pytest.mark.slow
def test_untrained_weights_are_told(
    fit: Fit, light_field: LightField, caplog: pytest.LogCaptureFixture
) -> None:
    """What begins at random costs bytes, and nobody would know why."""
    fit(light_field, steps=1)
    assert caplog.messages == []
    fit(synthetic((2, 2), channels=1), steps=1)
    fit(synthetic((1, 1)), steps=1)
    assert caplog.messages == []
    fit(synthetic((2, 2)), steps=1, profile="sanr")
    (message,) = caplog.messages
    assert message.endswith(
        "these tensors begin at random: texture.output.weight, texture.output.bias, "
        "view.hidden0.weight, view.hidden0.bias, view.hidden1.weight, view.output.weight"
    )


def test_unusable_samples_are_refused(fit: Fit) -> None:
    with pytest.raises(LightFieldError):
        fit(np.zeros((3, 3, 8, 8), np.uint8))
    with pytest.raises(LightFieldError):
        fit(np.zeros((1, 1, 8, 8, 3), np.float32))
    with pytest.raises(LightFieldError, match="'views' is a path"):
        fit("views")


def test_the_caller_s_samples_are_left_alone(fit: Fit) -> None:
    light_field = synthetic((2, 2), (16, 16))
    before = light_field.samples.copy()
    light_field.samples.flags.writeable = False
    fit(light_field, steps=6)
    np.testing.assert_array_equal(light_field.samples, before)


@pytest.mark.slow
def test_views_far_below_the_mean_count_for_more(fit: Fit) -> None:
    from sanrcodec.encoder.schedule import DEFAULT_SCHEDULE, Importance

    samples = synthetic((3, 3), (32, 48)).samples.copy()
    samples[0, 0, 8:16, 8:20] = 255 - samples[0, 0, 8:16, 8:20]  # what one view alone sees

    def gap(**options: Any) -> float:
        result = fit(samples, steps=200, lmbda=4.0, **options)
        scene = sanrcodec.open(without_residuals(result.content))
        mean, minimum = light_field_psnr_yuv(samples.reshape(9, 32, 48, 3), scene.views())
        return mean - minimum

    all_alike = dataclasses.replace(DEFAULT_SCHEDULE, importance=Importance(gain=0.0))
    assert gap() < gap(schedule=all_alike) - 1


@pytest.mark.slow
def test_near_is_low_whichever_way_the_views_run(fit: Fit) -> None:
    samples = synthetic((3, 3), (40, 56)).samples
    flags = []
    for views in (samples, samples[::-1, ::-1], samples[:, ::-1]):
        result = fit(views, steps=60)
        flags.append(sanrcodec.open(result.content).header)
        assert result.psnr_yuv > 24
    assert flags[0].axes_reversed != flags[1].axes_reversed
    assert flags[0].mirrored == flags[1].mirrored != flags[2].mirrored


def _plain_search(model: Any, cost: Callable[[], float]) -> list[float]:
    """The search for the weights' steps, with nothing taken over from one trial to the next."""
    step, best = model.weight_vector.step, cost()
    for part in model.weight_vector.slices:
        kept, failures = 1.0, 0
        for shift in range(1, SHIFT_MAX + 1):
            step[part] = 2.0**shift
            found = cost()
            if found < best:
                best, kept, failures = found, 2.0**shift, 0
            elif (failures := failures + 1) == 2:
                break
        step[part] = kept
    steps: list[float] = step.tolist()
    step.fill_(1.0)
    return steps


@pytest.mark.slow
def test_coarser_weights_lower_the_cost() -> None:
    from sanrcodec.encoder.model import SceneModel
    from sanrcodec.presets import PROFILES, Parallax, make_header

    light_field = synthetic((2, 2), (24, 32))
    model = SceneModel(make_header(light_field, PROFILES["default"], Parallax(2.0), 16))
    torch.manual_seed(0)
    model.latents.data.normal_(0, 2)
    model.weights.data.normal_(0, 0.1)
    index, target = torch.tensor([0, 3]), torch.rand(2, 3, 24, 32)

    def cost() -> float:
        return float(model.loss(index, target, torch.round, 8.0)[0].detach())

    before = cost()
    plain = _plain_search(model, cost)
    model.coarsen(index, target, 8.0)
    assert cost() < before
    assert model.weight_vector.step.tolist() == plain
    weights, _ = model.integers()
    defaults = default_weights(model.header)
    steps = set()
    for spec, part in zip(model.weight_vector.specs, model.weight_vector.slices, strict=True):
        (step,) = set(model.weight_vector.step[part].tolist())
        assert ((weights[spec.name] - defaults[spec.name]) % int(step) == 0).all()
        steps.add(step)
    assert len(steps) > 2


def test_shares_of_the_rate_add_up() -> None:
    """Each of several processes estimates the bits of a part of the latents; their mean is all."""
    from sanrcodec.encoder.distributed import Ranks
    from sanrcodec.encoder.model import SceneModel
    from sanrcodec.presets import PROFILES, Parallax, make_header

    header = make_header(synthetic((2, 2), (24, 32)), PROFILES["default"], Parallax(2.0), 16)
    latents = torch.round(3 * torch.randn(SceneModel(header).latents.shape))

    def bits(i: int, n: int) -> tuple[float, torch.Tensor]:
        model = SceneModel(header, ranks=Ranks(i, n))
        x = latents.clone().requires_grad_()
        total = model.latent_bits(x, model.quantized_weights()[0])
        return float(total.detach()), torch.autograd.grad(total, x)[0]

    whole, whole_gradient = bits(0, 1)
    parts, gradients = zip(*(bits(i, 3) for i in range(3)), strict=True)
    assert sum(parts) / 3 == pytest.approx(whole, rel=1e-5)
    torch.testing.assert_close(sum(gradients) / 3, whole_gradient, rtol=1e-4, atol=1e-4)
    assert max(parts) < 1.2 * min(parts)


def test_no_hidden_unit_is_without_gradient() -> None:
    """A closed ReLU would stay closed: those of the default networks go on in every fit."""
    from sanrcodec.encoder.model import SceneModel
    from sanrcodec.presets import PROFILES, Parallax, make_header

    light_field = synthetic((2, 2), (24, 32))
    model = SceneModel(make_header(light_field, PROFILES["default"], Parallax(2.0), 16))
    torch.manual_seed(0)
    model.latents.data.normal_(0, 3)
    target = torch.rand(1, 3, 24, 32)
    loss, _, _ = model.loss(torch.tensor([0]), target, torch.round, 0.0)
    (gradient,) = torch.autograd.grad(loss, model.weights)
    for spec, part in zip(model.weight_vector.specs, model.weight_vector.slices, strict=True):
        if spec.name in ("texture.hidden.bias", "geometry.hidden.bias", "view.hidden0.bias"):
            assert (gradient[part] != 0).all(), spec.name


@pytest.mark.slow
def test_a_fit_that_diverged_still_makes_a_file() -> None:
    """Its rows of weights are scaled down to what 32 bits hold."""
    from sanrcodec.encoder.export import export
    from sanrcodec.encoder.model import SceneModel
    from sanrcodec.presets import PROFILES, Parallax, make_header

    model = SceneModel(make_header(synthetic((2, 2)), PROFILES["default"], Parallax(2.0), 16))
    torch.manual_seed(0)
    model.weights.data.normal_(0, 200)
    weights, _ = model.integers()
    content, opened = export(model, None)
    assert any((opened.weights[name] != values).any() for name, values in weights.items())
    assert sanrcodec.open(content).view(1, 1).shape == (24, 32, 3)
