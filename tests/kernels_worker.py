# SPDX-License-Identifier: MIT
"""What test_kernels.py runs in a process of its own: one comparison, chosen by the first argument.

Kernels and torch compute the same scene, bits and views, and the gradients of them. Where Triton
interprets kernels, TRITON_INTERPRET must be set before anything imports it.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Callable, Sequence
from functools import partial

import torch
from conftest import synthetic
from torch import Tensor

from sanrcodec.bitstream.grids import level_shape
from sanrcodec.encoder import functions, kernels, scene, warp
from sanrcodec.encoder.bands import Band
from sanrcodec.encoder.distributed import ALONE, Ranks
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.optimizer import Adam
from sanrcodec.encoder.quantize import noisy_round, straight_through
from sanrcodec.encoder.rate import LatentRate
from sanrcodec.encoder.scene import FloatScene
from sanrcodec.encoder.views import Pose, Views, coordinates
from sanrcodec.presets import PROFILES, Parallax, make_header

Compute = Callable[[], Sequence[Tensor]]
TWINS = [
    module
    for name, module in sys.modules.items()
    if name.startswith("sanrcodec.encoder.")
    and module is not kernels
    and hasattr(module, "runs_on")
]


def random_model(
    profile: str, device: str, spread: float = 2.0, ranks: Ranks = ALONE
) -> SceneModel:
    header = make_header(synthetic((2, 3), (11, 16)), PROFILES[profile], Parallax(2.0), 16)
    model = SceneModel(header, device, ranks)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter, width in ((model.latents, spread), (model.weights, 0.05)):
            parameter.copy_(torch.randn(parameter.shape, generator=random) * width)
    return model


def compare(compute: Compute, parameters: Sequence[Tensor]) -> None:
    """Values and gradients, with kernels and without."""
    found = []
    for runs_on in (kernels.runs_on, lambda x, *n: False):
        for module in TWINS:
            module.runs_on = runs_on  # type: ignore[attr-defined]
        values = compute()
        # Neighbors differ, or an error that all share would vanish.
        weights = [torch.linspace(0.1, 1, v.numel(), device=v.device).sin() for v in values]
        total = sum((v.flatten() * w).sum() for v, w in zip(values, weights, strict=True))
        assert isinstance(total, Tensor)
        gradients = torch.autograd.grad(total, parameters, allow_unused=True) if parameters else ()
        found.append(([v.detach() for v in values], gradients))
    (values, gradients), (expected_values, expected_gradients) = found
    for value, expected in zip(values, expected_values, strict=True):
        assert (value - expected).norm() <= 1e-5 * expected.norm()
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        assert (gradient is None) == (expected is None)
        if gradient is not None:
            assert expected.norm() > 0
            assert (gradient - expected).norm() <= 1e-4 * expected.norm()


def per_tensor(model: SceneModel) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Real weights, each a parameter of its own, and quantized latents with them."""
    weights, _ = model.quantized_weights()
    leaves = {name: value.detach().requires_grad_() for name, value in weights.items()}
    return leaves, [straight_through(model.latents).detach().requires_grad_(), *leaves.values()]


def whole(device: str) -> None:
    """A scene, its views and its bits, at two sizes and of both kinds of profiles; a band of it."""
    for profile, levels, ranks in (
        ("default", (0, 1), ALONE), ("sanr", (0,), ALONE), ("default", (0, 1), Ranks(1, 3)),
        ("sanr", (0,), Ranks(1, 3)),
    ):  # fmt: skip
        model = random_model(profile, device, ranks=ranks)
        weights, parameters = per_tensor(model)
        index = torch.tensor([4, 1, 2], device=device)

        def compute(
            model: SceneModel = model,
            weights: dict[str, Tensor] = weights,
            latents: Tensor = parameters[0],
            index: Tensor = index,
        ) -> Sequence[Tensor]:
            found = model.scene(latents, weights)
            bits = model.latent_bits(latents, weights)
            return [*(x for x in found if x is not None), model.views(found, weights, index), bits]

        for level in levels:
            model.set_level(level)
            compare(compute, parameters)


def rounded(device: str) -> None:
    """Latents with noise, near zero and far from it."""
    random = torch.Generator().manual_seed(1)
    for n, spread, temperature, width in ((700, 2.0, 0.1, 1.0), (300, 400.0, 0.35, 0.2)):
        x = (torch.randn(n, generator=random) * spread).to(device).requires_grad_()
        annealing = [torch.tensor(value, device=device) for value in (temperature, width)]

        def compute(x: Tensor = x, annealing: list[Tensor] = annealing) -> Sequence[Tensor]:
            torch.manual_seed(1)
            return [noisy_round(x, *annealing)]

        compare(compute, [x])


def rows(device: str) -> None:
    """Some rows of a scene, fewer than a block and more."""
    model = random_model("default", device)
    weights, parameters = per_tensor(model)
    planes = model.latent_vector.planes(parameters[0])
    for band in (range(3, 4), range(2, 10)):
        compare(lambda band=band: model.scene_part(planes, weights, band)[:2], parameters)  # type: ignore[misc]


def filtered(device: str) -> None:
    """Corrected colors, where most pixels are at an edge."""
    model = random_model("default", device)
    weights, _ = per_tensor(model)
    taps = [weight for name, weight in weights.items() if name.startswith("color_filter.")]
    for size in ((1, 5), (4, 1), (3, 50)):
        x = torch.linspace(-3, 3, 14 * size[0] * size[1], device=device).sin()
        x = x.reshape(2, 7, *size).requires_grad_()
        part = partial(model.scene_part.color_filter, x, weights)
        compare(lambda part=part: [part()], [x, *taps])  # type: ignore[misc]


def weights(device: str) -> None:
    """Real weights and their bits, some beyond what can be coded, and of coarser steps."""
    model = random_model("default", device)
    random = torch.Generator().manual_seed(1)
    step = model.weight_vector.step
    for wide, shifts in ((1.0, 1), (2.0, 1), (300.0, 5)):
        with torch.no_grad():
            model.weights.mul_(wide)
            step.copy_(2.0 ** torch.randint(shifts, step.shape, generator=random))

        def compute() -> Sequence[Tensor]:
            real, bits = model.quantized_weights()
            return [bits, *real.values()]

        compare(compute, [model.weights])


def shares(device: str) -> None:
    """A share of the latents' bits, of latents beyond what contexts and codes hold."""
    model = random_model("default", device, spread=300.0)
    weights, parameters = per_tensor(model)
    for share, level in (((1, 3), 0), ((0, 1), 2)):
        part = LatentRate(model.header, model.latent_vector, device, share, level)
        compare(lambda part=part: [part(parameters[0], weights)], parameters)  # type: ignore[misc]


def adam(device: str) -> None:
    """Some steps, with epsilon as a number and as a tensor."""
    random = torch.Generator().manual_seed(1)
    start, *gradients = torch.randn(6, 1300, generator=random).to(device)
    for epsilon in (1e-3, torch.tensor(0.1, device=device)):

        def compute(epsilon: float | Tensor = epsilon) -> Sequence[Tensor]:
            found = Adam(start.clone(), epsilon)
            for i, gradient in enumerate(gradients):
                rate, count = torch.tensor([0.1, i + 1], device=device)
                found.step(gradient, rate, count)
            return found.state()

        compare(compute, [])


def doubled(device: str) -> None:
    """Twice the samples of an axis, short ones too, all and a part."""
    filters = [
        (scene._QUARTER_TAPS, scene._QUARTER_REACH),
        (warp._HALF_TAPS, warp.HALF_BEFORE),
        (((0.25, 0.75), (-0.5, 1.5)), 1),
    ]
    for shape in ((2, 3, 9, 7), (5, 1, 1), (3, 2, 12)):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)
        x.requires_grad_()
        for (taps, before), axis in itertools.product(filters, (-2, -1)):
            n = shape[axis]
            for size, first in ((2 * n, 0), (2 * n - 1, 0), (1, n)):
                double = partial(functions.upsample_axis, x, taps, axis, before, size, first)
                compare(lambda double=double: [double()], [x])  # type: ignore[misc]


def layers(device: str) -> None:
    """Views of layers of any number, with any features, of which most show some of the back."""
    random = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random).to(device)

    for n_layers, features, has_slopes, level, margin in (
        (2, 7, True, 0, 3), (1, 3, True, 0, 0), (3, 5, False, 1, 5), (4, 4, True, 0, 1),
    ):  # fmt: skip
        header = dataclasses.replace(
            make_header(synthetic((2, 3), (11, 16)), PROFILES["default"], Parallax(2.0), 16),
            layers=n_layers, features=features, margin_y=margin, margin_x=2 * margin // 3,
        )  # fmt: skip
        part = Views(Band(header, level=level), device)
        height, width = level_shape(header.canvas, level)
        textures = normal(n_layers, features + (n_layers > 1), 2 * height, 2 * width)
        if n_layers > 1:  # also beyond 0..1, where nothing may come of it
            textures[:, -1] = textures[:, -1] * 0.5 + 0.5
        slopes = normal(2 * header.channels, 2 * height, 2 * width) if has_slopes else None
        # Some positions are beyond the canvas.
        disparities, angular = 2 * normal(n_layers, height, width), normal(3, 2)
        shift = 4 * normal(3, 2)
        optional = [] if slopes is None else [slopes]
        parameters = [textures, disparities, angular, shift, *optional]
        for parameter in parameters:
            parameter.requires_grad_()
        found = FloatScene(textures, disparities, slopes)

        def compute(
            part: Views = part,
            scene: FloatScene = found,
            angular: Tensor = angular,
            shift: Tensor = shift,
        ) -> Sequence[Tensor]:
            pose = Pose(angular, shift, *angular.T)
            return [part._composite(scene, pose, coordinates(part.header, angular))]

        compare(compute, parameters)


if __name__ == "__main__":
    assert kernels.runs_on(torch.zeros(1, device=sys.argv[2]), 1)
    {
        "whole": whole,
        "rounded": rounded,
        "rows": rows,
        "weights": weights,
        "shares": shares,
        "adam": adam,
        "doubled": doubled,
        "layers": layers,
        "filtered": filtered,
    }[sys.argv[1]](sys.argv[2])
    print("the same")
