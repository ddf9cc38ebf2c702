#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Train the networks that ship with the format: sanrcodec/bitstream/default_weights.json.

Usage: python tools/train_defaults.py PHOTOS... -o sanrcodec/bitstream/default_weights.json

Starts from the table that is there; begin with ``{}`` to train from nothing. The table of format
0.5 is that of 0.3, the same networks for every kind of pass to begin with, trained on by
``--scenes 32 --steps 30000``, 200 seconds on an H100; a CPU needs hours.

Small light fields, made from free photographs and procedural textures, are fitted at once, each
with its own latents and its own lmbda, all with the same networks. What the networks become is
what a file need not say. Photographs to use: astronaut and rocket (NASA, public domain), brick,
camera, chelsea, coffee, grass and gravel (CC0) as scikit-image distributes them, grace_hopper
(public domain) from matplotlib, and china and flower (CC BY 2.0, danielbuechele and vultilion on
Flickr) from scikit-learn.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sanrcodec.color import YCC_FROM_RGB
from sanrcodec.encoder.graphs import capture
from sanrcodec.encoder.guide import GeometryGuide
from sanrcodec.encoder.model import Quantizer, SceneModel
from sanrcodec.encoder.optimizer import Adam
from sanrcodec.encoder.quantize import noisy_round, straight_through
from sanrcodec.encoder.schedule import Phase, Schedule, Stage
from sanrcodec.encoder.sweep import estimate_geometry
from sanrcodec.lightfield import LightField
from sanrcodec.presets import PROFILES, UNIT_LMBDA, make_header

_GRID, _SIZE = (5, 5), (160, 160)
_LMBDAS = (0.7, 2.0, 5.0, 10.0, 20.0, 35.0, 60.0, 110.0)
_NOISE = (0.0, 1.5, 0.0, 3.0)  # deviation in 8-bit levels
_RATES = (0.1, 1e-2)  # latents, networks
_FIRST_SEED = 10
_LIMIT = 2048  # of a weight's magnitude; keeps the decoder's sums within float32
# As in a fit, but the networks' rate does not rise again when the latents rest.
_SCHEDULE = Schedule(
    phases=(
        Phase("soft", until=0.95, rate_floor=0.02),
        Phase("rounded", until=1.0, temperature=None, rate=0.02, rate_floor=1.0),
    )
)


class SharedModel(SceneModel):
    """A scene model at a gain of 1 whose trunks' inputs are scaled in the forward pass.

    Its weights cost nothing, and are the same in all of these models.
    """

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
        weights["slope.output.weight"] = weights["slope.output.weight"] * self.gain
        return weights, 0 * bits


def light_field(photos: list[Path], seed: int) -> LightField:
    """Layered scene whose textures are parts of photographs."""
    from scipy.ndimage import map_coordinates, spline_filter

    synthetic = _synthetic()

    def texture(rng: np.random.Generator, scale: float) -> Callable:
        if rng.random() < 0.2:
            return synthetic.procedural_texture(rng, scale)
        photo = Image.open(photos[rng.integers(len(photos))]).convert("RGB")
        zoom = rng.uniform(0.5, 1.0)
        photo = photo.resize([round(n * zoom) for n in photo.size], Image.Resampling.LANCZOS)
        planes = np.asarray(photo, np.float32) / 255
        planes = np.rot90(planes[:, :: rng.choice([-1, 1])], rng.integers(4))
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

    rng = np.random.default_rng(seed)
    span = rng.uniform(0.5, 2.0)
    middle = rng.uniform(-0.5, 0.5)
    samples = synthetic.render(_GRID, _SIZE, seed, (middle - span, middle + span), texture)
    deviation = _NOISE[(seed // len(_LMBDAS) + seed) % len(_NOISE)]
    noise = np.random.default_rng(seed).normal(0, deviation, samples.shape)
    return LightField(np.clip(np.rint(samples + noise), 0, 255).astype(np.uint8), 8)


def _synthetic() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "examples" / "synthetic.py"
    spec = importlib.util.spec_from_file_location("synthetic", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["synthetic"] = module
    spec.loader.exec_module(module)
    return module


class Scene:
    """One light field in training."""

    def __init__(self, field: LightField, lmbda: float, device: torch.device) -> None:
        with torch.no_grad():
            geometry = estimate_geometry(field, device)
        assert geometry is not None
        header = make_header(field, PROFILES["default"], geometry.parallax, gain=16)
        self.model, self.lmbda = SharedModel(header, device), lmbda
        self.model.gain = (lmbda / UNIT_LMBDA) ** 0.5
        self.guide = GeometryGuide(self.model.band, geometry.to(device))
        self.optimizer = Adam(self.model.latents, 0.0)
        self.count = torch.zeros((), device=device)
        samples = torch.tensor(field.samples.reshape(-1, *field.shape[2:]), device=device)
        targets = samples.float() / 255 @ torch.tensor(YCC_FROM_RGB, device=device).T
        self.targets = targets.permute(0, 3, 1, 2).contiguous()
        self.figures = torch.zeros(3, device=device)  # cost, bytes, squared error
        self.graphs: dict[Stage, torch.cuda.CUDAGraph] = {}


class Training:
    """The networks that all scenes share, and one step of them and of one scene's latents."""

    def __init__(self, scenes: list[Scene], steps: int, device: torch.device) -> None:
        self.scenes, self.device = scenes, device
        # Poses per view, the last tensor, are the scene's own.
        self.n_weights = sum(math.prod(s.shape) for s in scenes[0].model.weight_vector.specs[:-1])
        self.networks = Adam(torch.zeros(self.n_weights, device=device), 1e-9)
        self.count = torch.zeros((), device=device)
        self.total = float(steps)
        self.pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def step(self, scene: Scene, progress: float) -> None:
        """One step, as fit does it."""
        stage = _SCHEDULE.stage_at(progress)
        if self.device.type != "cuda":
            self._step(scene, stage)
            return
        if stage not in scene.graphs:
            state = [self.count, scene.count, *self.networks.state(), *scene.optimizer.state()]
            scene.graphs[stage] = capture(lambda: self._step(scene, stage), state, self.pool)
        scene.graphs[stage].replay()

    def _step(self, scene: Scene, stage: Stage) -> None:
        model, phase = scene.model, stage.phase
        progress = self.count / self.total
        with torch.no_grad():
            model.weights[: self.n_weights].copy_(self.networks.parameter)
        index = torch.randint(0, len(scene.targets), (2,), device=self.device)
        quantize: Quantizer = straight_through
        if not phase.latents_rest:
            temperature, width = _SCHEDULE.annealing(phase, progress)
            quantize = partial(noisy_round, temperature=temperature, width=width)
        loss, figures, planes = model.loss(
            index, scene.targets.index_select(0, index), quantize, scene.lmbda
        )
        total = loss
        if stage.guided:
            guide = _SCHEDULE.guide_weight * scene.guide(planes)
            total = loss + guide * _SCHEDULE.guide_share(progress)
        # Scenes of a high lmbda cost more: all count alike.
        cost = loss.detach()
        gradients = torch.autograd.grad(total / cost, [model.latents, model.weights])
        self.count += 1
        scene.count += 1
        latent_rate, weight_rate = (
            r * phase.rate * _SCHEDULE.decay(phase, progress) for r in _RATES
        )
        if not phase.latents_rest:
            # As in a fit, the gradient of a bit.
            scene.optimizer.epsilon = (
                scene.lmbda / (model.header.height * model.header.width) / cost
            )
            scene.optimizer.step(gradients[0], latent_rate, scene.count)
        self.networks.step(gradients[1][: self.n_weights], weight_rate, self.count)
        scene.figures.lerp_(torch.stack([cost, figures["bits"] / 8, figures["mse"]]), 0.1)

    def table(self) -> dict[str, np.ndarray]:
        """The rounded networks, by name."""
        model = self.scenes[0].model
        with torch.no_grad():
            model.weights[: self.n_weights] = self.networks.parameter
            table, _ = model.integers()
        del table["per_view"]
        # Without a rate, weights that only have to close a unit grow without end.
        return {name: np.clip(values, -_LIMIT, _LIMIT) for name, values in table.items()}


def save(table: dict[str, np.ndarray], output: Path) -> None:
    """Write a table of networks, one tensor per line."""
    rows = [
        f"{json.dumps(name)}: {json.dumps(values.tolist(), separators=(',', ':'))}"
        for name, values in table.items()
    ]
    output.write_text("{\n" + ",\n".join(rows) + "\n}\n")


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--scenes", "n_scenes", type=int, default=48, show_default=True)
@click.option("--steps", type=int, default=72000, show_default=True, help="Of all scenes together.")
@click.option("--device", default="cuda" if torch.cuda.is_available() else "cpu")
def main(photos: tuple[Path, ...], output: Path, n_scenes: int, steps: int, device: str) -> None:
    """Train on light fields made from PHOTOS."""
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    where, begun = torch.device(device), time.monotonic()
    with ProcessPoolExecutor() as pool:
        seeds = range(_FIRST_SEED, _FIRST_SEED + n_scenes)
        fields = pool.map(partial(light_field, sorted(photos)), seeds)
        scenes = [Scene(field, _LMBDAS[i % len(_LMBDAS)], where) for i, field in enumerate(fields)]
    training = Training(scenes, steps, where)
    order = np.random.default_rng(0)
    turn: list[int] = []
    for step in range(steps):
        turn = turn or order.permutation(n_scenes).tolist()
        training.step(scenes[turn.pop()], step / steps)
        if step % (50 * n_scenes) == 0 or step == steps - 1:
            figures = torch.stack([s.figures for s in scenes]).cpu().numpy()
            n = min(n_scenes, len(_LMBDAS))
            by_lmbda = [figures[i::n].mean(0) for i in range(n)]
            print(
                step, f"{time.monotonic() - begun:.0f} s, log cost",
                f"{np.log(figures[:, 0].clip(1e-3)).mean():.4f}",
                [tuple(x.round(2).tolist()) for x in by_lmbda], flush=True,
            )  # fmt: skip
            save(training.table(), output)


if __name__ == "__main__":
    main()
