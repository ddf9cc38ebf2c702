# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from headers import FLAT, HEADER, headers
from hypothesis import given, settings

from sanrcodec.bitstream.defaults import trained_weights, untrained
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.errors import LimitError
from sanrcodec.scene.color_filter import REACH
from sanrcodec.scene.parts import (
    bounded_weights,
    check_weights,
    default_weights,
    mac_per_pixel,
    n_weights,
    tensor_specs,
)


@settings(max_examples=25)
@given(headers())
def test_tensor_specs_of_any_header(header: StreamHeader) -> None:
    specs = tensor_specs(header)
    defaults = default_weights(header)
    assert list(defaults) == [spec.name for spec in specs]
    assert n_weights(header) == sum(default.size for default in defaults.values())
    for spec, default in zip(specs, defaults.values(), strict=True):
        assert default.shape == spec.shape
        assert default.dtype == np.int32


def test_default_weights_are_frozen() -> None:
    """They are part of the format: a change here makes every older file unreadable."""
    header = dataclasses.replace(
        HEADER, texture_hidden=40, geometry_hidden=16, arm_hidden=20, filter_hidden=9
    )
    defaults = default_weights(header)
    weight = defaults["texture.hidden.weight"]
    assert weight.ravel()[:5].tolist() == [43, -43, 76, -124, 4]
    assert defaults["color_filter.hidden.weight"].ravel()[:5].tolist() == [15, -13, 8, -9, -1]
    assert defaults["geometry.output.weight"].ravel()[:5].tolist() == [-3, -10, -3, 9, 23]
    assert defaults["arm.texture.hidden"].ravel()[:5].tolist() == [-26, 27, -10, -26, 25]
    deep = default_weights(dataclasses.replace(HEADER, occluded_first=0, texture_levels=8))
    assert deep["arm.texture.grid_bias"].tolist() == 16 * [[0, 512]]
    assert np.abs(weight).max() <= 128
    assert abs(weight.mean()) < 20
    assert len(np.unique(weight)) > 60


def test_smaller_tensors_begin_as_leading_blocks() -> None:
    header = dataclasses.replace(
        FLAT, channels=1, texture_hidden=20, filter_hidden=5, arm_hidden=3, spatial=0
    )
    table, defaults = trained_weights(), default_weights(header)
    changed = ("attention.weight", "hidden.weight", "output.weight")
    for name, default in defaults.items():
        block = table[name][tuple(slice(n) for n in default.shape)]
        if not name.startswith("texture.") or not name.endswith(changed):  # those have a gain
            np.testing.assert_array_equal(default, block, err_msg=name)
    assert defaults["color_filter.linear"].shape == (1, 7, 3, 3)
    assert untrained(tensor_specs(header)) == []
    wider = dataclasses.replace(header, view_hidden=13)
    names = "view.hidden0.weight", "view.hidden0.bias", "view.output.weight"
    assert untrained(tensor_specs(wider)) == [*names]


def test_rows_that_add_up_to_too_much_are_scaled_down() -> None:
    random = np.random.default_rng(1)
    for header in (HEADER, FLAT, dataclasses.replace(HEADER, filter_hidden=0, attention=1)):
        defaults = default_weights(header)
        check_weights(header, defaults)
        assert all(np.array_equal(bounded_weights(header, defaults)[k], defaults[k])
                   for k in defaults)  # fmt: skip
        weights = {
            name: default + random.integers(-32767, 32768, default.shape).astype(np.int32)
            for name, default in defaults.items()
        }
        with pytest.raises(LimitError, match="add up to"):
            check_weights(header, weights)
        kept = {name: values.copy() for name, values in weights.items()}
        bounded = bounded_weights(header, weights)
        check_weights(header, bounded)
        assert all(np.array_equal(weights[name], kept[name]) for name in weights)
        for name in weights:
            assert np.abs(bounded[name] - defaults[name]).max() <= 32767
            if name.startswith(("arm.", "per_view")) or name.endswith("bias"):
                assert bounded[name] is weights[name]


@pytest.mark.parametrize(
    "name",
    [
        "texture.attention.weight", "texture.hidden.weight", "texture.output.weight",
        "color_filter.linear", "color_filter.hidden.weight", "color_filter.output",
        "geometry.attention.weight", "geometry.hidden.weight", "geometry.output.weight",
        "view.hidden0.weight", "view.hidden1.weight", "view.output.weight",
    ],
)  # fmt: skip
def test_every_layer_after_entropy_decoding_has_its_limit(name: str) -> None:
    header = dataclasses.replace(HEADER, attention=1, view_depth=2)
    weights = {name: np.zeros_like(values) for name, values in default_weights(header).items()}
    over = 65538 if name.startswith(("color", "view")) else 32769
    last = weights[name].reshape(len(weights[name]), -1)[-1]
    last[0], last[-1] = 32760 if over > 40000 else 5, 0
    check_weights(header, weights)
    last[-1] = int(last[0]) - over + 1
    check_weights(header, weights)
    last[-1] -= 1
    with pytest.raises(LimitError, match=f"{len(weights[name]) - 1} add up to {over}, allowed"):
        check_weights(header, weights)


def test_trained_weights_follow_the_gain() -> None:
    header = dataclasses.replace(HEADER, texture_hidden=32, attention=1)
    table = trained_weights()
    for gain in (1, 16, 40):
        defaults = default_weights(dataclasses.replace(header, gain=gain))
        for name in ("texture.attention", "texture.hidden", "geometry.hidden"):
            expected = (table[f"{name}.weight"] * gain + 8) >> 4
            np.testing.assert_array_equal(defaults[f"{name}.weight"], expected)
            np.testing.assert_array_equal(defaults[f"{name}.bias"], table[f"{name}.bias"])
        # Behind the latents the inputs are hidden units, which no step scales.
        name, k = "texture.output.weight", header.texture_levels
        np.testing.assert_array_equal(defaults[name][:, k:], table[name][:, k:])
        np.testing.assert_array_equal(defaults[name][:, :k], (table[name][:, :k] * gain + 8) >> 4)
        for name in ("arm.texture.hidden", "color_filter.output", "view.hidden0.weight"):
            np.testing.assert_array_equal(defaults[name], table[name])


def test_trained_weights_stay_small() -> None:
    """format_spec.md section 7.4 bounds every sum from these magnitudes."""
    gained = ("attention.weight", "hidden.weight", "output.weight")
    for name, values in trained_weights().items():
        limit = 1023 if name.endswith(gained) else 16384
        assert np.abs(values).max() <= limit, name


def test_complexity_sums_up() -> None:
    cost = mac_per_pixel(HEADER)
    assert cost["scene_per_canvas_pixel"] == pytest.approx(sum(cost["scene"].values()))
    assert cost["view_per_pixel"] == pytest.approx(sum(cost["view"].values()))
    ratio = (59 * 76) / (49 * 70)
    scene = cost["scene_per_canvas_pixel"] * ratio
    assert cost["single_view_per_pixel"] == pytest.approx(scene + cost["view_per_pixel"])
    assert cost["total_per_pixel"] == pytest.approx(scene / 45 + cost["view_per_pixel"])
    # By hand: (7 features, 1 visibility) in front, 7 behind, four taps; four disparity steps.
    assert cost["view"]["sampling"] == 4 * 21 + 16
    assert cost["view"]["mlp"] == (7 + 4) * 12 + 12 * 3
    n_taps = (2 * REACH + 1) ** 2
    trunk = 7 * 24 + (7 + 24) * 7
    assert cost["scene"]["trunks"] == 2 * trunk + 6 * 12 + (6 + 12) * 3 + 2 * 5 * 3
    assert cost["scene"]["filter"] == 2 * n_taps * (3 * 7 + 8 * 7 + 3 * 8)


def test_complexity_without_geometry() -> None:
    cost = mac_per_pixel(FLAT)
    assert cost["scene"]["doubling"] == cost["view"]["sampling"] == cost["view"]["compositing"] == 0
    assert cost["view"]["mlp"] > 0
