# SPDX-License-Identifier: MIT
"""One encoding of the command line: reads, fits, writes and tells; imports torch only then."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sanrcodec.cli.input_options import read_source
from sanrcodec.cli.interrupt import Stop
from sanrcodec.cli.messages import LineHandler, note, result
from sanrcodec.cli.outputs import check_output, check_space, write_or_rescue
from sanrcodec.cli.progress import ProgressLine, clock
from sanrcodec.errors import SanrError
from sanrcodec.io.extras import handled_log
from sanrcodec.lightfield import LightField

if TYPE_CHECKING:
    from sanrcodec.encoder import EncodeResult

__all__ = ["ENDED_EARLY", "MISSED", "Job", "Outcome", "check_paths", "encode_one"]

ENDED_EARLY, MISSED = 3, 4  # exit codes of a fit whose file is written


@dataclass(frozen=True, slots=True)
class Job:
    """What is encoded, and how it is told.

    Attributes:
        source: File or folder.
        output: The .sanr file.
        checkpoint: Where the fit keeps its state, or None.
        options: About the input, and those of :func:`sanrcodec.encode`.
        force: Overwrite the output.
        quiet: No progress, no notes.
        as_json: The result is a line of JSON.
    """

    source: Path
    output: Path
    checkpoint: Path | None
    options: dict[str, Any]
    force: bool
    quiet: bool
    as_json: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job whose file is where it was asked for.

    Attributes:
        encoded: The file and its figures.
        seconds: Reading and writing included.
    """

    encoded: EncodeResult
    seconds: float


def encode_one(job: Job, rank: int, stop: Stop) -> Outcome:
    """Encode a light field, write the file and print the result.

    Args:
        job: What to do.
        rank: Of this process among those that work at it together; 0 writes, and speaks for all.
        stop: Tells whether an early end was asked for.

    Raises:
        click.Exit: on a rank that is not 0, when the fit failed.
        click.UsageError: there is no room for the output.
        SanrError: it failed, or the file lies elsewhere.
    """
    begun = time.monotonic()
    tell: Callable[[str], None] = (lambda line: None) if job.quiet or rank else note
    options = dict(job.options)
    light_field = read_source(job.source, options, tell).light_field
    if not rank:
        check_space(job.output, _room(light_field))
    encoded = _fitted(light_field, options, job, rank, stop, tell)
    if not encoded.steps:
        raise SanrError("the fit ended before its first step; nothing is written")
    outcome = Outcome(encoded, time.monotonic() - begun)
    if not rank:
        _write(job, outcome, stop, tell)
    return outcome


def check_paths(source: Path, output: Path, checkpoint: Path | None, force: bool) -> None:
    """Refuse what cannot or must not be written.

    Raises:
        click.UsageError: says what is in the way.
    """
    check_output(output, force, source)
    if checkpoint is not None:
        check_output(checkpoint, force=True)
        if os.path.realpath(checkpoint) in map(os.path.realpath, (output, source)):
            raise click.UsageError(f"{checkpoint} is the input or the output; choose another file")


def _fitted(
    light_field: LightField,
    options: dict[str, Any],
    job: Job,
    rank: int,
    stop: Stop,
    tell: Callable[[str], None],
) -> EncodeResult:
    """Fit, while a line tells the progress and others what goes wrong.

    Raises:
        click.Exit: on a rank that is not 0, when the fit failed.
        SanrError: it failed.
    """
    # PyTorch then asks for huge pages: page by page, new tensors take a tenth of a step on a CPU.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from sanrcodec import encoder

    options["preset"] = options["preset"] or encoder.default_preset(options["device"])
    progress = ProgressLine()

    def warn(line: str) -> None:
        progress.close()
        if rank == 0:  # it speaks for all
            note(f"Warning: {line}")

    with handled_log("sanrcodec", LineHandler(warn)):
        try:
            return encoder.encode(
                light_field,
                checkpoint=job.checkpoint,
                **options,
                progress=None if job.quiet or rank else progress,
                on_geometry=lambda line: tell(f"{job.source}: {line}"),
                on_estimate=lambda steps, seconds: tell(
                    f"preset {options['preset']}: {steps} steps take about {clock(seconds)}"
                ),
                should_stop=stop,
            )
        except SanrError:
            if rank:  # rank 0 tells it
                raise click.exceptions.Exit(1) from None
            raise
        finally:
            progress.close()


def _write(job: Job, outcome: Outcome, stop: Stop, tell: Callable[[str], None]) -> None:
    """Write the file and print the result.

    Raises:
        SanrError: the file lies elsewhere, or nowhere.
    """
    encoded = outcome.encoded
    place, reason = write_or_rescue(
        job.output, encoded.content, force=job.force, stop=stop, note=note
    )
    if job.checkpoint is not None:
        _end_checkpoint(job.checkpoint, encoded.finished and reason is None, tell)
    result(_to_json(job, place, outcome) if job.as_json else _describe(place, outcome))
    if encoded.missed:
        note(f"Warning: {encoded.missed}")
    if encoded.unused:
        tell(encoded.unused)
    if reason is not None:
        raise SanrError(f"{reason}; the file is {place}")


def _describe(place: Path, outcome: Outcome) -> str:
    encoded = outcome.encoded
    n_bytes = len(encoded.content)
    quality = (
        "quality not measured"
        if math.isnan(encoded.psnr_yuv)
        else f"PSNR-YUV {encoded.psnr_yuv:.2f} dB (worst view {encoded.psnr_yuv_min:.2f})"
    )
    early = "" if encoded.finished else f"ended early after {encoded.steps} steps  "
    return (
        f"{place}: {n_bytes} bytes  {encoded.bpp:.5f} bpp  {quality}  "
        f"estimate off by {100 * (encoded.estimated_bytes / n_bytes - 1):+.1f} %  {early}"
        f"encoded in {outcome.seconds:.1f} s on {encoded.device}"
    )


def _to_json(job: Job, place: Path, outcome: Outcome) -> str:
    encoded = outcome.encoded
    measured = not math.isnan(encoded.psnr_yuv)
    return json.dumps({
        "input": str(job.source), "output": str(place), "status": "done",
        "n_bytes": len(encoded.content), "bpp": encoded.bpp,
        "psnr_yuv": encoded.psnr_yuv if measured else None,
        "psnr_yuv_min": encoded.psnr_yuv_min if measured else None,
        "lmbda": encoded.lmbda, "missed": encoded.missed or None,
        "unused": encoded.unused or None,
        "warnings": list(encoded.warnings), "geometry": encoded.geometry, "steps": encoded.steps,
        "finished": encoded.finished, "seconds": outcome.seconds, "device": encoded.device,
    })  # fmt: skip


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
