# SPDX-License-Identifier: MIT
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hypothesis_numpy

import sanrcodec
from sanrcodec.lightfield import StoredSamples

VECTOR = Path(__file__).parent / "vectors" / "default.sanr"
OPENED = sanrcodec.open(VECTOR)
WHOLE = np.stack([np.stack([OPENED.view(v, u) for u in range(3)]) for v in range(3)])


def test_numpy_reads_the_file_as_an_array() -> None:
    array = np.asarray(OPENED)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, WHOLE)
    assert np.asarray(OPENED, np.float32).dtype == np.float32
    assert (OPENED.ndim, OPENED.size, len(OPENED)) == (5, WHOLE.size, 3)
    for ours, theirs in zip(OPENED, WHOLE, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@given(hypothesis_numpy.basic_indices(WHOLE.shape, allow_newaxis=False))
@settings(max_examples=60)
def test_basic_indices_are_numpys(index: Any) -> None:
    ours, theirs = OPENED[index], WHOLE[index]
    np.testing.assert_array_equal(ours, theirs)
    assert ours.shape == np.shape(theirs)


def test_only_what_is_asked_for_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, asked = sanrcodec.open(VECTOR), []
    read = opened.view

    def view(v: float, u: float, **options: Any) -> np.ndarray:
        asked.append((v, u, options["region"]))
        return read(v, u, **options)

    monkeypatch.setattr(opened, "view", view)
    assert opened[1, 2, 4:9, 3].shape == (5, 3)
    assert opened[:, 0:0].shape == (3, 0, 24, 32, 3)
    assert opened[::2, -1, 5].shape == (2, 32, 3)
    assert asked == [
        (1, 2, (4, 9, 3, 4)), (0, 2, (5, 6, 0, 32)), (2, 2, (5, 6, 0, 32)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "index",
    [
        3,
        (0, -4),
        (0, 0, 24),
        (0,) * 6,
        (..., ...),
        "a",
        1.0,
        [0, 1],
        (0, None),
        np.array([1, 2]),
        True,
    ],
    ids=repr,
)
def test_other_indices_are_refused(index: Any) -> None:
    with pytest.raises(IndexError):
        OPENED[index]


def test_numbers_of_numpy_are_indices() -> None:
    index: Any = np.int64(1), np.uint8(2)
    np.testing.assert_array_equal(OPENED[index], WHOLE[1, 2])


def test_repr_and_metadata() -> None:
    assert repr(OPENED).startswith(f"<SanrFile {str(VECTOR)!r}: 3 x 3 views of 32 x 24 pixels, RGB")
    assert "\n" not in repr(OPENED)
    assert OPENED.metadata == {}
    noted = sanrcodec.open(VECTOR.with_name("single_view.sanr")).metadata
    assert noted["seed"] == 0


def test_a_light_field_is_an_array(tmp_path: Path) -> None:
    light_field = sanrcodec.LightField(WHOLE)
    assert repr(light_field) == "<LightField: 3 x 3 views of 32 x 24 pixels, RGB, 8 bit>"
    assert np.asarray(light_field) is WHOLE
    assert not np.shares_memory(np.array(light_field), WHOLE)
    assert (light_field.dtype, len(light_field), light_field.ndim) == (np.uint8, 3, 5)
    np.testing.assert_array_equal(light_field[1, ..., ::2, ::-1, 0], WHOLE[1, ..., ::2, ::-1, 0])
    assert np.asarray(light_field, np.float32).dtype == np.float32
    for ours, theirs in zip(light_field, WHOLE, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_stored_light_field_is_an_array() -> None:
    stored = sanrcodec.LightField(Stored())
    np.testing.assert_array_equal(np.asarray(stored), WHOLE)
    np.testing.assert_array_equal(stored[:, 2, 5], WHOLE[:, 2, 5])


def test_dask_decodes_what_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask.array")
    opened, asked = sanrcodec.open(VECTOR), []
    lazy = opened.to_dask()
    assert (lazy.shape, lazy.dtype, lazy.chunksize) == (WHOLE.shape, np.uint8, (1, 1, 24, 32, 3))
    np.testing.assert_array_equal(lazy.compute(), WHOLE)
    read = opened.view
    monkeypatch.setattr(
        opened, "view", lambda v, u, **o: (asked.append((v, u)), read(v, u, **o))[1]
    )
    np.testing.assert_array_equal(lazy[1, 2][::2, [0, 5]].compute(), WHOLE[1, 2][::2, [0, 5]])
    assert set(asked) == {(1, 2)}
    assert float(sanrcodec.LightField(WHOLE).to_dask().mean().compute()) == WHOLE.mean()


def test_dask_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask.array", None)
    with pytest.raises(sanrcodec.LightFieldError, match="to_dask needs dask: pip install"):
        OPENED.to_dask()


class Stored(StoredSamples):
    shape, dtype = WHOLE.shape, WHOLE.dtype

    def __getitem__(self, index: tuple[int, int]) -> np.ndarray:
        return WHOLE[index]
