# SPDX-License-Identifier: MIT
"""``sanr encode``; imports the encoder, and with it torch, only when it is called."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from sanrcodec.cli.input_options import input_options, read_source
from sanrcodec.cli.interrupt import stop_at_signals
from sanrcodec.cli.messages import logged, note, result
from sanrcodec.cli.options import OUTPUT_FILE, FiniteRange
from sanrcodec.cli.outputs import check_output, check_space, write_or_rescue
from sanrcodec.cli.progress import ProgressLine
from sanrcodec.errors import SanrError
from sanrcodec.lightfield import LightField
from sanrcodec.presets import (
    DEFAULT_LMBDA,
    MAX_LMBDA,
    MAX_SECONDS,
    MAX_SEED,
    MAX_STEPS,
    MIN_LMBDA,
    PRESETS,
    PROFILES,
)

__all__ = ["ENDED_EARLY", "command"]

ENDED_EARLY = 3  # exit code
_STOPPING = "stopping; the state reached is written. Ctrl-C again aborts"


@click.command("encode", short_help="Compress a light field.")
@input_options
@click.option(
    "-o", "--output", type=OUTPUT_FILE, required=True,
    metavar="OUT.sanr", help="File to write.",
)  # fmt: skip
@click.option(
    "--lmbda", type=FiniteRange(MIN_LMBDA, MAX_LMBDA), default=DEFAULT_LMBDA,
    show_default=True, help="Weight of the rate; higher gives smaller files.",
)  # fmt: skip
@click.option(
    "--preset", type=click.Choice(list(PRESETS)), default="medium", show_default=True,
    help="Effort of the fit.",
)  # fmt: skip
@click.option(
    "--profile", type=click.Choice(list(PROFILES)), default="default", show_default=True,
    help="Scene model: with depth layers, or SANR as published.",
)  # fmt: skip
@click.option(
    "--steps",
    type=click.IntRange(1, MAX_STEPS),
    help="Steps of the fit, instead of those of the preset.",
)
@click.option(
    "--time-budget", type=FiniteRange(0, MAX_SECONDS, min_open=True), metavar="SECONDS",
    help="Time that the fit may take; its schedule shrinks to fit.",
)  # fmt: skip
@click.option(
    "--checkpoint", type=OUTPUT_FILE, metavar="FILE",
    help="Keep the state of the fit here; if FILE exists, go on from it.",
)  # fmt: skip
@click.option(
    "--checkpoint-every", "checkpoint_seconds", type=FiniteRange(0, MAX_SECONDS), default=60.0,
    show_default=True, metavar="SECONDS", help="Time between two states.",
)  # fmt: skip
@click.option("--device", help="Such as cpu or cuda:0.  [default: a CUDA device if there is one]")
@click.option(
    "--seed", type=click.IntRange(0, MAX_SEED), default=0, show_default=True, help="Of the fit."
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
    checkpoint: Path | None,
    force: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Compress the light field INPUT: a folder of views, one image of all views, or an array.

    Ctrl-C ends the fit early and still writes the file, as do SIGTERM and a closed terminal; the
    exit code is 3 then. A second Ctrl-C aborts. A checkpoint is removed once the file of a finished
    fit is written, and kept otherwise. A file that cannot be written where it was asked for is
    written beside, or to the folder for temporary files, and the exit code is 1.
    """
    begun = time.monotonic()
    _check_paths(source, output, checkpoint, force)
    rank = _rank()
    quiet = quiet or rank > 0
    tell = (lambda line: None) if quiet else note
    light_field = read_source(source, options, tell).light_field
    if not rank:
        check_space(output, _room(light_field))

    # PyTorch then asks for huge pages: page by page, new tensors take a tenth of a step on a CPU.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from sanrcodec import encoder

    progress = ProgressLine()

    def warn(line: str) -> None:
        progress.close()
        if not rank:  # it speaks for all
            note(f"Warning: {line}")

    with stop_at_signals("" if rank else _STOPPING) as stop, logged(warn):
        try:
            encoded = encoder.encode(
                light_field,
                checkpoint=checkpoint,
                **options,
                progress=None if quiet else progress,
                on_geometry=lambda line: tell(f"{source}: {line}"),
                should_stop=stop,
            )
        except SanrError:
            if rank:  # rank 0 tells it
                raise click.exceptions.Exit(1) from None
            raise
        finally:
            progress.close()
        if not encoded.steps:
            raise SanrError("the fit ended before its first step; nothing is written")
        if rank:
            return
        place, reason = write_or_rescue(output, encoded.content, force=force, stop=stop, note=note)
        if checkpoint is not None:
            _end_checkpoint(checkpoint, encoded.finished and reason is None, tell)
    n_bytes = len(encoded.content)
    quality = (
        "quality not measured"
        if math.isnan(encoded.psnr_yuv)
        else f"PSNR-YUV {encoded.psnr_yuv:.2f} dB (worst view {encoded.psnr_yuv_min:.2f})"
    )
    early = "" if encoded.finished else f"ended early after {encoded.steps} steps  "
    result(
        f"{place}: {n_bytes} bytes  {encoded.bpp:.5f} bpp  {quality}  "
        f"estimate off by {100 * (encoded.estimated_bytes / n_bytes - 1):+.1f} %  {early}"
        f"encoded in {time.monotonic() - begun:.1f} s on {encoded.device}"
    )
    if reason is not None:
        raise SanrError(f"{reason}; the file is {place}")
    if not encoded.finished:
        raise click.exceptions.Exit(ENDED_EARLY)


def _check_paths(source: Path, output: Path, checkpoint: Path | None, force: bool) -> None:
    check_output(output, force)
    if output.exists() and source.exists() and output.samefile(source):
        raise click.UsageError(f"{output} is the input; choose another output")
    if checkpoint is not None:
        check_output(checkpoint, force=True)
        if os.path.realpath(checkpoint) in map(os.path.realpath, (output, source)):
            raise click.UsageError(f"{checkpoint} is the input or the output; choose another file")


def _room(light_field: LightField) -> int:
    """Bytes that an output hardly ever needs: a quarter of a bit per pixel of all views."""
    n_pixels = math.prod(light_field.shape[:4])
    return min(max(n_pixels // 32, 1 << 16), 1 << 26)


def _end_checkpoint(checkpoint: Path, is_done: bool, tell: Callable[[str], None]) -> None:
    if not is_done:
        tell(f"{checkpoint}: kept; the same command with --force goes on with the fit")
        return
    try:
        checkpoint.unlink(missing_ok=True)
    except OSError as error:
        tell(f"{checkpoint}: cannot be removed ({error.strerror}), though it is not needed now")


def _rank() -> int:
    """Number of this process among those of torchrun; 0 writes, and speaks for all."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        with suppress(KeyError, ValueError):
            rank = int(os.environ["RANK"])
            return rank if 0 <= rank < int(os.environ["WORLD_SIZE"]) else 0
    return 0  # whatever is missing or wrong, the encoder tells it
