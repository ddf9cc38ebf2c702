# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sanrcodec import modelspec
from sanrcodec.complexity import mac_per_pixel, n_weights
from sanrcodec.errors import CorruptSectionError, LimitError, SanrError, TruncatedError
from sanrcodec.header import FIELD_RANGES, MAX_CANVAS_PIXELS, StreamHeader
from sanrcodec.modelspec import GEOMETRY, N_CONTEXT, PAD, grids, n_latents, passes, tensor_specs

HEADER = StreamHeader(
    n_v=9, n_u=5, height=49, width=70, channels=3, bit_depth=10, layers=2, margin_y=5, margin_x=3,
    mirrored=1, reversed=0, gain=16, texture_levels=7, occluded_first=1, texture_hidden=24,
    features=7, color_filter=1, filter_hidden=8, attention=0,
    geometry_first=1, geometry_levels=6, geometry_hidden=12, view_depth=1, view_hidden=12,
    spatial=1, arm_hidden=16, per_view=1, profile=0,
)  # fmt: skip
FLAT = dataclasses.replace(
    HEADER, layers=0, margin_y=0, margin_x=0, attention=1, geometry_first=0, geometry_levels=0,
    geometry_hidden=0, per_view=0,
)  # fmt: skip


@st.composite
def headers(draw: st.DrawFn) -> StreamHeader:
    values = {name: draw(st.integers(*limits)) for name, limits in FIELD_RANGES.items()}
    values["channels"] = draw(st.sampled_from([1, 3]))
    try:
        return StreamHeader(**values)
    except LimitError:
        assume(False)
        raise


shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))


# ------------------------------------------------------------------- coding order


@given(shapes)
def test_every_sample_is_in_exactly_one_pass(shape: tuple[int, int]) -> None:
    n_passes = np.zeros(shape, int)
    for p in passes(shape):
        rows = n_passes[p.y0 :: p.stride, p.x0 :: p.stride]
        assert rows.size
        rows += 1
    assert (n_passes == 1).all()


@given(shapes)
def test_context_holds_decoded_samples_only(shape: tuple[int, int]) -> None:
    """Samples not yet decoded are marked; none of the marks may appear in a context."""
    undecoded = 7
    padded = np.zeros((shape[0] + 2 * PAD, shape[1] + 2 * PAD), np.int32)
    inner = padded[PAD : PAD + shape[0], PAD : PAD + shape[1]]
    inner[...] = undecoded
    for p in passes(shape):
        samples = inner[p.y0 :: p.stride, p.x0 :: p.stride]
        assert (samples == undecoded).all()
        columns = modelspec.neighbour_context(padded, shape, p)
        assert [column is not None for column in columns] == list(p.known)
        for column in columns:
            if column is not None:
                assert column.shape == samples.shape
                assert not (column == undecoded).any()
        samples[...] = 1


@pytest.mark.parametrize("header", [HEADER, FLAT], ids=["default", "sanr"])
def test_cross_scale_context_holds_decoded_grids_only(header: StreamHeader) -> None:
    values: list[np.ndarray] = []
    for number, grid in enumerate(grids(header)):
        assert grid.index == number
        for other in (grid.parent, grid.grandparent, grid.cross):
            assert other is None or other < number
        columns = modelspec.cross_scale_context(values, grid)
        assert len(columns) == N_CONTEXT - len(modelspec._OFFSETS)
        for column in columns:
            assert column is None or column.shape == grid.shape
        values.append(np.full(grid.shape, number))
        others = [grid.parent] * 3 + [grid.grandparent, grid.cross]
        for column, other in zip(columns, others, strict=True):
            assert (column is None) == (other is None)
            assert column is None or (column == other).all()


def test_cross_scale_context_is_co_located() -> None:
    header = dataclasses.replace(FLAT, height=13, width=11, texture_levels=3)
    values: list[np.ndarray] = []
    for grid in grids(header):
        y, x = np.indices(grid.shape)
        columns = modelspec.cross_scale_context(values, grid)
        if columns[0] is not None:
            assert (columns[0] == (y // 2) * 100 + x // 2).all()
            side = np.clip(x // 2 + np.where(x % 2, 1, -1), 0, values[-1].shape[1] - 1)
            assert columns[2] is not None
            assert (columns[2] == (y // 2) * 100 + side).all()
        if columns[3] is not None:
            assert (columns[3] == (y // 4) * 100 + x // 4).all()
        values.append(y * 100 + x)


def test_grids_go_from_coarse_to_fine() -> None:
    found = grids(HEADER)
    levels = [grid.level for grid in found]
    assert levels == sorted(levels, reverse=True)
    assert len({(grid.group, grid.level) for grid in found}) == len(found)
    by_group = {g: [grid.level for grid in found if grid.group == g] for g in (GEOMETRY, 0, 1)}
    assert by_group == {
        GEOMETRY: [6, 5, 4, 3, 2, 1],
        0: [6, 5, 4, 3, 2, 1, 0],
        1: [6, 5, 4, 3, 2, 1],
    }
    assert found[-1].shape == HEADER.canvas == (59, 76)
    for grid in found:
        assert grid.shape == tuple(-(-n // 2**grid.level) for n in HEADER.canvas)


# ------------------------------------------------------------------- tensors


@settings(max_examples=25, deadline=None)
@given(headers())
def test_tensor_specs_of_any_header(header: StreamHeader) -> None:
    specs = tensor_specs(header)
    assert len({spec.name for spec in specs}) == len(specs)
    for spec in specs:
        assert spec.default.shape == spec.shape
        assert spec.default.dtype == np.int32


def test_default_weights_are_frozen() -> None:
    """They are part of the format: a change here makes every older file unreadable."""
    header = dataclasses.replace(
        HEADER, texture_hidden=24, geometry_hidden=8, arm_hidden=4, filter_hidden=5
    )
    defaults = {spec.name: spec.default for spec in tensor_specs(header)}
    weight = defaults["texture.hidden.weight"]
    assert weight.ravel()[:5].tolist() == [43, -43, 76, -124, 4]
    assert defaults["color_filter.hidden.weight"].ravel()[:5].tolist() == [15, -13, 8, -9, -1]
    assert defaults["geometry.output.weight"].ravel()[:5].tolist() == [-3, -10, -3, 9, 23]
    assert defaults["arm.texture.hidden"].ravel()[:5].tolist() == [5, 2, -6, -7, 21]
    without_geometry = {spec.name: spec.default for spec in tensor_specs(FLAT)}
    assert without_geometry["arm.texture.grid_bias"][1].tolist() == [0, 512]
    assert np.abs(weight).max() <= 128
    assert abs(weight.mean()) < 20
    assert len(np.unique(weight)) > 60


def test_trained_weights_follow_the_gain() -> None:
    header = dataclasses.replace(HEADER, texture_hidden=32, attention=1)
    table = modelspec._trained()
    for gain in (1, 16, 40):
        specs = tensor_specs(dataclasses.replace(header, gain=gain))
        defaults = {spec.name: spec.default for spec in specs}
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
    for name, values in modelspec._trained().items():
        limit = 1023 if name.endswith(gained) else 16384
        assert np.abs(values).max() <= limit, name


@pytest.mark.parametrize("header", [HEADER, FLAT], ids=["default", "sanr"])
def test_counts_agree_with_the_specs(header: StreamHeader) -> None:
    assert n_weights(header) == sum(spec.default.size for spec in tensor_specs(header))
    assert n_latents(header) == sum(h * w for h, w in (grid.shape for grid in grids(header)))


def test_complexity_sums_up() -> None:
    cost = mac_per_pixel(HEADER)
    assert cost["scene_per_canvas_pixel"] == pytest.approx(sum(cost["scene"].values()))
    assert cost["view_per_pixel"] == pytest.approx(sum(cost["view"].values()))
    ratio = (59 * 76) / (49 * 70)
    scene = cost["scene_per_canvas_pixel"] * ratio
    assert cost["single_view_per_pixel"] == pytest.approx(scene + cost["view_per_pixel"])
    assert cost["total_per_pixel"] == pytest.approx(scene / 45 + cost["view_per_pixel"])
    # By hand: (7 features, 1 visibility) in front, 7 behind, four taps; four disparity steps.
    assert cost["view"]["sampling"] == 4 * 15 + 16
    assert cost["view"]["mlp"] == (7 + 4) * 12 + 12 * 3
    trunk = 7 * 24 + (7 + 24) * 7
    assert cost["scene"]["trunks"] == 2 * trunk + 6 * 12 + (6 + 12) * 3
    assert cost["scene"]["filter"] == 2 * 9 * (3 * 7 + 8 * 7 + 3 * 8)


def test_complexity_without_geometry() -> None:
    cost = mac_per_pixel(FLAT)
    assert cost["scene"]["doubling"] == cost["view"]["sampling"] == cost["view"]["compositing"] == 0
    assert cost["view"]["mlp"] > 0


# ------------------------------------------------------------------- header


@given(headers())
def test_header_round_trip(header: StreamHeader) -> None:
    assert StreamHeader.unpack(header.pack()) == header


@pytest.mark.parametrize("name", FIELD_RANGES)
def test_header_refuses_fields_out_of_range(name: str) -> None:
    low, high = FIELD_RANGES[name]
    for value in (low - 1, high + 1):
        with pytest.raises(LimitError, match=rf"\b{name} is {value}\b"):
            dataclasses.replace(HEADER, **{name: value})


@pytest.mark.parametrize(
    "change",
    [
        {"channels": 2},
        {"features": 2},
        {"height": 16384, "width": 16384, "margin_y": 1},
        {"geometry_levels": 0},
        {"occluded_first": 7},
        {"view_hidden": 0},
        {"margin_y": 19},
        {"margin_x": 19},
    ],
    ids=lambda change: next(iter(change)),
)
def test_header_refuses_contradictions(change: dict[str, int]) -> None:
    with pytest.raises(LimitError):
        dataclasses.replace(HEADER, **change)


def test_largest_canvas_is_allowed() -> None:
    flat = dataclasses.replace(FLAT, height=16384, width=16384, features=3)
    assert flat.canvas[0] * flat.canvas[1] == MAX_CANVAS_PIXELS


def test_header_ends_where_it_says() -> None:
    payload = HEADER.pack()
    for n in range(len(payload)):
        with pytest.raises(TruncatedError):
            StreamHeader.unpack(payload[:n])
    with pytest.raises(CorruptSectionError, match="1 bytes after"):
        StreamHeader.unpack(payload + b"\0")


@pytest.mark.parametrize("varint", [b"\x89\x00", b"\x89\x80\x00", b"\x80\x80\x80\x80\x80\x01"])
def test_header_refuses_long_varints(varint: bytes) -> None:
    with pytest.raises(CorruptSectionError, match="n_v"):
        StreamHeader.unpack(varint + HEADER.pack()[1:])


@given(st.binary(max_size=60))
def test_header_of_noise_raises_our_errors_only(payload: bytes) -> None:
    try:
        header = StreamHeader.unpack(payload)
    except SanrError:
        return
    assert header.pack() == payload
