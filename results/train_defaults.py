#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Train the networks that ship with the format: sanrcodec/default_weights.json.

Usage: python results/train_defaults.py PHOTOS... -o sanrcodec/default_weights.json

Starts from the table that is there; begin with ``{}`` to train from nothing.

Several small light fields, made from free photographs and procedural textures, are fitted at
once, each with its own latents and its own lmbda, all with the same networks. What the networks
become is what a file need not say. The photographs used: astronaut (NASA, public domain), chelsea,
coffee, rocket, brick, grass, gravel (CC0), as scikit-image distributes them.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sanrcodec.encoder.fit import _GUIDED, _YCC_FROM_RGB, _Adam, _guide
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.presets import PROFILES, UNIT_LMBDA, make_header
from sanrcodec.encoder.quantize import annealing, noisy_round
from sanrcodec.encoder.sweep import estimate_geometry
from sanrcodec.lightfield import LightField

_GRID, _SIZE = (5, 5), (160, 160)
_LMBDAS = (0.7, 2.0, 5.0, 10.0, 20.0, 35.0, 60.0, 110.0)
_RATES = (0.1, 1e-2)  # latents, weights


class SharedModel(SceneModel):
    """A scene model at a gain of 1 whose trunks' inputs are scaled in the forward pass."""

    gain = 1.0

    def quantized_weights(self) -> tuple[dict[str, Tensor], Tensor]:
        """As the scene model, at no cost and with the gain."""
        weights, bits = super().quantized_weights()
        for trunk, n_in in (
            ("texture", self.header.texture_levels),
            ("geometry", self.header.geometry_levels),
        ):
            for layer in ("attention", "hidden"):
                weights[f"{trunk}.{layer}.weight"] = weights[f"{trunk}.{layer}.weight"] * self.gain
            output = weights[f"{trunk}.output.weight"]
            weights[f"{trunk}.output.weight"] = torch.cat(
                [output[:, :n_in] * self.gain, output[:, n_in:]], 1
            )
        return weights, 0 * bits


def light_field(photos: list[Path], seed: int) -> LightField:
    """Layered scene whose textures are parts of photographs."""
    from scipy.ndimage import map_coordinates, spline_filter

    path = Path(__file__).resolve().parents[1] / "examples" / "synthetic.py"
    spec = importlib.util.spec_from_file_location("synthetic", path)
    synthetic = importlib.util.module_from_spec(spec)
    sys.modules["synthetic"] = synthetic
    spec.loader.exec_module(synthetic)
    procedural = synthetic._texture

    def texture(rng: np.random.Generator, scale: float) -> Callable:
        if rng.random() < 0.2:
            return procedural(rng, scale)
        photo = Image.open(photos[rng.integers(len(photos))]).convert("RGB")
        zoom = rng.uniform(0.6, 1.0)
        photo = photo.resize([round(n * zoom) for n in photo.size], Image.Resampling.LANCZOS)
        planes = np.asarray(photo, np.float32) / 255
        planes = planes * rng.uniform(0.6, 1.0)
        smooth = np.stack([spline_filter(planes[..., c], 3) for c in range(3)], -1)
        origin = [rng.uniform(0, max(1, n - s)) for n, s in zip(smooth.shape, _SIZE, strict=False)]

        def sample(y, x):  # type: ignore[no-untyped-def]
            at = np.broadcast_arrays(y + origin[0], x + origin[1])
            return np.stack(
                [
                    map_coordinates(smooth[..., c], at, order=3, mode="mirror", prefilter=False)
                    for c in range(3)
                ],
                -1,
            ).astype(np.float32)

        return sample

    synthetic._texture = texture
    rng = np.random.default_rng(seed)
    span = rng.uniform(0.5, 2.0)
    middle = rng.uniform(-0.5, 0.5)
    samples = synthetic.render(_GRID, _SIZE, seed, (middle - span, middle + span))
    if seed % 2:
        noise = np.random.default_rng(seed).normal(0, 1.5, samples.shape)
        samples = np.clip(np.rint(samples + noise), 0, 255).astype(np.uint8)
    return LightField(samples, 8)


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--steps", type=int, default=10400, help="Over all scenes together.")
def main(photos: tuple[Path, ...], output: Path, steps: int) -> None:
    """Train on light fields made from PHOTOS."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    scenes, networks = [], None
    for seed, lmbda in enumerate(_LMBDAS, start=10):
        field = light_field(sorted(photos), seed)
        with torch.no_grad():
            geometry = estimate_geometry(field, "cpu")
        unit = 16
        header = make_header(field, PROFILES["default"], geometry.extent, geometry.mirrored, unit)
        model = SharedModel(header)
        # Poses per view are the scene's own.
        n_shared = model.weights.numel() - model.weights[model._weight_slices[-1]].numel()
        model.gain = (lmbda / UNIT_LMBDA) ** 0.5
        if networks is None:
            networks = _Adam(torch.zeros(n_shared), 1e-9)
        views = field.samples.reshape(-1, *field.shape[2:])
        scenes.append((model, lmbda, views, _guide(model, geometry), _Adam(model.latents, 0.0)))
    shared = networks.parameter
    matrix = torch.tensor(_YCC_FROM_RGB)
    rng, begun, figures = np.random.default_rng(0), time.monotonic(), {}
    for step in range(steps):
        model, lmbda, views, guide, latents = scenes[step % len(scenes)]
        progress = step / steps
        with torch.no_grad():
            model.weights[: len(shared)] = shared
        index = torch.tensor(rng.integers(0, len(views), 2))
        target = torch.tensor(views[index.numpy()]).float() / 255 @ matrix.T
        temperature, width = annealing(progress)

        def quantize(x: Tensor, t: float = temperature, width: float = width) -> Tensor:
            return noisy_round(x, t, width * (torch.rand_like(x) - 0.5))

        loss, figure, scene = model.loss(index, target.permute(0, 3, 1, 2), quantize, lmbda)
        total = loss + guide(scene) * max(0.0, 1 - progress / _GUIDED)
        # Scenes of a high lmbda cost more: all count alike.
        gradients = torch.autograd.grad(total / loss.detach(), [model.latents, model.weights])
        decay = max(0.5 * (1 + np.cos(np.pi * progress)), 0.02)
        # As in a fit, the gradient of a bit.
        latents.epsilon = lmbda / (model.header.height * model.header.width) / float(loss)
        latents.step(gradients[0], decay * _RATES[0], step // len(scenes) + 1)
        networks.step(gradients[1][: len(shared)], decay * _RATES[1], step + 1)
        figures[step % len(scenes)] = (float(loss), float(figure["bits"]) / 8, float(figure["mse"]))
        if step % 300 < len(scenes) and step % len(scenes) == len(scenes) - 1:
            print(step, round(time.monotonic() - begun), [tuple(round(x, 2) for x in figures[k])
                  for k in sorted(figures)], flush=True)  # fmt: skip
            save(scenes[0][0], shared, output)


def save(model: SharedModel, shared: Tensor, output: Path) -> None:
    """Write the rounded weights, one tensor per line."""
    with torch.no_grad():
        model.weights[: len(shared)] = shared
    weights, _ = model.integers()
    rows = [
        f"{json.dumps(spec.name)}: {json.dumps(weights[spec.name].tolist())}"
        for spec in model.specs
        if spec.name != "per_view"
    ]
    output.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
