# SPDX-License-Identifier: MIT
"""``sanr encode``; imports the encoder, and with it torch, only when it is called."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import click

from sanrcodec.cli.encoding import ENDED_EARLY, MISSED, Job, check_paths, encode_one
from sanrcodec.cli.input_options import inputs_options
from sanrcodec.cli.interrupt import stop_at_signals
from sanrcodec.cli.many import encode_many
from sanrcodec.cli.options import OUTPUT_FILE, FilePath, Parsed, number_option, parse_size
from sanrcodec.io.image import SUFFIXES
from sanrcodec.presets import DEFAULT_LMBDA, PRESETS, PROFILES

__all__ = ["command"]

_STOPPING = "stopping; the state reached is written. Ctrl-C again aborts"
_TARGETS = ("lmbda", "bpp", "psnr", "max_size", "quality")


class _Size(NamedTuple):
    """A size as it was written, which messages repeat, and in bytes."""

    text: str
    n_bytes: int

    @classmethod
    def of(cls, text: str) -> _Size:
        """Read it.

        Raises:
            LightFieldError: it is none.
        """
        return cls(text, parse_size(text))


@click.command("encode", short_help="Compress a light field.")
@inputs_options
@click.option(
    "-o", "--output", type=FilePath(), required=True, metavar="OUT.sanr|FOLDER/",
    help="File to write, or the folder for the files of several inputs.",
)  # fmt: skip
@number_option(
    "--lmbda", "lmbda",
    help=f"Weight of the rate; higher gives smaller files.  [default: {DEFAULT_LMBDA:g}]",
)  # fmt: skip
@number_option("--bpp", "bpp", help="Instead: bits per pixel that the file shall have, within 3 %.")
@number_option(
    "--psnr", "psnr", metavar="DB", help="Instead: PSNR-YUV that it shall have, within 0.2 dB."
)
@click.option(
    "--max-size", type=Parsed("SIZE", _Size.of), metavar="SIZE",
    help="Instead: size that it must not exceed, such as 50kB or 20000.",
)  # fmt: skip
@number_option(
    "--quality", "quality",
    help="Instead: a ladder that means the same for every scene, PSNR-YUV = 25 + quality / 4 dB.",
)  # fmt: skip
@click.option(
    "--preset", type=click.Choice(list(PRESETS)),
    help="Effort of the fit.  [default: medium with a CUDA device, else fast]",
)  # fmt: skip
@click.option(
    "--profile", type=click.Choice(list(PROFILES)), default="default", show_default=True,
    help="Scene model: with depth layers, or SANR as published.",
)  # fmt: skip
@number_option(
    "--steps", "steps", is_whole=True, help="Steps of the fit, instead of those of the preset."
)
@number_option(
    "--time-budget", "time_budget", metavar="SECONDS",
    help="Time that the fit may take; its schedule shrinks to fit.",
)  # fmt: skip
@click.option(
    "--checkpoint", type=OUTPUT_FILE, metavar="FILE",
    help="Keep the state of the fit here; if FILE exists, go on from it.",
)  # fmt: skip
@number_option(
    "--checkpoint-every", "checkpoint_seconds", default=60.0, show_default=True,
    metavar="SECONDS", help="Time between two states.",
)  # fmt: skip
@click.option("--device", help="Such as cpu or cuda:0.  [default: a CUDA device if there is one]")
@number_option("--seed", "seed", is_whole=True, default=0, show_default=True, help="Of the fit.")
@click.option(
    "--metadata/--no-metadata", default=False, show_default=True,
    help="Keep options and versions in the file.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite the output.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as a line of JSON.")
@click.option("--quiet", is_flag=True, help="No progress, no notes.")
def command(
    sources: tuple[Path, ...],
    output: str,
    checkpoint: Path | None,
    force: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Compress the light field INPUT: a folder of views, one image of all views, or an array.

    At most one of --lmbda, --bpp, --psnr, --max-size and --quality says what file is wanted. If it
    cannot be reached, a warning says what was, and the exit code is 4. A file that stays below
    --max-size is no miss: a note says what is left.

    Several INPUTs are encoded one after the other to FOLDER/NAME.sanr. One that fails is told, and
    the rest goes on; those that are there already are skipped, unless --force is given. Processes
    of torchrun share one INPUT, but take turns at several.

    Ctrl-C ends the fit early and still writes the file, as do SIGTERM and a closed terminal; the
    exit code is 3 then. A second Ctrl-C aborts. A checkpoint is removed once the file of a finished
    fit is written, and kept otherwise. A file that cannot be written where it was asked for is
    written beside, or to the folder for temporary files, and the exit code is 1.
    """
    given = {
        f"--{name.replace('_', '-')}": options[name]
        for name in _TARGETS
        if options[name] is not None
    }
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} contradict each other; give one of them")
    for flag, value in given.items():
        options["asked_as"] = f"{flag} {value.text if flag == '--max-size' else format(value, 'g')}"
    if options["max_size"] is not None:
        options["max_size"] = options["max_size"].n_bytes
    rank, n_ranks = _rank()
    if len(sources) > 1 or output.endswith(("/", os.sep)):
        if checkpoint is not None:
            raise click.UsageError("--checkpoint is the state of one fit; give one INPUT")
        if output.lower().endswith(".sanr") and not os.path.isdir(output):
            raise click.UsageError(f"{output} is named like one file; several INPUTs need a folder")
        jobs = [Job(s, Path(output), None, options, force, quiet, as_json) for s in sources]
        with stop_at_signals(_STOPPING) as stop:
            code = encode_many(jobs, Path(output), rank, n_ranks, stop)
        raise click.exceptions.Exit(code)
    (source,) = sources
    check_paths(source, Path(output), checkpoint, force)
    if Path(output).suffix.lower() in SUFFIXES:
        name = Path(output).with_suffix(".sanr")
        raise click.UsageError(f"{output} is named like an image, expected a name such as {name}")
    job = Job(source, Path(output), checkpoint, options, force, quiet, as_json)
    with stop_at_signals("" if rank else _STOPPING) as stop:
        encoded = encode_one(job, rank, stop).encoded
    if not encoded.finished and not rank:
        raise click.exceptions.Exit(ENDED_EARLY)
    if encoded.missed and not rank:
        raise click.exceptions.Exit(MISSED)


def _rank() -> tuple[int, int]:
    """Number of this process among those of torchrun, and how many these are."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        with suppress(KeyError, ValueError):
            rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
            return (rank, size) if 0 <= rank < size else (0, 1)
    return 0, 1  # whatever is missing or wrong, the encoder tells it
