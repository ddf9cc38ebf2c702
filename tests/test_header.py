# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses

import pytest
from headers import FLAT, HEADER, headers
from hypothesis import given
from hypothesis import strategies as st

from sanrcodec.bitstream.header import FIELD_RANGES, MAX_CANVAS_PIXELS, StreamHeader
from sanrcodec.errors import CorruptSectionError, LimitError, SanrError, TruncatedError


@given(headers())
def test_header_round_trip(header: StreamHeader) -> None:
    assert StreamHeader.unpack(header.pack()) == header


@pytest.mark.parametrize("value", [0, 1])
def test_header_tells_whether_its_axes_are_reversed(value: int) -> None:
    assert dataclasses.replace(HEADER, axes_reversed=value).reversed is bool(value)


@pytest.mark.parametrize("name", FIELD_RANGES)
def test_header_refuses_fields_out_of_range(name: str) -> None:
    low, high = FIELD_RANGES[name]
    for value in (low - 1, high + 1):
        with pytest.raises(LimitError, match=rf"\b{name} is {value}\b"):
            dataclasses.replace(HEADER, **{name: value})


@pytest.mark.parametrize(
    "change",
    [
        {"n_v": 1024},
        {"n_v": 64, "n_u": 65},
        {"channels": 2},
        {"features": 2},
        {"height": 16384, "width": 16384, "margin_y": 1},
        {"geometry_levels": 0},
        {"occluded_first": 7},
        {"view_hidden": 0},
        {"margin_y": 19},
        {"margin_x": 19},
    ],
    ids=str,
)
def test_header_refuses_contradictions(change: dict[str, int]) -> None:
    with pytest.raises(LimitError):
        dataclasses.replace(HEADER, **change)


def test_largest_grids_are_allowed() -> None:
    for n_v, n_u in ((64, 64), (4, 1024), (1024, 4), (1, 1024)):
        assert dataclasses.replace(HEADER, n_v=n_v, n_u=n_u).n_v == n_v


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
