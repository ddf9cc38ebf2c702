# SPDX-License-Identifier: MIT
"""Rows of a scene that several processes compute; what they exchange is in test_distributed.py."""

from __future__ import annotations

import pytest
from conftest import synthetic

from sanrcodec.presets import PROFILES, Parallax, make_header

torch = pytest.importorskip("torch")

from sanrcodec.bitstream.grids import level_shape  # noqa: E402
from sanrcodec.encoder.bands import Bands  # noqa: E402
from sanrcodec.encoder.distributed import Ranks  # noqa: E402
from sanrcodec.encoder.model import SceneModel  # noqa: E402


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_bands_have_each_row_once(size: int) -> None:
    for height in range(1, 20):
        bands = [Bands(height, Ranks(rank, size)) for rank in range(size)]
        assert len({len(band.rows) for band in bands}) == 1
        assert len(bands[0].rows) == -(-height // size)
        whole = []
        for band, (place, mine) in zip(bands, bands[0].parts(2), strict=True):
            computed = [2 * row + i for row in band.rows for i in (0, 1)]
            assert computed[mine] == list(range(2 * height))[place]
            whole += computed[mine]
        assert whole == list(range(2 * height))


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
