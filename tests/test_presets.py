# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from conftest import ROOT

from sanrcodec.bitstream.defaults import untrained
from sanrcodec.bitstream.header import FIELD_RANGES, StreamHeader
from sanrcodec.errors import LightFieldError, LimitError
from sanrcodec.lightfield import LightField
from sanrcodec.presets import PRESETS, PROFILES, UNIT_LMBDA, Parallax, gain_of, make_header
from sanrcodec.scene.parts import n_weights, tensor_specs

# Tensors of a profile that begin as pseudo-random numbers: none were trained for them.
UNTRAINED = {
    "default": [],
    "sanr": [
        "texture.output.weight", "texture.output.bias", "view.hidden0.weight", "view.hidden0.bias",
        "view.hidden1.weight", "view.output.weight",
    ],
}  # fmt: skip


def views(grid: tuple[int, int], n_channels: int = 3) -> LightField:
    return LightField(np.zeros((*grid, 40, 60, n_channels), np.uint8), 8)


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("grid", [(1, 1), (1, 2), (2, 1), (3, 3), (9, 17)], ids=str)
@pytest.mark.parametrize("lmbda", [0.01, 8.0, 1e4])
@pytest.mark.parametrize("profile", list(PROFILES))
def test_trained_weights_fit_the_shipped_profiles(
    profile: str, lmbda: float, grid: tuple[int, int], n_channels: int
) -> None:
    parallax = Parallax(1.5, mirrored=True, axes_reversed=True)
    header = make_header(views(grid, n_channels), PROFILES[profile], parallax, gain_of(lmbda))
    assert untrained(tensor_specs(header)) == UNTRAINED[profile]


def test_a_profile_fixes_all_that_the_light_field_does_not() -> None:
    of_light_field = {
        "n_v", "n_u", "height", "width", "channels", "bit_depth", "margin_y", "margin_x",
        "mirrored", "axes_reversed", "transposed", "gain",
    }  # fmt: skip
    for number, profile in enumerate(PROFILES.values()):
        assert profile["profile"] == number
        assert {*profile} == {*FIELD_RANGES} - of_light_field
        header = dataclasses.asdict(make_header(views((2, 3)), profile, Parallax(2.0), 16))
        assert {name: header[name] for name in profile} == profile


def test_header_follows_the_light_field() -> None:
    header = make_header(views((3, 5)), PROFILES["default"], Parallax(2.5, True, True), 20)
    assert (header.n_v, header.n_u, header.height, header.width) == (3, 5, 40, 60)
    assert (header.margin_y, header.margin_x) == (4, 6)  # half the way of the outermost view, and 1
    assert (header.mirrored, header.axes_reversed, header.gain) == (1, 1, 20)
    far = make_header(views((3, 5)), PROFILES["default"], Parallax(100.0), 20)
    assert (far.margin_y, far.margin_x) == (16, 16)  # a quarter of the longer side, and 1
    across = make_header(views((3, 5)), PROFILES["default"], Parallax(2.5, transposed=True), 20)
    assert (across.transposed, across.margin_y, across.margin_x) == (1, 6, 4)
    one = make_header(views((1, 1)), PROFILES["default"], None, 20)
    assert (one.layers, one.per_view, one.margin_y, one.margin_x) == (1, 0, 0, 0)
    flat = make_header(views((3, 5)), PROFILES["sanr"], None, 20)
    assert (flat.layers, flat.margin_y, flat.margin_x) == (0, 0, 0)


def test_pages_tell_how_large_views_and_networks_may_be() -> None:
    readme, model = (
        (ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/model.md")
    )

    def header(preset: str, profile: str) -> StreamHeader:
        return make_header(
            views((3, 3)), PRESETS[preset].model(PROFILES[profile]), Parallax(1.0), 16
        )

    for preset, profile, millions in (("medium", "default", 48), ("fast", "sanr", 63)):
        assert f"{millions} million" in readme
        shape = header(preset, profile)
        fits, is_larger = (
            math.isqrt(m * 10**6) - 2 * shape.margin_y for m in (millions, millions + 1)
        )
        dataclasses.replace(shape, height=fits, width=fits)
        with pytest.raises(LimitError, match="scene of"):
            dataclasses.replace(shape, height=is_larger, width=is_larger)
    assert "about ten thousand weights, less than eight thousand without slopes" in model
    assert 9500 < n_weights(header("medium", "default")) < 10500
    assert n_weights(header("fast", "default")) < 8000


def test_profiles_that_do_not_fit_are_refused() -> None:
    with pytest.raises(LightFieldError, match="2 features for 3 channels"):
        make_header(views((2, 2)), {**PROFILES["default"], "features": 2}, None, 16)
    with pytest.raises(LimitError, match="layers"):
        make_header(views((2, 2)), {**PROFILES["default"], "layers": 9}, None, 16)


def test_gain_is_the_latent_step_in_sixteenths() -> None:
    assert gain_of(UNIT_LMBDA) == 16
    assert gain_of(4 * UNIT_LMBDA) == 32
    assert (gain_of(1e-9), gain_of(1e9)) == (1, 255)


def test_sparse_latents_move_less() -> None:
    preset = PRESETS["medium"]
    assert preset.latent_rate_at(10.0) == preset.latent_rate
    assert preset.latent_rate_at(100.0) == pytest.approx(preset.latent_rate * 0.1**0.15)


def test_fast_has_no_latents_for_slopes() -> None:
    for name, preset in PRESETS.items():
        header = make_header(views((3, 3)), preset.model(PROFILES["default"]), Parallax(2.0), 16)
        assert header.has_slopes == (name != "fast")


@pytest.mark.parametrize(
    ("height", "width", "steps"),
    [
        (1, 1, 2560), (64, 96, 2560), (128, 128, 2560), (128, 160, 2048), (256, 256, 640),
        (434, 625, 640), (2048, 2048, 640),
    ],
)  # fmt: skip
def test_small_views_get_more_steps_of_fast(height: int, width: int, steps: int) -> None:
    assert PRESETS["fast"].steps_for(height, width) == steps
    assert PRESETS["medium"].steps_for(height, width) == PRESETS["medium"].steps


@pytest.mark.parametrize(("asked", "steps"), [(None, 2560), (1, 1), (640, 640), (9000, 9000)])
def test_steps_that_are_asked_for_are_those_of_the_fit(asked: int | None, steps: int) -> None:
    pytest.importorskip("torch")
    from sanrcodec.encoder.options import checked_options

    options = checked_options(
        views((3, 3)), lmbda=None, bpp=None, psnr=None, max_size=None, quality=None, preset="fast",
        profile="default", steps=asked, schedule=None, time_budget=None, seed=0,
    )  # fmt: skip
    assert options.steps == steps
