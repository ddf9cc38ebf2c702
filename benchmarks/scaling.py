#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure time and memory against the number of views, and against the size of a view.

Usage: python benchmarks/scaling.py --views 1,9,25 --sizes 64,128 --plot scaling.png

Each row is a light field made by examples/synthetic.py, encoded with a few steps and decoded, each
in a process of its own so that the peak of its memory is honest. The parallax over all views is
the same in every row. The plot needs matplotlib.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from synthetic import render

COLUMNS = {
    "views": "{:d}",
    "size": "{:d}",
    "step_ms": "{:.0f}",
    "other_s": "{:.1f}",
    "encode_mib": "{:.0f}",
    "cuda_mib": "{:.0f}",
    "file_bytes": "{:d}",
    "first_view_ms": "{:.0f}",
    "next_view_ms": "{:.0f}",
    "decode_mib": "{:.0f}",
}
PARALLAX = 8.0  # pixels that the nearest and the farthest layer move against the middle, in all


def encode(source: str, target: str, steps: int, device: str | None) -> dict[str, Any]:
    """Encode a .npy file; the median step, and everything else, in this process."""
    import torch

    from sanrcodec.encoder import encode
    from sanrcodec.io import read_light_field

    polled: list[float] = []

    def note_time() -> bool:
        polled.append(time.perf_counter())
        return False

    result = encode(read_light_field(source), steps=steps, device=device, should_stop=note_time)
    Path(target).write_bytes(result.content)
    on_gpu = torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0
    return {
        "step_ms": 1e3 * float(np.median(np.diff(polled))),
        "other_s": result.seconds - (polled[-1] - polled[0]),
        "encode_mib": peak_mib(),
        "cuda_mib": torch.cuda.max_memory_reserved() / 2**20 if on_gpu else 0.0,
        "file_bytes": len(result.content),
    }


def decode(source: str) -> dict[str, Any]:
    """Open a file and decode one view, then up to eight more; the best of three times."""
    import sanrcodec

    first, following = [], []
    for _ in range(3):
        begun = time.perf_counter()
        opened = sanrcodec.open(source)
        opened.view(0, 0)
        first.append(time.perf_counter() - begun)
        for v, u in list(np.ndindex(opened.grid))[1:9]:
            begun = time.perf_counter()
            opened.view(v, u)
            following.append(time.perf_counter() - begun)
    return {
        "first_view_ms": 1e3 * min(first),
        "next_view_ms": 1e3 * min(following, default=math.nan),
        "decode_mib": peak_mib(),
    }


def peak_mib() -> float:
    """Peak resident memory of this process."""
    try:
        # Unlike getrusage, this does not count the parent's memory at the fork.
        status = Path("/proc/self/status").read_text()
        return float(status.split("VmHWM:")[1].split()[0]) / 2**10
    except OSError:
        import resource

        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def alone(*arguments: Any) -> dict[str, Any]:
    """Call :func:`encode` or :func:`decode` in a fresh process."""
    command = [sys.executable, __file__, "--part", json.dumps(arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{arguments[0]} failed, see above")
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def measure(n_views: int, size: int, steps: int, device: str | None) -> dict[str, Any]:
    """One row of the table."""
    side = math.isqrt(n_views)
    disparity = PARALLAX / max(1, side - 1)
    with tempfile.TemporaryDirectory() as folder:
        source, file = f"{folder}/lf.npy", f"{folder}/lf.sanr"
        np.save(source, render((side, side), (size, size), disparity=(-disparity, disparity)))
        row = alone("encode", source, file, steps, device) | alone("decode", file)
    return {"views": n_views, "size": size} | row


def plot(series: dict[str, list[dict[str, Any]]], path: str) -> None:
    """Draw times and memory, one row of panels per series."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = {
        "encode: time per step [ms]": ["step_ms"],
        "decode: time [ms]": ["first_view_ms", "next_view_ms"],
        "peak memory [MiB]": ["encode_mib", "cuda_mib", "decode_mib"],
    }
    figure, axes = plt.subplots(len(series), 3, figsize=(12, 3.4 * len(series)), squeeze=False)
    for row, (by, rows) in zip(axes, series.items(), strict=True):
        for axis, (title, names) in zip(row, panels.items(), strict=True):
            x = [r["views"] if by == "views" else r["size"] ** 2 for r in rows]
            for name in names:
                y = [r[name] for r in rows]
                if any(value > 0 for value in y):
                    axis.loglog(x, y, "o-", label=name.rsplit("_", 1)[0].replace("_", " "))
            axis.set(title=title, xlabel="views" if by == "views" else "pixels of a view")
            axis.set_ylim(bottom=min(1.0, axis.get_ylim()[0]))
            axis.grid(alpha=0.3)
            axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=70)


def _numbers(context: click.Context, option: click.Parameter, text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = [0]
    squares = option.name != "views" or all(math.isqrt(n) ** 2 == n for n in numbers)
    if not squares or any(n < 1 for n in numbers):
        raise click.BadParameter(f"{text!r}, expected numbers such as {option.default}")
    return numbers


@click.command()
@click.option(
    "--views", default="1,9,25,81,289", show_default=True, callback=_numbers,
    help="Numbers of views, squares; empty for none.",
)  # fmt: skip
@click.option(
    "--sizes", default="64,128,256,512,1024,2048", show_default=True, callback=_numbers,
    help="Rows, and columns, of a view; empty for none.",
)  # fmt: skip
@click.option("--size", default=128, show_default=True, help="While the number of views grows.")
@click.option("--n-views", default=9, show_default=True, help="While the views grow, a square.")
@click.option("--steps", default=20, show_default=True, help="Of each fit.")
@click.option("--device", help="Such as cpu or cuda.  [default: a CUDA device if there is one]")
@click.option(
    "--limit", default=60.0, show_default=True, metavar="SECONDS",
    help="A series ends behind a row that took longer.",
)  # fmt: skip
@click.option("--plot", "path", help="PNG to write.")
@click.option("--part", hidden=True)
def main(
    views: list[int],
    sizes: list[int],
    size: int,
    n_views: int,
    steps: int,
    device: str | None,
    limit: float,
    path: str | None,
    part: str | None,
) -> None:
    """Print a table in Markdown, against the number of views and against their size."""
    if part:
        name, *arguments = json.loads(part)
        click.echo(json.dumps(encode(*arguments) if name == "encode" else decode(*arguments)))
        return
    click.echo(f"| {' | '.join(COLUMNS)} |")
    click.echo("|" + "---|" * len(COLUMNS))
    series: dict[str, list[dict[str, Any]]] = {"views": [], "pixels": []}
    for by, points in (
        ("views", [(n, size) for n in views]),
        ("pixels", [(n_views, n) for n in sizes]),
    ):
        for point in points:
            begun = time.monotonic()
            row = measure(*point, steps, device)
            series[by].append(row)
            cells = ["" if row[k] != row[k] else f.format(row[k]) for k, f in COLUMNS.items()]
            click.echo(f"| {' | '.join(cells)} |")
            if time.monotonic() - begun > limit:
                break
    if path:
        try:
            plot({by: rows for by, rows in series.items() if rows}, path)
        except ImportError:
            raise click.ClickException(
                "the plot needs matplotlib: pip install matplotlib"
            ) from None


if __name__ == "__main__":
    main()
