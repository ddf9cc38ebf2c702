# SPDX-License-Identifier: MIT
"""What is asked of a file: as options, as a target, and as what a fit makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import assert_refused, sanr, synthetic

from sanrcodec.cli.options import parse_size
from sanrcodec.color import RGB_FROM_YCC
from sanrcodec.errors import LightFieldError
from sanrcodec.lightfield import LightField
from sanrcodec.metrics import PSNR_CAP, psnr_yuv
from sanrcodec.presets import psnr_of_quality

torch = pytest.importorskip("torch")

from sanrcodec.encoder.control import RateControl  # noqa: E402
from sanrcodec.encoder.exposure import measure_exposure  # noqa: E402
from sanrcodec.encoder.lags import Lags  # noqa: E402
from sanrcodec.encoder.model import SceneModel  # noqa: E402
from sanrcodec.encoder.outlook import end_gain_db, growth_foreseen, outlook_of  # noqa: E402
from sanrcodec.encoder.probe import Probe  # noqa: E402
from sanrcodec.encoder.quality import Quality  # noqa: E402
from sanrcodec.encoder.schedule import DEFAULT_SCHEDULE, SCHEDULES  # noqa: E402
from sanrcodec.encoder.settle import settle  # noqa: E402
from sanrcodec.encoder.target import Target, target_of  # noqa: E402
from sanrcodec.presets import PROFILES, Parallax, make_header  # noqa: E402


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("20000", 20000), ("50kB", 50000), ("0.5 MB", 500000), ("64KiB", 65536), ("7B", 7)],
)
def test_sizes(text: str, n_bytes: int) -> None:
    assert parse_size(text) == n_bytes


@pytest.mark.parametrize("text", ["", "0", "-5", "5 XB", "1e3", "9GB", "0.0001kB", "nan"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(LightFieldError, match="such as 50kB"):
        parse_size(text)


def test_targets_of_options() -> None:
    assert target_of(1000) is None
    assert target_of(1000, bpp=0.5) == Target("bpp", 0.5, bits=500.0)
    assert target_of(1000, max_size=100) == Target("max_size", 100, bits=800.0, is_limit=True)
    assert target_of(1000, quality=60) == Target("quality", 60, psnr_yuv=40.0)
    assert (psnr_of_quality(1), psnr_of_quality(100)) == (25.25, 50.0)
    with pytest.raises(LightFieldError, match="bpp and psnr contradict each other"):
        target_of(1000, bpp=0.5, psnr=40)
    for wrong in ({"bpp": 0}, {"psnr": math.nan}, {"quality": 0.5}, {"max_size": 2**31}):
        with pytest.raises(LightFieldError, match="expected"):
            target_of(1000, **wrong)


def test_what_is_near_enough() -> None:
    rate = Target("bpp", 0.5, bits=8000.0)
    assert [bool(rate.missed(n, 40.0)) for n in (969, 971, 1029, 1031)] == [
        True,
        False,
        False,
        True,
    ]
    limit = Target("max_size", 1000, bits=8000.0, is_limit=True)
    assert [bool(limit.missed(n, 40.0)) for n in (100, 1000, 1001)] == [False, False, True]
    assert [bool(limit.unused(n)) for n in (949, 950, 1000)] == [True, False, False]
    told = "1000: 400 bytes, 60% are left; this fit found no use for more"
    assert limit.unused(400) == f"max_size {told}"
    assert "99% are left" in limit.unused(1)  # a file is never nothing
    written = target_of(1, max_size=1000, asked_as="--max-size 1kB")
    assert written is not None
    assert written.unused(400) == told.replace("1000", "--max-size 1kB")
    assert rate.unused(100) == "" == Target("psnr", 40, psnr_yuv=40.0).unused(100)
    quality = Target("psnr", 40, psnr_yuv=40.0)
    assert [bool(quality.missed(9, p)) for p in (39.7, 39.9, 40.1, 40.3)] == [
        True, False, False, True,
    ]  # fmt: skip
    assert quality.missed(9, 36.04) == "psnr 40: asked for 40.00 dB, reached 36.04 dB"
    assert rate.missed(1100, 0.0) == "bpp 0.5: asked for 1000 bytes, reached 1100 (+10.0%)"


def test_distance_has_the_sign_of_lmbda() -> None:
    rate, quality = Target("bpp", 1, bits=1000.0), Target("psnr", 40, psnr_yuv=40.0)
    assert rate.distance(1500.0, 0.0) > 0 > rate.distance(700.0, 0.0)
    assert quality.distance(0.0, 42.0) > 0 > quality.distance(0.0, 38.0)
    small, large = (Target("bpp", 1, bits=bits).guess(10**6, 25) for bits in (4e4, 9e4))
    assert 20 > small > large > 0.3


def test_a_probe_measures_samples_as_the_decoder_gives_them() -> None:
    light_field = synthetic((2, 2), (24, 32))
    samples = np.stack(list(light_field.views())).reshape(light_field.shape)
    header = make_header(light_field, PROFILES["default"], Parallax(1.0), 16)
    model_ = SceneModel(header)
    with torch.no_grad():
        weights, _ = model_.quantized_weights()
        scene = model_.scene(model_.rounded_latents(), weights)
        views = [model_.views(scene, weights, torch.tensor([n]))[0] for n in range(4)]
    levels, exact = [], np.zeros_like(samples)
    for number, planes in enumerate(views):
        rgb = planes.permute(1, 2, 0).double().numpy() @ np.array(RGB_FROM_YCC).T
        decoded = np.round(255 * rgb.clip(0, 1)).astype(np.uint8)
        exact[divmod(number, 2)] = decoded
        levels.append(psnr_yuv(samples[divmod(number, 2)], decoded))
    assert Probe(model_, light_field, 100).psnr_yuv() == pytest.approx(np.mean(levels), abs=1e-3)
    assert Probe(model_, LightField(exact, 8), 100).psnr_yuv() == PSNR_CAP


def test_latents_follow_while_their_rate_is_high() -> None:
    lags = Lags(DEFAULT_SCHEDULE, 0.95)
    assert lags.between(0.0, 0.3) == pytest.approx(0.3 / 40, rel=0.2)
    assert lags.between(0.2, 0.7) == pytest.approx(lags.between(0.2, 0.5) + lags.between(0.5, 0.7))
    assert 0 < 20 * lags.between(0.9, 0.95) < lags.between(0.0, 0.05)
    # Of smaller views they follow at rates that fall, and rise again with the next size.
    fast = Lags(SCHEDULES["fast"], 0.95)
    assert fast.between(0.72, 0.74) > 1.3 * fast.between(0.69, 0.71)


def test_outlooks_end_where_fits_do() -> None:
    for after_smaller in (False, True):
        end = outlook_of(0, after_smaller, 1.0, 1000, 8.0, 10**5)
        assert end.growth == 1
        assert 0.5 < end.left < 0.8
        assert -0.1 < end.gain_db < 0.1
        assert end.gain_db < end_gain_db(after_smaller)
        begin = outlook_of(0, after_smaller, 0.1, 1000, 8.0, 10**5)
        assert begin.gain_db > 0.5
        assert begin.left < end.left
    # Latents of whole views move ever less: with half the steps most of it has happened.
    begin, middle, end = (outlook_of(0, True, p, 1000, 60.0, 10**5).growth for p in (0, 0.5, 1))
    assert begin < middle < end
    assert middle / begin > 2 * end / middle - 1
    growths = [outlook_of(level, level < 2, 0.5, 1000, 8.0, 10**5).growth for level in range(3)]
    assert growths == sorted(growths)
    assert outlook_of(2, False, 0.5, 1000, 0.5, 10**5).growth > 1.5 * growths[2]
    # Where few pixels pay for the networks, these lose more.
    large, small = (outlook_of(1, True, 0.5, 1000, 8.0, n) for n in (10**5, 10**3))
    assert large._replace(left=small.left) == small
    assert small.left < 0.9 * large.left
    assert 1.3 < growth_foreseen(1.3, 8.0) < growth_foreseen(1.3, 1.0) < 1.6


LIMIT = Target("max_size", 10000, bits=8e4, is_limit=True)


class Corrections:
    """A control whose corrections lead to files that are known before."""

    def __init__(self, target: Target, files: list[tuple[int, float]]) -> None:
        self.target, self.files = target, files
        self.n_measured = 0
        self.told: list[int] = []  # bits more than the file has

    def correct(self, bits: float, psnr_yuv: float) -> bool:
        self.told.append(int(bits) - 8 * self.files[0][0])
        del self.files[0]
        return True

    def write(self) -> Any:
        n_bytes, psnr = self.files[0]
        return bytes(n_bytes), n_bytes, psnr

    def measure(self, psnr: Any) -> Quality:
        self.n_measured += 1
        return Quality(psnr, psnr, np.array([psnr]), {})


@pytest.mark.parametrize(
    ("target", "files", "chosen", "n_measured"),
    [
        (Target("psnr", 40, psnr_yuv=40.0), [(9, 40.1)], 0, 1),
        (Target("psnr", 40, psnr_yuv=40.0), [(9, 40.6), (8, 40.1)], 1, 2),
        (Target("psnr", 40, psnr_yuv=40.0), [(9, 39.7), (10, 39.9)], 1, 2),
        # One that went too far is not kept.
        (Target("psnr", 40, psnr_yuv=40.0), [(9, 40.3), (8, 39.5)], 0, 2),
        (Target("bpp", 1, bits=8e4), [(12000, 40.0), (10100, 39.0)], 1, 1),
        (Target("bpp", 1, bits=8e4), [(10500, 40.0), (8000, 39.0)], 0, 1),
        # Bits are given back as long as that brings it nearer, but not those that were taken.
        (Target("bpp", 1, bits=8e4), [(9600, 40.0), (9760, 40.0)], 1, 1),
        (Target("bpp", 1, bits=8e4), [(9600, 40.0), (10500, 40.0)], 0, 1),
        (Target("bpp", 1, bits=8e4), [(9400, 40.0), (9770, 40.0)], 1, 1),
        (LIMIT, [(9400, 40.0), (9560, 40.0)], 1, 1),
        (LIMIT, [(9300, 40.0), (9400, 40.0), (9600, 40.0)], 2, 1),
        (LIMIT, [(9400, 40.0), (10050, 40.0), (9980, 39.0)], 2, 1),
        # For a limit any that is small enough is better than one that is not.
        (LIMIT, [(10300, 40.0), (6000, 36.0)], 1, 1),
        (LIMIT, [(12000, 40.0), (11000, 39.0), (9900, 38.0)], 2, 1),
        (LIMIT, [(10300, 40.0), (10350, 39.0), (9900, 38.0)], 2, 1),
    ],
)
def test_of_corrected_files_the_nearest_is_kept(
    target: Target, files: list[tuple[int, float]], chosen: int, n_measured: int
) -> None:
    control = Corrections(target, list(files))
    written = settle(control, control.write, control.measure)  # type: ignore[arg-type]
    assert (len(written.content), written.quality.mean) == files[chosen]
    assert control.n_measured == n_measured


@pytest.mark.parametrize(
    ("target", "files", "told"),
    [
        (LIMIT, [(12000, 40.0), (11000, 39.0), (10500, 38.0), (9900, 38.0)], [0, 32, 128]),
        (LIMIT, [(9000, 40.0), (9200, 40.0), (9300, 40.0), (9600, 40.0)], [0, -32, -128]),
        # One that was too small, and then is too large.
        (LIMIT, [(9400, 40.0), (10050, 40.0), (9900, 39.0)], [0, 32]),
        (Target("bpp", 1, bits=8e4), [(9400, 40.0), (9600, 40.0), (9900, 40.0)], [0, -32]),
        # The last one is not corrected: nobody would look at what comes of it.
        (Target("psnr", 40, psnr_yuv=40.0), [(9, 39.0), (9, 39.1), (9, 39.2)], [0, -32]),
    ],
)
def test_each_correction_asks_for_more_than_the_last(
    target: Target, files: list[tuple[int, float]], told: list[int]
) -> None:
    """A file that is too large is told as larger than it is, one that is too small as smaller."""
    control = Corrections(target, list(files))
    settle(control, control.write, control.measure)  # type: ignore[arg-type]
    assert control.told == told


def test_control_follows_what_it_sees(model: tuple[SceneModel, LightField]) -> None:
    model_, light_field = model
    bits = Probe(model_, light_field, 2).bits()
    for factor, sign in ((0.2, 1), (5.0, -1)):
        control = RateControl(
            Target("bpp", 1, bits=factor * bits), model_, light_field, 8.0, DEFAULT_SCHEDULE
        )
        for done in range(1, 31):
            control.look(done, 100)
        # Early in a fit lmbda does not fall below a quarter of its start.
        assert float(control.lmbda) > 12 if sign > 0 else 1.9 < float(control.lmbda) < 6
    kept = control.state()[0].clone()
    control.look(99, 100)  # too late to have an effect
    assert torch.equal(kept, control.lmbda)


@pytest.mark.parametrize("level", [1, 2])
def test_control_looks_at_smaller_views(model: tuple[SceneModel, LightField], level: int) -> None:
    """Of a quarter and half the size it expects what whole views will add."""
    model_, light_field = model
    schedule = SCHEDULES["fast"]
    begin, end = schedule.span(level)
    try:
        model_.set_level(level)
        bits = Probe(model_, light_field, 2).bits()
        for factor, sign in ((0.2, 1), (20.0, -1)):
            target = Target("bpp", 1, bits=factor * bits)
            control = RateControl(target, model_, light_field, 8.0, schedule)
            for done in range(int(200 * begin), int(200 * end)):
                control.look(done + 1, 200)
            lowest = 1.9 if level == 2 else 0.29
            assert float(control.lmbda) > 12 if sign > 0 else lowest < float(control.lmbda) < 6
    finally:
        model_.set_level(0)


def test_control_learns_how_little_comes_of_lmbda(model: tuple[SceneModel, LightField]) -> None:
    """Where the bits stay, it is moved up to twice as far, but not at the first size."""
    model_, light_field = model
    schedule, planned = SCHEDULES["fast"], 4000
    target = Target("bpp", 1, bits=1.2 * Probe(model_, light_field, 2).bits())

    def distances(*levels: int) -> list[float]:
        """At each look of the last size, without what the schedule takes back."""
        control = RateControl(target, model_, light_field, 60.0, schedule)
        for level in levels:
            found = []
            begin, end = (int(planned * progress) for progress in schedule.span(level))
            model_.set_level(level)
            for done in range(begin, begin + (end - begin) // 2):
                control.look(done + 1, planned)
                if float(control.state()[6]) == level:
                    found.append(float(control.state()[4] - control.state()[2]))
        return found

    try:
        quarter, whole, later = distances(2), distances(0), distances(1, 0)
    finally:
        model_.set_level(0)
    assert whole[0] < -0.2
    assert 1.5 * whole[0] > min(whole) > 2.3 * whole[0]
    assert later[0] < 1.3 * whole[0]  # it knows that from half the size
    assert min(quarter) > 1.4 * quarter[0]


def test_black_views_count_as_they_decode() -> None:
    """They are not looked at, and their PSNR is known."""
    samples = np.array(synthetic((3, 4), (24, 32)))
    samples[0, 0], samples[2, 3] = 0, 0
    samples[2, 3, 5, 6] = 1  # nearly black
    light_field = LightField(samples, 8)
    exposure = measure_exposure(light_field)
    assert exposure.is_dead.sum() == 2
    header = make_header(light_field, PROFILES["default"], Parallax(1.0), 16)
    model_ = SceneModel(header)
    lit = Probe(model_, light_field, 100, exposure)
    assert sorted(lit.index) == [n for n in range(12) if n not in (0, 11)]
    of_lit = (lit.psnr_yuv() * 12 - PSNR_CAP - psnr_yuv(samples[2, 3], 0 * samples[2, 3])) / 10
    assert 5 < of_lit < 40
    assert lit.lit_psnr_yuv() == pytest.approx(of_lit)
    assert not {0, 11} & set(Probe(model_, light_field, 6, exposure).index)
    every = Probe(model_, light_field, 100)
    assert len(every.index) == 12
    assert every.psnr_yuv() < lit.psnr_yuv()  # an unfitted model does not show black


def test_control_keeps_near_its_start_for_a_while(model: tuple[SceneModel, LightField]) -> None:
    model_, light_field = model
    bits = Probe(model_, light_field, 2).bits()
    found = []
    for factor in (0.01, 100.0):
        target = Target("bpp", 1, bits=factor * bits)
        control = RateControl(target, model_, light_field, 8.0, DEFAULT_SCHEDULE)
        for done in range(1, 950):
            control.look(done, 1000)
            if done == 300:
                found.append(float(control.lmbda))
        found.append(float(control.lmbda))
    assert found[0] == pytest.approx(32.0, rel=1e-3)
    assert found[1] > 200
    assert found[2] == pytest.approx(2.0, rel=1e-3)
    assert found[3] < 1


def test_control_learns_how_whole_views_differ(model: tuple[SceneModel, LightField]) -> None:
    model_, light_field = model
    schedule, planned = SCHEDULES["fast"], 100
    control = RateControl(Target("bpp", 1, bits=1e4), model_, light_field, 8.0, schedule)
    probe = Probe(model_, light_field, 2)
    asked = []

    @contextmanager
    def ahead() -> Iterator[Callable[[int], None]]:
        """Takes back all that a fit knows, its control's numbers among it."""
        kept = [tensor.clone() for tensor in control.state()]
        model_.set_level(0)
        yield asked.append
        model_.set_level(1)
        for tensor, before in zip(control.state(), kept, strict=True):
            tensor.copy_(before)

    try:
        model_.set_level(1)
        (done,) = [k for k in range(1, planned) if control.foresees(k, planned)]
        assert schedule.span(1)[0] < done / planned < schedule.span(1)[1]
        small = probe.parts()[0]
        before = float(control.lmbda)
        control.foresee(ahead)
        assert (float(control.lmbda), model_.level, sum(asked)) == (before, 1, 12)
        # The latents of whole views count now, which were there all along here.
        growth = control.state()[8]
        model_.set_level(0)
        assert growth == pytest.approx(probe.parts()[0] / small)
        assert control.state()[6] == -1  # the next look begins anew
        assert not control.foresees(done, planned)
        model_.set_level(1)
        control.target = Target("psnr", 40, psnr_yuv=40.0)
        assert not control.foresees(done, planned)
    finally:
        model_.set_level(0)


def test_less_is_near_enough_when_the_latents_come_to_rest() -> None:
    rate, quality = Target("bpp", 1, bits=1000.0), Target("psnr", 40, psnr_yuv=40.0)
    limit = Target("max_size", 125, bits=1000.0, is_limit=True)
    assert [rate.exceeds(1010, 0.0, slack) for slack in (1.0, 0.3)] == [False, True]
    assert [rate.falls_short(985, 0.0, slack) for slack in (1.0, 0.3)] == [False, True]
    assert [limit.exceeds(990, 0.0, slack) for slack in (1.0, 0.3)] == [False, True]
    assert [quality.exceeds(0.0, 40.1, slack) for slack in (1.0, 0.3)] == [False, True]
    assert [quality.falls_short(0.0, 39.9, slack) for slack in (1.0, 0.3)] == [False, True]


def test_options_contradict_each_other(tmp_path: Path, mosaic: Path) -> None:
    result = sanr("encode", mosaic, "-o", tmp_path / "x.sanr", "--bpp", 1, "--lmbda", 8)
    assert_refused(result, 2, "--lmbda and --bpp contradict each other")
    result = sanr("encode", mosaic, "-o", tmp_path / "x.sanr", "--max-size", "5 parsec")
    assert_refused(result, 2, "expected one such as 50kB")


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{"bpp": 0.6}, {"psnr": 31.0}, {"max_size": 600}])
def test_what_is_asked_for_is_got(
    fit: Callable[..., Any], light_field: LightField, asked: dict[str, Any]
) -> None:
    result = fit(light_field, steps=300, preset="fast", **asked)
    assert result.missed == ""
    assert result.lmbda > 0
    if "max_size" in asked:
        assert 0.95 * 600 <= len(result.content) <= 600
    if "bpp" in asked:
        assert result.bpp == pytest.approx(0.6, rel=0.03)
    if "psnr" in asked:
        assert result.psnr_yuv == pytest.approx(31.0, abs=0.2)


@pytest.mark.slow
def test_what_cannot_be_reached_is_told(
    fit: Callable[..., Any], tmp_path: Path, mosaic: Path, light_field: LightField
) -> None:
    result = fit(light_field, steps=12, psnr=70)
    assert result.missed.startswith("psnr 70: asked for 70.00 dB, reached ")
    again = fit(light_field, steps=12, psnr=70)
    assert again.content == result.content
    told = sanr(
        "encode", mosaic, "-o", tmp_path / "x.sanr", "--psnr", 60, "--steps", 6, "--device", "cpu"
    )
    assert told.exit_code == 4
    assert "Warning: --psnr 60: asked for 60.00 dB, reached " in told.stderr
    assert (tmp_path / "x.sanr").is_file()
