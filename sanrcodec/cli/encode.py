# SPDX-License-Identifier: MIT
"""``sanr encode``; imports the encoder, and with it torch, only when it is called."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

from sanrcodec.cli.interrupt import stop_at_interrupt
from sanrcodec.cli.messages import note
from sanrcodec.cli.options import DEFAULT_LMBDA, GRID, OUTPUT_FILE, PATH, PRESETS, PROFILES
from sanrcodec.cli.outputs import check_output
from sanrcodec.cli.progress import ProgressLine
from sanrcodec.errors import SanrError
from sanrcodec.io import LAYOUTS, read_light_field, write_atomically

__all__ = ["command"]


@click.command("encode", short_help="Compress a light field.")
@click.argument("source", metavar="INPUT", type=PATH)
@click.option(
    "-o", "--output", type=OUTPUT_FILE, required=True,
    metavar="OUT.sanr", help="File to write.",
)  # fmt: skip
@click.option(
    "--grid", type=GRID, metavar="VxU",
    help="Number of views, rows first, if the input does not tell it.",
)  # fmt: skip
@click.option(
    "--layout", type=click.Choice(LAYOUTS),
    help="How the views lie in the input.  [default: told by its kind; never lenslet]",
)  # fmt: skip
@click.option(
    "--bit-depth", type=click.IntRange(8, 16),
    help="Significant bits of a sample, if the input does not tell them.",
)  # fmt: skip
@click.option(
    "--lmbda", type=click.FloatRange(min=0, min_open=True), default=DEFAULT_LMBDA,
    show_default=True, help="Weight of the rate; higher gives smaller files.",
)  # fmt: skip
@click.option(
    "--preset", type=click.Choice(PRESETS), default="medium", show_default=True,
    help="Effort of the fit.",
)  # fmt: skip
@click.option(
    "--profile", type=click.Choice(PROFILES), default="default", show_default=True,
    help="Scene model: with depth layers, or SANR as published.",
)  # fmt: skip
@click.option(
    "--steps", type=click.IntRange(min=1), help="Steps of the fit, instead of those of the preset."
)
@click.option(
    "--time-budget", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
    help="Time that the fit may take; its schedule shrinks to fit.",
)  # fmt: skip
@click.option(
    "--checkpoint", type=OUTPUT_FILE, metavar="FILE",
    help="Keep the state of the fit here; if FILE exists, go on from it.",
)  # fmt: skip
@click.option(
    "--checkpoint-every", "checkpoint_seconds", type=click.FloatRange(min=0), default=60.0,
    show_default=True, metavar="SECONDS", help="Time between two states.",
)  # fmt: skip
@click.option("--device", help="Such as cpu or cuda:0.  [default: a CUDA device if there is one]")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Of the fit."
)
@click.option(
    "--metadata/--no-metadata", default=False, show_default=True,
    help="Keep options and versions in the file.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite the output.")
@click.option("--quiet", is_flag=True, help="No progress, no notes.")
def command(
    source: Path,
    output: Path,
    grid: tuple[int, int] | None,
    layout: str | None,
    bit_depth: int | None,
    checkpoint: Path | None,
    force: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Compress the light field INPUT: a folder of views, one image of all views, or a .npy file.

    Ctrl-C ends the fit early and still writes the file; a second Ctrl-C aborts. A checkpoint is
    removed once the file of a finished fit is written, and kept otherwise.
    """
    begun = time.monotonic()
    check_output(output, force)
    if output.exists() and source.exists() and output.samefile(source):
        raise click.UsageError(f"{output} is the input; choose another output")
    if checkpoint is not None:
        check_output(checkpoint, force=True)
        if checkpoint.resolve() in (output.resolve(), source.resolve()):
            raise click.UsageError(f"{checkpoint} is the input or the output; choose another file")
    rank = _rank()
    quiet = quiet or rank > 0
    tell = (lambda line: None) if quiet else note
    light_field = read_light_field(source, grid, layout, bit_depth, tell)

    # PyTorch then asks for huge pages: page by page, new tensors take a tenth of a step on a CPU.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from sanrcodec import encoder

    progress = None if quiet else ProgressLine()
    with stop_at_interrupt(quiet=rank > 0) as should_stop:
        try:
            result = encoder.encode(
                light_field,
                checkpoint=checkpoint,
                **options,
                progress=progress,
                should_stop=should_stop,
            )
        except SanrError:
            if rank:  # rank 0 tells it
                raise click.exceptions.Exit(1) from None
            raise
        finally:
            if progress:
                progress.close()
        if not result.steps:
            raise SanrError("interrupted before the first step of the fit; nothing is written")
        if rank:
            return
        write_atomically(output, result.content)
        if checkpoint is not None and result.finished:
            checkpoint.unlink(missing_ok=True)
        elif checkpoint is not None:
            tell(f"{checkpoint}: kept; the same command with --force goes on with the fit")
    n_bytes = len(result.content)
    click.echo(
        f"{output}: {n_bytes} bytes  {result.bpp:.5f} bpp  PSNR-YUV {result.psnr_yuv:.2f} dB "
        f"(worst view {result.psnr_yuv_min:.2f})  "
        f"estimate off by {100 * (result.estimated_bytes / n_bytes - 1):+.1f} %  "
        f"encoded in {time.monotonic() - begun:.1f} s on {result.device}"
    )


def _rank() -> int:
    """Number of this process among those of torchrun; 0 writes, and speaks for all."""
    return int(os.environ["RANK"]) if "TORCHELASTIC_RUN_ID" in os.environ else 0
