# SPDX-License-Identifier: MIT
"""Numbers of any kind mean what they say, and what is none is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, SupportsFloat, get_type_hints

import numpy as np
import pytest
from conftest import ROOT

import sanrcodec
from sanrcodec.arguments import real
from sanrcodec.errors import LightFieldError
from sanrcodec.lightfield import LightField
from sanrcodec.rendering.refocus import disparity_at

VECTOR = ROOT / "tests" / "vectors" / "default.sanr"  # 3 x 3 views of 24 x 32 pixels
KINDS = (
    np.int8,
    np.uint8,
    np.int16,
    np.uint64,
    np.float16,
    np.float32,
    np.array,
    Fraction,
    Decimal,
)


@pytest.fixture(scope="module")
def opened() -> sanrcodec.SanrFile:
    return sanrcodec.open(VECTOR)


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_any_kind_name_a_view(opened: sanrcodec.SanrFile, kind: Any) -> None:
    two, one = kind(2), kind(1)
    np.testing.assert_array_equal(opened.view(two, one), opened.view(2, 1))
    np.testing.assert_array_equal(opened.disparity(two, one), opened.disparity(2, 1))
    assert opened.offset(two, one) == opened.offset(2, 1)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint64, np.intp])
def test_regions_of_any_whole_numbers(opened: sanrcodec.SanrFile, kind: Any) -> None:
    y0, y1, x0, x1 = (kind(end) for end in (3, 23, 5, 31))
    expected = opened.view(1, 1)[3:23, 5:31]
    for region in ((y0, y1, x0, x1), [y0, y1, x0, x1], np.array([y0, y1, x0, x1])):
        np.testing.assert_array_equal(opened.view(1, 1, region=region), expected)  # type: ignore
    np.testing.assert_array_equal(opened.view(1, 1, region=np.s_[y0:y1, x0:x1]), expected)
    np.testing.assert_array_equal(opened.epi(row=y1, n=kind(2)), opened.epi(row=23, n=2))
    assert disparity_at(opened, y1, x1) == disparity_at(opened, 23, 31)


@pytest.mark.parametrize("bit_depth", [np.uint8(12), np.int8(12)])
def test_bit_depth_of_a_small_type(bit_depth: Any) -> None:
    samples = np.full((1, 1, 4, 4, 3), 4095, np.uint16)
    light_field = LightField(samples, bit_depth)
    assert type(light_field.bit_depth) is int
    with pytest.raises(LightFieldError, match="12 bits hold"):
        LightField(samples + 1, bit_depth)


REFUSED: dict[str, Callable[[sanrcodec.SanrFile, Any], Any]] = {
    "view": lambda f, x: f.view(x, 0),
    "disparity": lambda f, x: f.disparity(0, x),
    "offset": lambda f, x: f.offset(x, 0),
    "refocus": lambda f, x: f.refocus(x),
    "aperture": lambda f, x: f.refocus(0, aperture=[x]),  # type: ignore[arg-type]
    "center": lambda f, x: f.refocus(0, center=(x, 0)),
    "centers": lambda f, x: f.refocus(0, center=x if x is not None else 3),
    "focal stack": lambda f, x: list(f.focal_stack([x])),  # type: ignore[arg-type]
    "limits": lambda f, x: list(f.focal_stack(2, limits=(0, x))),
    "row": lambda f, x: f.epi(row=[x]),
    "n": lambda f, x: f.epi(row=0, n=[x]),  # type: ignore[arg-type]
    "region": lambda f, x: f.view(0, 0, region=(0, x, 0, 4)),
    "regions": lambda f, x: f.view(0, 0, region=x if x is not None else ()),
    "slices": lambda f, x: f.view(0, 0, region=np.s_[0:4, 0:x] if x is not None else np.s_[0:4]),
    "light field": lambda f, x: LightField(f[...]).view(x, 0),
}
ODD = ["1", None, [1], np.array([1, 1, 1]), np.zeros((2, 1)), float("nan"), 1j, 10**400, -(10**400)]


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:12])
def test_what_is_no_number_is_refused_in_one_line(
    opened: sanrcodec.SanrFile, what: str, odd: Any
) -> None:
    with pytest.raises(LightFieldError) as caught:
        REFUSED[what](opened, odd)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("disparity", [float("inf"), float("nan"), 16385, -1e30])
def test_disparities_of_nothing(opened: sanrcodec.SanrFile, disparity: float) -> None:
    with pytest.raises(LightFieldError, match=r"expected -16384\.\.16384 pixels per view"):
        opened.refocus(disparity)
    assert opened.refocus(16384).shape == (24, 32, 3)


def test_a_position_just_outside_is_told_as_it_is(opened: sanrcodec.SanrFile) -> None:
    with pytest.raises(LightFieldError, match=r"view 2\.00000001,0 is outside"):
        opened.view(2.00000001, 0)


def test_numbers_of_torch() -> None:
    torch = pytest.importorskip("torch")
    assert real(torch.tensor(1.5), "v") == 1.5
    with pytest.raises(LightFieldError, match="expected a number"):
        real(torch.tensor([1.5]), "v")


@pytest.mark.parametrize("name", ["view", "disparity", "layer_disparities", "offset", "position"])
def test_type_checkers_take_numbers_of_numpy_for_a_position(name: str) -> None:
    """``float`` would have them refuse numpy.int64, which is a subclass of nothing in Python."""
    hints = get_type_hints(getattr(sanrcodec.SanrFile, name))
    assert hints["v"] is hints["u"] is SupportsFloat
