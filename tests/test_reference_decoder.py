# SPDX-License-Identifier: MIT
"""Two decoders, one of them written from the text alone, agree on every sample."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import reference_decoder as reference
from headers import HEADER
from make_vectors import positions

import sanrcodec
from sanrcodec.bitstream.header import FIELD_RANGES
from sanrcodec.scene.parts import default_weights

FOLDER = Path(__file__).with_name("vectors")
PATHS = sorted(FOLDER.glob("*.sanr"))


@pytest.fixture(scope="module", params=PATHS, ids=lambda path: path.stem)
def pair(request: pytest.FixtureRequest) -> tuple[reference.ReferenceDecoder, sanrcodec.SanrFile]:
    """Both decoders of one vector."""
    return reference.ReferenceDecoder(request.param.read_bytes()), sanrcodec.open(request.param)


@pytest.mark.parametrize("name", ["reference_decoder.py", "reference_range_decoder.py"])
def test_it_is_independent(name: str) -> None:
    tree = ast.parse(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").partition(".")[0])
    assert modules.isdisjoint({"sanrcodec", "constriction", "conftest"})


def test_constants_of_the_text_are_found() -> None:
    ranges = {name: (low, high) for name, low, high in reference.HEADER_FIELDS}
    assert list(ranges.items()) == list(FIELD_RANGES.items())
    assert len(reference.DECAYS) == 40
    # The checks that sections 5.4 and 6.4 give.
    first = reference.untrained_weights(reference.Tensor("first", (6,), 128), 0)
    assert first.tolist() == [43, -43, 76, -124, 4, -102]
    narrow, wide = reference.frequency_table(0, 0), reference.frequency_table(39, 3)
    assert narrow[31:34] == (620, 16775913, 620)
    assert (wide[0], *wide[31:34], wide[65]) == (90645, 179820, 183774, 182825, 8181709)


def test_untrained_defaults_agree() -> None:
    """Of shapes that the default table has not, and no vector either."""
    header = dataclasses.replace(
        HEADER, texture_hidden=24, filter_hidden=5, geometry_hidden=8, arm_hidden=4, view_depth=2
    )
    fields = dataclasses.asdict(header)
    ours, tensors = default_weights(header), reference.all_tensors(fields)
    assert list(ours) == [tensor.name for tensor in tensors]
    for number, tensor in enumerate(tensors):
        expected = reference.default_weights(fields, tensor, number)
        np.testing.assert_array_equal(ours[tensor.name], expected, err_msg=tensor.name)


def test_there_are_vectors() -> None:
    assert PATHS


def test_weights_agree(
    pair: tuple[reference.ReferenceDecoder, sanrcodec.SanrFile],
) -> None:
    expected, opened = pair
    assert list(opened.weights) == list(expected.weights)
    for name, tensor in expected.weights.items():
        np.testing.assert_array_equal(opened.weights[name], tensor, err_msg=name)


def test_latents_agree(
    pair: tuple[reference.ReferenceDecoder, sanrcodec.SanrFile],
) -> None:
    expected, opened = pair
    for (grid, samples), latent in zip(expected.latents.items(), opened.latents, strict=True):
        np.testing.assert_array_equal(latent, samples, err_msg=str(grid))


def test_all_views_agree(
    pair: tuple[reference.ReferenceDecoder, sanrcodec.SanrFile],
) -> None:
    expected, opened = pair
    for v, u in positions(opened.grid)[:-1]:  # the last is no integer one
        np.testing.assert_array_equal(
            opened.view(v, u), expected.view(256 * int(v), 256 * int(u)), err_msg=f"view {v},{u}"
        )


@pytest.mark.parametrize("k", [1, 2, 3])
def test_smaller_views_agree(
    pair: tuple[reference.ReferenceDecoder, sanrcodec.SanrFile], k: int
) -> None:
    whole, opened = pair
    expected = whole.smaller(k)
    n_v, n_u = opened.grid
    for vq, uq in ((0, 0), (256 * (n_v - 1), 0), (100 * (n_v - 1), 200 * (n_u - 1))):
        view = opened.view(vq / 256, uq / 256, scale=0.5**k)
        np.testing.assert_array_equal(view, expected.view(vq, uq), err_msg=f"{vq},{uq}")


def test_a_view_in_between_agrees() -> None:
    path = FOLDER / "default.sanr"
    expected, opened = reference.ReferenceDecoder(path.read_bytes()), sanrcodec.open(path)
    vq, uq = 333, 179  # between rows 1 and 2, columns 0 and 1
    # The corrections by hand: 333 is 77 after row 1, and 256 - 77 = 179, 256 - 179 = 77.
    table = opened.weights["per_view"].reshape(3, 3, 5).astype(np.int64)
    assert table.any()
    total = 179 * 77 * table[1, 0] + 179 * 179 * table[1, 1]
    total += 77 * 77 * table[2, 0] + 77 * 179 * table[2, 1]
    corrections = (total + 32768) >> 16
    assert opened.header.axes_reversed
    gains = opened.weights["view_gain"].reshape(3, 3).astype(np.int64)
    gain = 179 * 77 * gains[1, 0] + 179 * 179 * gains[1, 1]
    gain += 77 * 77 * gains[2, 0] + 77 * 179 * gains[2, 1]
    corrections = np.append(corrections, (gain + 32768) >> 16)
    pose = np.array([256 - 333, 256 - 179, 0, 0, 0, 1024]) + corrections * [1, 1, 1, 1, 4, 1]
    assert expected.pose(vq, uq) == tuple(pose.tolist())

    view = opened.view(vq / 256, uq / 256)
    np.testing.assert_array_equal(view, expected.view(vq, uq))
    assert (view != opened.view(1, 1)).any()
