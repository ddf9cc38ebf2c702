#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fit a light field at several rates, and note what each file is like in rd.csv.

Usage: python benchmarks/measure.py SCENE LIGHTFIELD OUT [--lmbda 1.5,4,10,30,110] [--preset medium]

SCENE names the rows. Every file goes to OUT as SCENE_PROFILE_PRESET_LMBDA.sanr, then comes its row:
size on disk, quality of the numpy decoder's views, seconds of the whole encoding and of
``sanr decode --all`` as a process. A file that is there already is left alone, so that a run that
ended early goes on.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

import sanrcodec
from sanrcodec.bitstream.container import VERSION
from sanrcodec.encoder import encode
from sanrcodec.io import read_light_field, write_atomically
from sanrcodec.lightfield import LightField
from sanrcodec.presets import PRESETS, PROFILES

TABLE = Path(__file__).resolve().parents[1] / "results" / "rd.csv"
COLUMNS = (
    "scene", "profile", "preset", "lmbda", "steps", "bytes", "bpp", "psnr_yuv", "psnr_yuv_min",
    "enc_s", "dec_s", "device", "version",
)  # fmt: skip


def version() -> str:
    """Package, format, and the commit where this is a checkout."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent, capture_output=True, text=True,
    )  # fmt: skip
    commit = f"; {found.stdout.strip()}" if found.returncode == 0 else ""
    return f"{sanrcodec.__version__} ({'.'.join(map(str, VERSION))}{commit})"


def decoding_seconds(path: Path) -> float:
    """Wall time of decoding all views to PNG files, by a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "sanrcodec", "decode", path, "--all", "-o", folder], check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        return time.perf_counter() - begun


def measure(
    scene: str,
    views: LightField,
    out: Path,
    lmbdas: Sequence[float],
    table: Path,
    *,
    preset: str,
    profile: str = "default",
    steps: int | None = None,
    device: str | None = None,
) -> None:
    """Fit a light field at several rates; files that are there already are left alone.

    Args:
        scene: Name for the rows.
        views: The light field.
        out: Folder for the files.
        lmbdas: The rates.
        table: CSV file that gets a row for each file.
        preset: As :func:`sanrcodec.encode` takes it.
        profile: The same.
        steps: The same.
        device: The same.
    """
    out.mkdir(parents=True, exist_ok=True)
    for lmbda in lmbdas:
        path = out / f"{scene}_{profile}_{preset}_{lmbda:g}.sanr"
        if path.exists():
            print(f"{path} is there already", flush=True)
            continue
        result = encode(
            views, lmbda=lmbda, preset=preset, profile=profile, steps=steps, device=device
        )  # fmt: skip
        content = result.content
        write_atomically(path, content)
        row = (
            scene, profile, preset, f"{lmbda:g}", result.steps, len(content), f"{result.bpp:.6f}",
            f"{result.psnr_yuv:.4f}", f"{result.psnr_yuv_min:.4f}", f"{result.seconds:.1f}",
            f"{decoding_seconds(path):.1f}", result.device, version(),
        )  # fmt: skip
        append_row(table, dict(zip(COLUMNS, map(str, row), strict=True)))


def append_row(table: Path, row: Mapping[str, str]) -> None:
    """Add a row to a CSV file, which begins with the names of its columns, and print it."""
    new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(",".join(row.values()), flush=True)


@click.command()
@click.argument("scene")
@click.argument("light_field", type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--lmbda", "lmbdas", default="1.5,4,10,30,110", show_default=True)
@click.option("--preset", type=click.Choice(list(PRESETS)), default="medium", show_default=True)
@click.option("--profile", type=click.Choice(list(PROFILES)), default="default", show_default=True)
@click.option("--steps", type=int, help="Instead of those of the preset.")
@click.option("--device", help="As torch names it.")
@click.option(
    "--csv", "table", type=click.Path(dir_okay=False, path_type=Path),
    default=TABLE, show_default="results/rd.csv",
)  # fmt: skip
def main(
    scene: str, light_field: Path, out: Path, lmbdas: str, preset: str, profile: str,
    steps: int | None, device: str | None, table: Path,
) -> None:  # fmt: skip
    """Fit LIGHT_FIELD at several rates."""
    views = read_light_field(light_field)
    measure(
        scene, views, out, [float(text) for text in lmbdas.split(",")], table, preset=preset,
        profile=profile, steps=steps, device=device,
    )  # fmt: skip


if __name__ == "__main__":
    main()
