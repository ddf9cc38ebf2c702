# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sanrcodec
from sanrcodec import container
from sanrcodec.container import SectionType
from sanrcodec.decoder import SanrFile
from sanrcodec.errors import LightFieldError, SanrError
from sanrcodec.header import FIELD_RANGES, StreamHeader


def decode_all(content: bytes) -> None:
    for _ in SanrFile(content).views():
        pass


def rebuilt(content: bytes, **payloads: bytes) -> bytes:
    """The file with other payloads and right checksums."""
    sections = container.unpack(content)
    return container.pack(
        (s.type, payloads.get(SectionType(s.type).name, s.payload)) for s in sections.values()
    )


# ------------------------------------------------------------------- views


def test_properties(encoded: Any) -> None:
    opened = sanrcodec.open(encoded.content)
    assert opened.grid == (3, 3)
    assert opened.shape == (3, 3, 24, 32, 3)
    assert opened.bit_depth == 8
    assert opened.dtype == np.uint8
    assert opened.n_bytes == len(encoded.content)
    assert opened.format_version == container.VERSION
    assert opened.bpp == pytest.approx(8 * len(encoded.content) / (9 * 24 * 32))


def test_opening_decodes_nothing(content: bytes) -> None:
    opened = SanrFile(content)
    assert not {"weights", "latents", "scene"} & set(vars(opened))


def test_sources_are_equal(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lf.sanr"
    path.write_bytes(content)
    with open(path, "rb") as stream:
        files = [SanrFile(s) for s in (path, str(path), stream, io.BytesIO(content), content)]
    assert [file.name for file in files] == [str(path)] * 3 + ["<stream>", "<bytes>"]
    views = [file.view(1, 1) for file in files]
    for view in views[1:]:
        np.testing.assert_array_equal(view, views[0])


def test_views_are_in_order(content: bytes) -> None:
    opened = SanrFile(content)
    views = list(opened.views())
    assert len(views) == 9
    for i, view in enumerate(views):
        assert view.shape == (24, 32, 3)
        assert view.dtype == np.uint8
        np.testing.assert_array_equal(view, opened.view(*divmod(i, 3)))
    assert any((view != views[0]).any() for view in views)


def test_a_view_does_not_depend_on_earlier_ones(content: bytes) -> None:
    used = SanrFile(content)
    for _ in used.views():
        pass
    np.testing.assert_array_equal(used.view(2, 0), SanrFile(content).view(2, 0))


REGIONS = [(0, 24, 0, 32), (0, 1, 0, 1), (23, 24, 31, 32), (3, 17, 5, 6), (7, 8, 0, 32)]


@pytest.mark.parametrize("region", REGIONS, ids=str)
@pytest.mark.parametrize("position", [(0, 2), (1.5, 0.25)], ids=str)
def test_region_is_a_crop(
    content: bytes, region: tuple[int, int, int, int], position: tuple[float, float]
) -> None:
    opened = SanrFile(content)
    y0, y1, x0, x1 = region
    whole = opened.view(*position)
    np.testing.assert_array_equal(
        opened.view(*position, region=region), whole[y0:y1, x0:x1], strict=True
    )


def test_blocks_of_rows_do_not_show(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SanrFile(content).view(2, 1)
    monkeypatch.setattr("sanrcodec.fixedpoint.NumpyOps.block_pixels", 100)
    np.testing.assert_array_equal(SanrFile(content).view(2, 1), whole)


@pytest.mark.parametrize(
    "region",
    [(0, 0, 0, 1), (0, 1, 5, 5), (-1, 3, 0, 1), (0, 25, 0, 1), (0, 1, 0, 33), (9, 3, 0, 1)],
)
def test_region_outside_is_refused(content: bytes, region: tuple[int, int, int, int]) -> None:
    with pytest.raises(LightFieldError, match="region"):
        SanrFile(content).view(0, 0, region=region)


@pytest.mark.parametrize("position", [(3, 0), (0, 3), (-1, 0), (2.01, 0), (float("nan"), 0)])
def test_view_outside_is_refused(content: bytes, position: tuple[float, float]) -> None:
    with pytest.raises(LightFieldError, match=r"3 x 3 views: v runs 0\.\.2, u runs 0\.\.2"):
        SanrFile(content).view(*position)


def test_fractional_views(content: bytes) -> None:
    opened = SanrFile(content)
    np.testing.assert_array_equal(opened.view(2.0, 1.0), opened.view(2, 1))
    # Positions are known to 1/256.
    np.testing.assert_array_equal(opened.view(1 + 1e-4, 1), opened.view(1, 1))
    between = opened.view(0.5, 1.75)
    assert between.shape == (24, 32, 3)
    assert between.dtype == np.uint8
    # A short way changes little.
    step = opened.view(0, 2 - 1 / 64).astype(int) - opened.view(0, 2)
    assert 0 < np.abs(step).mean() < 4


# ------------------------------------------------------------------- faulty files


def test_truncated_files_raise_our_errors(content: bytes) -> None:
    cuts = {*range(60), *range(60, len(content), 17), *range(len(content) - 12, len(content))}
    for n in cuts:
        with pytest.raises(SanrError):
            decode_all(content[:n])


def test_flipped_bits_raise_our_errors(content: bytes) -> None:
    rng = np.random.default_rng(11)
    places = [*range(8 * 40), *rng.integers(8 * 40, 8 * len(content), 300).tolist()]
    for place in places:
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(SanrError):
            decode_all(bytes(damaged))


@pytest.mark.parametrize("section", ["WEIGHTS", "LATENTS"])
def test_damage_with_a_right_checksum(content: bytes, section: str) -> None:
    """The range coder may not notice; then it decodes something, or raises our errors."""
    payload = container.unpack(content)[SectionType[section]].payload
    rng = np.random.default_rng(12)
    n_noticed = 0
    for _ in range(40):
        damaged = bytearray(payload)
        damaged[rng.integers(len(payload))] ^= 1 << int(rng.integers(8))
        try:
            decode_all(rebuilt(content, **{section: bytes(damaged)}))
        except SanrError:
            n_noticed += 1
    for cut in (b"", payload[:4], payload[: len(payload) // 8 * 4], payload[:-4]):
        try:
            decode_all(rebuilt(content, **{section: cut}))
        except SanrError:
            n_noticed += 1
    assert n_noticed


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(list(FIELD_RANGES)), seed=st.integers(0, 2**32 - 1))
def test_other_headers_with_a_right_checksum(contents: list[bytes], name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = FIELD_RANGES[name]
    value = int(rng.choice([low, high, rng.integers(low, high + 1), rng.integers(low, low + 5)]))
    for content in contents:
        header = SanrFile(content).header
        try:
            header = dataclasses.replace(header, **{name: value})
        except SanrError:
            continue
        if header.canvas[0] * header.canvas[1] > 1 << 14:
            continue
        try:
            opened = SanrFile(rebuilt(content, HEADER=header.pack()))
            opened.view(0, 0)
            opened.view(header.n_v - 1, header.n_u - 1)
        except SanrError:
            pass


@pytest.fixture(scope="module")
def contents(encoded: Any, encoded_sanr: Any) -> list[bytes]:
    return [encoded.content, encoded_sanr.content]


def test_a_tiny_file_must_not_claim_a_huge_canvas(encoded: Any) -> None:
    header = dataclasses.replace(SanrFile(encoded.content).header, height=8000, width=8000)
    with pytest.raises(SanrError):
        SanrFile(rebuilt(encoded.content, HEADER=header.pack(), LATENTS=bytes(4))).view(0, 0)


def test_errors_name_the_file(tmp_path: Path, encoded: Any) -> None:
    path = tmp_path / "broken.sanr"
    header = SanrFile(encoded.content).header.pack()
    for faulty in (encoded.content[:30], rebuilt(encoded.content, HEADER=header[:-1])):
        path.write_bytes(faulty)
        with pytest.raises(SanrError, match=r"^\S*broken\.sanr: "):
            SanrFile(path)


def test_largest_weights_keep_the_arithmetic_exact_or_are_refused(encoded: Any) -> None:
    """Any weights that a file can hold decode without a warning, or raise our errors."""
    from sanrcodec.modelspec import grids, tensor_specs
    from sanrcodec.synthesis import Scene
    from sanrcodec.weights import WEIGHT_MAX

    header: StreamHeader = SanrFile(encoded.content).header
    rng = np.random.default_rng(3)
    draws: list[Callable[..., np.ndarray]] = [
        lambda shape: np.full(shape, WEIGHT_MAX),
        lambda shape: np.full(shape, -WEIGHT_MAX),
        lambda shape: rng.integers(-WEIGHT_MAX, WEIGHT_MAX + 1, shape),
    ]
    latents = [rng.integers(-511, 512, grid.shape).astype(np.int32) for grid in grids(header)]
    for draw in draws:
        weights = {
            s.name: (draw(s.shape) + s.default).astype(np.int32) for s in tensor_specs(header)
        }
        try:
            view = Scene(header, weights, latents).render(2, 0)
        except SanrError:
            continue
        assert view.min() >= 0
        assert view.max() <= 255
        assert (view == np.floor(view)).all()
