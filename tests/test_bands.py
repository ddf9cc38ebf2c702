# SPDX-License-Identifier: MIT
"""Rows that each of several processes computes; what they exchange is in test_distributed.py."""

from __future__ import annotations

from itertools import chain

import pytest
from conftest import synthetic

from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.errors import SanrError
from sanrcodec.presets import PROFILES, Parallax, make_header

torch = pytest.importorskip("torch")

from sanrcodec.bitstream.grids import level_shape  # noqa: E402
from sanrcodec.encoder.bands import Band  # noqa: E402
from sanrcodec.encoder.distributed import Ranks  # noqa: E402
from sanrcodec.encoder.loss import outlier_block  # noqa: E402
from sanrcodec.encoder.model import SceneModel  # noqa: E402
from sanrcodec.encoder.schedule import SCHEDULES  # noqa: E402

LEVELS = sorted({phase.level for schedule in SCHEDULES.values() for phase in schedule.phases})


def bands(header: StreamHeader, n: int, level: int) -> list[Band]:
    return [Band(header, Ranks(rank, n), level) for rank in range(n)]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("level", LEVELS)
def test_each_row_counts_once(n: int, level: int) -> None:
    one = torch.ones(())
    for height in (1, 3, 8, 21, 37, 64, 101):
        header = make_header(synthetic((3, 2), (height, 80)), PROFILES["default"], Parallax(2), 16)
        found = bands(header, n, level)
        whole, canvas = (level_shape(s, level)[0] for s in ((height, 80), header.canvas))
        block = outlier_block(level)
        # Those that do not count do rows of others.
        weights = [float(band.part(one)) / n for band in found]
        count = [band for band, weight in zip(found, weights, strict=True) if weight]
        assert list(chain(*(band.rows for band in count))) == list(range(whole))
        assert list(chain(*(band.counted for band in count))) == list(range(canvas))
        for band, of_whole, weight in zip(found, bands(header, n, 0), weights, strict=True):
            assert weight in (0, pytest.approx(len(band.rows) / whole))
            assert band.rows.start % block == 0
            assert band.rows.start << level == of_whole.rows.start
            assert band.rows
            assert set(band.counted) <= set(band.window) <= set(range(canvas))
        for part in (
            weights,
            [float(band.part(one, block)) / n for band in found],
            [float(band.part_of_canvas(one)) / n for band in found],
        ):
            assert sum(part) == pytest.approx(1)


def test_a_level_that_several_processes_cannot_share() -> None:
    header = make_header(synthetic((3, 2), (64, 80)), PROFILES["default"], Parallax(2), 16)
    with pytest.raises(SanrError, match=r"level 3, .* 2 processes .* at most 2 is possible"):
        bands(header, 2, 3)
    (alone,) = bands(header, 1, 3)
    assert alone.rows == range(8)


@pytest.mark.parametrize(
    ("profile", "size", "extent"),
    [
        ("default", (101, 19), 3.0),
        ("sanr", (101, 19), 3.0),
        ("default", (37, 19), 30.0),  # margins do not hold the parallax
    ],
)
@pytest.mark.parametrize("level", LEVELS)
def test_rows_of_views_are_those_of_the_whole(
    profile: str, size: tuple[int, int], extent: float, level: int
) -> None:
    """The scene's window has all that they look at, also where the canvas ends."""
    header = make_header(synthetic((3, 2), size), PROFILES[profile], Parallax(extent), 16)
    index, found = torch.tensor([0, 5, 2]), []
    for ranks in (Ranks(), *(Ranks(rank, 3) for rank in range(3))):
        model = SceneModel(header, ranks=ranks)
        torch.manual_seed(0)
        model.latents.data.normal_(std=2).round_()
        model.weights.data.normal_(std=0.05)
        model.set_level(level)
        weights, _ = model.quantized_weights()
        if "geometry.output.bias" in weights:  # disparities in eighths, about as large as allowed
            weights["geometry.output.bias"] = weights["geometry.output.bias"] + extent / 10
        scene = model.scene(model.latents, weights)
        found.append(model.views(scene, weights, index).detach())
        assert len(model.band.rows) < found[0].shape[2] or ranks.size == 1
        if scene.disparities is not None:
            assert scene.disparities.shape[1] == len(model.band.window)
    whole, *parts = found
    torch.testing.assert_close(torch.cat(parts, 2), whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("profile", ["default", "sanr"])
@pytest.mark.parametrize("filter_hidden", [0, 8])
@pytest.mark.parametrize("level", [0, 1])
def test_rows_of_a_scene_are_those_of_the_whole(
    profile: str, filter_hidden: int, level: int
) -> None:
    """With their gradients: nothing looks at rows that are missing."""
    shape = {**PROFILES[profile], "filter_hidden": filter_hidden}
    header = make_header(synthetic((2, 2), (45, 19)), shape, Parallax(3.0), 16)
    torch.manual_seed(0)
    model = SceneModel(header)
    model.set_level(level)
    model.latents.data.normal_(std=2).round_()
    model.weights.data.normal_(std=0.1)
    samples = 2 if header.layers else 1
    height = level_shape(header.canvas, level)[0]
    for rows in (range(height), range(5), range(7, 20), range(20, 21), range(height - 9, height)):
        weights, _ = model.quantized_weights()
        planes = model.latent_vector.planes(model.latents)
        band, whole = model.scene_part(planes, weights, rows), model.scene_part(planes, weights)
        place = slice(samples * rows.start, samples * rows.stop)
        pairs = [(band.textures, whole.textures[:, :, place])]
        if whole.disparities is not None:
            pairs.append((band.disparities, whole.disparities[:, rows.start : rows.stop]))
        costs = [], []
        for pair in pairs:
            torch.testing.assert_close(*pair)
            for cost, x in zip(costs, pair, strict=True):
                cost.append(x.square().sum())
        found, expected = (
            torch.autograd.grad(sum(cost), [model.latents, model.weights], retain_graph=True)
            for cost in costs
        )
        for gradient, of_whole in zip(found, expected, strict=True):
            assert gradient.abs().sum() > 0
            torch.testing.assert_close(gradient, of_whole, rtol=1e-3, atol=1e-3)
