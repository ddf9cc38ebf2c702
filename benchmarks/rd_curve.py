#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rate-distortion curves and README's table of BD-rates, of results/ or of your own light fields.

Usage: python benchmarks/rd_curve.py                     (needs the extra `benchmarks`)
       python benchmarks/rd_curve.py OUT LIGHTFIELD...   (needs ffmpeg and the extra `encoder` too)

Without arguments it draws results/rd.png from rd.csv and anchors.csv, and prints the table of
README.md. With light fields it fits each at several rates, runs x265, AV1 and VVC on the same views
as far as ffmpeg has them, writes OUT/rd.csv and OUT/anchors.csv, and does the same with these.
Files and rows that are there already are left alone, so that a run that ended early goes on.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import matplotlib.pyplot as plt
from bd_rate import HEADS, comparison_table, scenes_table
from curves import (
    FEW_RATES,
    MIN_POINTS,
    RATES,
    RESULTS,
    Point,
    Selection,
    anchor_curves,
    our_curves,
)
from video_codecs import CODECS, available, find_ffmpeg, measure_codec

from sanrcodec.bitstream.container import VERSION
from sanrcodec.io import read_light_field
from sanrcodec.presets import PRESETS

Curves = Mapping[str, Sequence[Point]]
CURVES = {
    "medium": Selection(),
    "slow": Selection(preset="slow"),
    "medium, no geometry": Selection(profile="sanr", rates=FEW_RATES),
}
COLUMN_HEADS = {**HEADS, "aom-av1": "vs AV1 (libaom)"}


def draw(
    out: Path, ours: Mapping[str, Curves], theirs: Mapping[str, Curves], scenes: Sequence[str]
) -> None:
    """Draw one panel for every scene.

    Args:
        out: Picture.
        ours: Name of a curve -> scene -> points.
        theirs: Scene -> codec -> points.
        scenes: In order.
    """
    _, panels = plt.subplots(1, len(scenes), figsize=(6 * len(scenes), 5), squeeze=False)
    for panel, scene in zip(panels[0], scenes, strict=True):
        for codec, points in sorted(theirs.get(scene, {}).items()):
            rate, psnr, _ = zip(*sorted(points), strict=True)
            panel.semilogx(rate, psnr, ":", marker=".", label=codec)
        for name, curves in ours.items():
            if scene in curves:
                rate, psnr, _ = zip(*sorted(curves[scene]), strict=True)
                panel.semilogx(rate, psnr, "-o", label=f"sanr: {name}")
        panel.set(title=scene, xlabel="bpp", ylabel="PSNR-YUV [dB]")
        panel.grid(alpha=0.3, which="both")
    panels[0][0].legend()
    plt.tight_layout()
    plt.savefig(out, dpi=80)


def run_codecs(
    ffmpeg: str, codecs: Sequence[str], scene: str, path: Path, table: Path, points: int
) -> None:
    """Add the rows of video codecs that the table does not have yet.

    Args:
        ffmpeg: Path.
        codecs: Keys of `CODECS`.
        scene: Name for the rows.
        path: Of the light field.
        table: CSV file.
        points: Qualities of each codec, evenly from all that it has.
    """
    from measure import append_row

    known = set()
    if table.exists():
        with table.open(newline="") as lines:
            known = {
                (r["scene"], r["codec"], r["setting"].split()[0]) for r in csv.DictReader(lines)
            }
    views = read_light_field(path)
    for name in codecs:
        codec = CODECS[name]
        last = len(codec.qualities) - 1
        chosen = {codec.qualities[round(k * last / max(1, points - 1))] for k in range(points)}
        for quality in sorted(chosen):
            if (scene, name, f"{codec.word}={quality}") not in known:
                append_row(table, measure_codec(ffmpeg, scene, views, name, quality))


@click.command()
@click.argument("out", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.argument("light_fields", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--preset", type=click.Choice(list(PRESETS)), default="medium", show_default=True)
@click.option("--steps", type=int, help="Of each fit, instead of those of the preset.")
@click.option("--lmbda", "lmbdas", default=",".join(RATES), show_default=True)
@click.option("--device", help="As torch names it.")
@click.option("--ffmpeg", help="Its path.  [default: that of the system, or of imageio-ffmpeg]")
@click.option(
    "--codec", "codecs", multiple=True, type=click.Choice(list(CODECS)),
    help="Video codec to run; give it several times.  [default: all that ffmpeg has]",
)  # fmt: skip
@click.option(
    "--points", type=click.IntRange(1, 6), default=6, show_default=True,
    help="Files of each video codec; a BD-rate needs four.",
)  # fmt: skip
def main(
    out: Path | None, light_fields: tuple[Path, ...], preset: str, steps: int | None, lmbdas: str,
    device: str | None, ffmpeg: str | None, codecs: tuple[str, ...], points: int,
) -> None:  # fmt: skip
    """Draw curves and print BD-rates: of results/, or of LIGHT_FIELDS that are measured to OUT."""
    if out is None:
        ours = {name: our_curves(selection) for name, selection in CURVES.items()}
        scenes = [name for name, curve in ours["medium"].items() if len(curve) >= MIN_POINTS]
        draw(RESULTS / "rd.png", ours, anchor_curves(), scenes)
        print(scenes_table(Selection()))
        return
    if not light_fields:
        raise click.UsageError("give light fields, or no argument at all")
    names = [path.name if path.is_dir() else path.stem for path in light_fields]
    if len(set(names)) < len(names):
        raise click.UsageError("two light fields have the same name; rename one")
    try:
        found = find_ffmpeg(ffmpeg)
    except FileNotFoundError as error:
        raise click.UsageError(str(error)) from None
    missing = set(codecs) - set(available(found))
    if missing:
        raise click.UsageError(f"{found} has no encoder for {', '.join(sorted(missing))}")
    chosen = codecs or tuple(available(found))
    out.mkdir(parents=True, exist_ok=True)
    ours_table, their_table = out / "rd.csv", out / "anchors.csv"
    rates = [f"{float(rate):g}" for rate in lmbdas.split(",")]
    from measure import measure  # with it torch, which the curves of results/ do without

    for path, name in zip(light_fields, names, strict=True):
        try:
            run_codecs(found, chosen, name, path, their_table, points)
        except (RuntimeError, ValueError) as error:
            raise click.ClickException(f"{path}: {error}") from None
        measure(
            name, read_light_field(path), out, [float(rate) for rate in rates], ours_table,
            preset=preset, steps=steps, device=device,
        )  # fmt: skip
    newest = ".".join(map(str, VERSION))
    selection = Selection(preset=preset, format=newest, rates=rates, cpu_too=True)
    curves = our_curves(selection, ours_table)
    anchors = anchor_curves(their_table)
    draw(out / "rd.png", {preset: curves}, anchors, names)
    heads = {codec: head for codec, head in COLUMN_HEADS.items() if codec in chosen}
    print(comparison_table(curves, anchors, {name: name for name in names}, heads))


if __name__ == "__main__":
    main()
