# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import without_residuals
from hypothesis import given, settings
from hypothesis import strategies as st

import sanrcodec
from sanrcodec.arithmetic.axes import minimum_filter
from sanrcodec.arithmetic.ops import NUMPY
from sanrcodec.bitstream import container
from sanrcodec.bitstream.container import SectionType
from sanrcodec.bitstream.header import FIELD_RANGES, StreamHeader
from sanrcodec.decoder import SanrFile
from sanrcodec.errors import LightFieldError, LimitError, SanrError


def decode_all(content: bytes) -> None:
    for _ in SanrFile(content).views():
        pass


def rebuilt(content: bytes, **payloads: bytes) -> bytes:
    """The file with other payloads and right checksums."""
    sections = container.unpack(content).sections
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
    assert "weights" not in vars(opened)
    assert not opened._decoding.latents
    assert not opened._decoding.scenes


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
    monkeypatch.setattr("sanrcodec.arithmetic.ops.NumpyOps.block_pixels", 100)
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
    # A short way changes little of what the scene has.
    opened = SanrFile(without_residuals(content))
    step = opened.view(0, 2 - 1 / 64).astype(int) - opened.view(0, 2)
    assert 0 < np.abs(step).mean() < 4


# ------------------------------------------------------------------- smaller views


SIZES = {1: (12, 16), 2: (6, 8), 3: (3, 4)}
LEVELS = pytest.mark.parametrize("level", SIZES)


@LEVELS
def test_smaller_views(content: bytes, level: int) -> None:
    opened = SanrFile(content)
    view = opened.view(1.5, 0.25, scale=0.5**level)
    assert view.shape == (*SIZES[level], 3)
    assert view.dtype == np.uint8
    # The coarse grids suffice; those that are left are read from where that one stopped.
    grids = opened._decoding.latents
    assert (len(grids) == len(SanrFile(content).latents)) == (level == 1)
    np.testing.assert_array_equal(opened.view(2, 0), SanrFile(content).view(2, 0))
    assert opened._decoding.latents is grids
    np.testing.assert_array_equal(opened.view(1.5, 0.25, scale=Fraction(1, 1 << level)), view)
    y0, y1, x0, x1 = 1, SIZES[level][0], 2, 3
    np.testing.assert_array_equal(
        opened.view(1.5, 0.25, scale=0.5**level, region=(y0, y1, x0, x1)), view[y0:y1, x0:x1]
    )
    with pytest.raises(LightFieldError, match="region"):
        opened.view(0, 0, scale=0.5**level, region=(0, y1 + 1, 0, 1))


def blocks_of(view: np.ndarray, size: int) -> np.ndarray:
    """Means of ``size x size`` pixels."""
    height, width = (n // size for n in view.shape[:2])
    blocks = view[: height * size, : width * size].astype(float)
    means: np.ndarray = blocks.reshape(height, size, width, size, -1).mean((1, 3))
    return means


@pytest.mark.parametrize("layers", [0, 2])
@LEVELS
def test_smaller_views_do_not_shift(level: int, layers: int) -> None:
    """What lies in the middle of a block of the whole view lies in the middle of its pixel."""
    from sanrcodec.bitstream.grids import grids
    from sanrcodec.scene.parts import default_weights
    from sanrcodec.scene.scene import Scene

    header = StreamHeader(
        n_v=3, n_u=3, height=128, width=192, channels=1, bit_depth=16, layers=layers,
        margin_y=8 * (layers > 0) + 3 * (layers > 1), margin_x=8, mirrored=0,
        axes_reversed=0, transposed=0, gain=16, texture_levels=8, occluded_first=1,
        texture_hidden=0, features=1, color_filter=0,
        filter_hidden=0, attention=0, geometry_first=1, geometry_levels=7, geometry_hidden=0,
        slope_first=0, slope_levels=0,
        view_depth=0, view_hidden=0, spatial=0, arm_hidden=4, per_view=1, profile=255,
    )  # fmt: skip
    weights = {k: np.zeros_like(default) for k, default in default_weights(header).items()}
    weights["texture.output.weight"][:] = 40
    weights["texture.output.bias"][:] = 512
    weights["per_view"][:] = [0, 0, 21, -13, 0]
    if layers:
        weights["geometry.output.weight"][:2, :2] = 24
        weights["geometry.output.bias"][:2] = [300, -500]  # disparities of several pixels
    latents = [np.zeros(g.shape, np.int32) for g in grids(header)]
    for latent, grid in zip(latents, grids(header), strict=True):
        if grid.group == 0 and grid.level == level + 2:
            latent[grid.shape[0] // 2, grid.shape[1] // 2] = 60
    whole = blocks_of(Scene(header, weights, latents).render(0, 2), 1 << level)[..., 0]
    small = Scene(header, weights, latents, level=level).render(0, 2)[..., 0].astype(float)
    # One bright spot: what the filters do to its shape does not move its center of gravity.
    centers = []
    for view in (whole, small):
        spot = view - view[0, 0]
        assert spot.max() > 1000
        y, x = np.mgrid[: view.shape[0], : view.shape[1]]
        centers.append(((y * spot).sum() / spot.sum(), (x * spot).sum() / spot.sum()))
    np.testing.assert_allclose(centers[0], centers[1], atol=0.06)


@pytest.mark.parametrize("scale", [0, 2, 0.3, 1 / 3, 1 / 16, -0.5, float("nan")])
def test_other_scales_are_refused(content: bytes, scale: float) -> None:
    with pytest.raises(LightFieldError, match=r"expected 1, 1/2, 1/4 or 1/8"):
        SanrFile(content).view(0, 0, scale=scale)


@pytest.mark.parametrize("texture_levels", [1, 2])
def test_smaller_views_of_few_levels(encoded: Any, texture_levels: int) -> None:
    """Any header that is allowed has smaller views, however little they show."""
    from sanrcodec.bitstream.grids import grids
    from sanrcodec.scene.parts import default_weights
    from sanrcodec.scene.scene import Scene

    header = dataclasses.replace(
        SanrFile(encoded.content).header, height=1, width=3, margin_y=1, margin_x=0,
        texture_levels=texture_levels, occluded_first=0, geometry_first=0, geometry_levels=1,
    )  # fmt: skip
    weights = default_weights(header)
    latents = [np.ones(grid.shape, np.int32) for grid in grids(header)]
    for level in range(4):
        view = Scene(header, weights, latents, level=level).render(0, 0)
        assert view.shape == (1, -(-3 >> level), 3)


# ------------------------------------------------------------------- threads and devices


def test_views_are_decoded_as_they_are_asked_for(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sanrcodec.decoder.n_workers", lambda: 2)
    opened = SanrFile(content)
    decoded = []
    view = opened.view

    def counted(*args: Any, **kwargs: Any) -> np.ndarray:
        decoded.append(args)
        return view(*args, **kwargs)

    monkeypatch.setattr(opened, "view", counted)
    views = opened.views(scale=0.5)
    assert not decoded
    first = next(views)
    assert len(decoded) <= 3
    np.testing.assert_array_equal(first, view(0, 0, scale=0.5))
    views.close()
    assert len(decoded) <= 3


def test_threads_share_one_scene(content: bytes) -> None:
    opened = SanrFile(content)
    with ThreadPoolExecutor(4) as pool:
        views = list(pool.map(lambda i: opened.view(i % 3, 1), range(8)))
    for i, view in enumerate(views):
        np.testing.assert_array_equal(view, SanrFile(content).view(i % 3, 1))


def test_damage_is_told_by_every_view(encoded: Any) -> None:
    payload = container.unpack(encoded.content).sections[SectionType.LATENTS].payload
    opened = SanrFile(rebuilt(encoded.content, LATENTS=payload + b"\xff" * 12))
    opened.view(0, 0, scale=0.25)
    for _ in range(2):
        with pytest.raises(SanrError, match="does not end"):
            opened.view(0, 0)
    opened.view(0, 0, scale=0.125)


def test_torch_gives_the_same_samples(content: bytes) -> None:
    pytest.importorskip("torch")
    opened, twin = SanrFile(content), sanrcodec.open(content, device="cpu")
    for ours, theirs in zip(opened.views(), twin.views(), strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)
    for scale in (1, 0.5, 0.125):
        arguments: dict[str, Any] = {"region": (1, 3, 0, 2), "scale": scale}
        np.testing.assert_array_equal(
            twin.view(0.3, 1.6, **arguments), opened.view(0.3, 1.6, **arguments), strict=True
        )


def test_an_unknown_device_is_refused(content: bytes) -> None:
    torch = pytest.importorskip("torch")
    advice = "cpu or cuda" if torch.cuda.is_available() else "cpu"
    message = rf"device nonsense is not usable here .*; use {advice}$"
    with pytest.raises(LightFieldError, match=message):
        SanrFile(content, device="nonsense")


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


@pytest.mark.slow
@pytest.mark.parametrize("section", ["WEIGHTS", "LATENTS"])
def test_damage_with_a_right_checksum(content: bytes, section: str) -> None:
    """The range coder may not notice; then it decodes something, or raises our errors."""
    payload = container.unpack(content).sections[SectionType[section]].payload
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


@pytest.mark.slow
@settings(max_examples=60)
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
    header = dataclasses.replace(SanrFile(encoded.content).header, height=5000, width=5000)
    with pytest.raises(LimitError, match="bytes"):
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
    from sanrcodec.bitstream.grids import grids
    from sanrcodec.bitstream.weights import WEIGHT_MAX
    from sanrcodec.scene.parts import default_weights
    from sanrcodec.scene.scene import Scene

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
            name: (draw(default.shape) + default).astype(np.int32)
            for name, default in default_weights(header).items()
        }
        try:
            view = Scene(header, weights, latents).render(2, 0)
        except SanrError:
            continue
        assert view.min() >= 0
        assert view.max() <= 255
        assert (view == np.floor(view)).all()


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 15), st.integers(0, 15))
def test_least_around(height: int, width: int, rows: int, columns: int) -> None:
    x = np.random.default_rng(rows).integers(-99, 99, (height, width)).astype(np.int32)
    expected = np.empty_like(x)
    for i, j in np.ndindex(*x.shape):
        around = x[max(0, i - rows) : i + rows + 1, max(0, j - columns) : j + columns + 1]
        expected[i, j] = around.min()
    np.testing.assert_array_equal(minimum_filter(x, (rows, columns), NUMPY), expected)
