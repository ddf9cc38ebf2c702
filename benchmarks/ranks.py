#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure the steps of one fit by several processes, as torchrun starts them.

Usage: python benchmarks/ranks.py --ranks 1,2,4 --grid 17x17 --size 1024 --steps 100

Each row is a whole fit of a light field that every process renders for itself, without the plane
sweep: the time of a step, then bits and PSNR of what the fit reached. On GPUs each process has its
own; on CPUs set OMP_NUM_THREADS, since torchrun gives several processes one thread each.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import click
import numpy as np

COLUMNS = {
    "ranks": "{:d}",
    "step_ms": "{:.2f}",
    "times": "{:.2f}",
    "fit_s": "{:.1f}",
    "cuda_mib": "{:.0f}",
    "kilobits": "{:.1f}",
    "psnr_yuv": "{:.2f}",
}
EXTENT = 1.5  # largest disparity, in pixels from view to view
LAYERS = 8
FIRST, LAST = 0.15, 0.9  # progress between which steps are timed


def render(grid: tuple[int, int], size: int, device: Any, seed: int = 0) -> np.ndarray:
    """Textured disks in front of each other, each with its own disparity.

    Args:
        grid: Number of views ``(V, U)``.
        size: Rows, and columns, of a view.
        device: That renders.
        seed: Chooses the scene.

    Returns:
        uint8 array ``[V, U, size, size, 3]``.
    """
    import torch

    rng = np.random.default_rng(seed)
    samples = np.empty((*grid, size, size, 3), np.uint8)
    n_waves = 12
    waves = [
        [
            torch.tensor(values, dtype=torch.float32, device=device)
            for values in (
                rng.normal(0, 20 / size, (n_waves, 2)) * rng.choice([1, 4, 12], (n_waves, 1)),
                rng.uniform(0, 6.3, n_waves),
                rng.normal(0, 0.12, (n_waves, 3)),
            )
        ]
        for _ in range(LAYERS)
    ]
    centers = rng.uniform(0.1, 0.9, (LAYERS, 2)) * size
    radii = rng.uniform(0.08, 0.25, LAYERS) * size
    disparities = np.linspace(-EXTENT, EXTENT, LAYERS)
    rows = torch.arange(size, device=device, dtype=torch.float32)[:, None]
    for v, u in np.ndindex(*grid):
        image = torch.zeros(size, size, 3, device=device)
        for i, (frequencies, phases, colors) in enumerate(waves):
            y = rows - (v - (grid[0] - 1) / 2) * disparities[i]
            x = rows.T - (u - (grid[1] - 1) / 2) * disparities[i]
            angle = y[..., None] * frequencies[:, 0] + x[..., None] * frequencies[:, 1] + phases
            color = 0.5 + torch.sin(angle) @ colors
            distance = torch.hypot(y - centers[i][0], x - centers[i][1])
            seen = (radii[i] - distance + 0.5).clamp(0, 1) if i else torch.ones_like(distance)
            image = image + seen[..., None] * (color - image)
        samples[v, u] = (255 * image.clamp(0, 1)).round().byte().cpu().numpy()
    return samples


def worker(grid: tuple[int, int], size: int, steps: int, preset: str, device: str | None) -> None:
    """One process of a fit; rank 0 prints the row."""
    import torch

    from sanrcodec.encoder.distributed import joined
    from sanrcodec.encoder.fitting import fit
    from sanrcodec.encoder.model import SceneModel
    from sanrcodec.encoder.probe import Probe
    from sanrcodec.encoder.process import working_on
    from sanrcodec.lightfield import LightField
    from sanrcodec.presets import DEFAULT_LMBDA, PRESETS, PROFILES, Parallax, gain_of, make_header

    with joined() as ranks:
        chosen = torch.device(ranks.local_device(device))
        ranks.use(chosen)
        with working_on(chosen):
            light_field = LightField(render(grid, size, chosen), 8)
            gain = gain_of(DEFAULT_LMBDA)
            header = make_header(light_field, PROFILES["default"], Parallax(EXTENT), gain)
            model = SceneModel(header, chosen, ranks)
            first, last = int(FIRST * steps), int(LAST * steps)
            on_gpu, times = chosen.type == "cuda", list[float]()

            def note_time() -> bool:
                if on_gpu and len(times) in (first, last):
                    torch.cuda.synchronize()
                times.append(time.perf_counter())
                return False

            fit(
                model, light_field, None, PRESETS[preset],
                lmbda=DEFAULT_LMBDA, steps=steps, should_stop=note_time,
            )  # fmt: skip
            if on_gpu:
                torch.cuda.synchronize()
            seconds = time.perf_counter() - times[0]
            probe = Probe(model, light_field, 16)
            row = {
                "ranks": ranks.size,
                "step_ms": 1e3 * (times[last] - times[first]) / (last - first),
                "fit_s": seconds,
                "cuda_mib": torch.cuda.max_memory_reserved() / 2**20 if on_gpu else 0.0,
                "kilobits": probe.bits() / 1e3,
                "psnr_yuv": probe.psnr_yuv(),
            }  # fmt: skip
        if ranks.rank == 0:
            click.echo(json.dumps(row))


def measure(n_ranks: int, arguments: list[Any]) -> dict[str, Any]:
    """One row, by processes of their own."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_ranks}"]
    command = [sys.executable, *launch, __file__, "--part", json.dumps(arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"the fit by {n_ranks} processes failed, see above")
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def _numbers(context: click.Context, option: click.Parameter, text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise click.BadParameter(f"{text!r}, expected numbers such as {option.default}")
    return [int(part) for part in parts]


@click.command()
@click.option(
    "--ranks", default="1,2", show_default=True, callback=_numbers, help="Numbers of processes."
)
@click.option("--grid", default="17x17", show_default=True, help="Number of views, VxU.")
@click.option("--size", default=1024, show_default=True, help="Rows, and columns, of a view.")
@click.option("--steps", default=100, show_default=True, help="Of each fit.")
@click.option("--preset", default="medium", show_default=True, help="Effort of a step.")
@click.option("--device", help="Such as cpu or cuda.  [default: a CUDA device if there is one]")
@click.option("--part", hidden=True)
def main(
    ranks: list[int],
    grid: str,
    size: int,
    steps: int,
    preset: str,
    device: str | None,
    part: str | None,
) -> None:
    """Print a table in Markdown, against the number of processes."""
    if part:
        worker(*json.loads(part))
        return
    from sanrcodec.lightfield import parse_grid

    click.echo(f"| {' | '.join(COLUMNS)} |")
    click.echo("|" + "---|" * len(COLUMNS))
    first = None
    for n in ranks:
        row = measure(n, [parse_grid(grid), size, steps, preset, device])
        first = first or row["step_ms"]
        row["times"] = first / row["step_ms"]
        click.echo(f"| {' | '.join(f.format(row[k]) for k, f in COLUMNS.items())} |")


if __name__ == "__main__":
    main()
