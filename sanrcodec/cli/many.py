# SPDX-License-Identifier: MIT
"""Several encodings in one process, which compiles kernels once; a failure is told and passed."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from sanrcodec.cli.encoding import ENDED_EARLY, MISSED, Job, check_paths, encode_one
from sanrcodec.cli.interrupt import Stop
from sanrcodec.cli.messages import describe, note, result
from sanrcodec.errors import SanrError

__all__ = ["encode_many"]

_FAILED = 1  # exit code


def encode_many(jobs: Sequence[Job], folder: Path, rank: int, n_ranks: int, stop: Stop) -> int:
    """Encode light fields one after the other, and print a table of what became of them.

    Args:
        jobs: In order; their outputs are named after their inputs.
        folder: Of the outputs; created if it is missing.
        rank: Number of this process.
        n_ranks: Number of processes; each takes every ``n_ranks``-th job.
        stop: An early end of the running fit is that of the remaining jobs, too.

    Returns:
        Exit code: 1 if one failed, else 3 if one ended early, else 4 if one missed its target,
        else 0.

    Raises:
        click.UsageError: two inputs have the same name, or the folder cannot be created.
    """
    outputs: dict[Path, Path] = {}
    for job in jobs:
        output = folder / f"{_name(job.source)}.sanr"
        if output in outputs:
            raise click.UsageError(
                f"{outputs[output]} and {job.source} would both be {output}; give them one by one"
            )
        outputs[output] = job.source
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"{folder}: cannot create this folder: {error.strerror}") from None
    mine = [replace(j, output=o) for j, o in zip(jobs, outputs, strict=True)][rank::n_ranks]
    rows: list[tuple[str, ...]] = []
    codes = {0}
    for job in mine:
        code, *row = _attempt(job, n_ranks, stop)
        codes.add(code)
        rows.append((str(job.source), *row))
    if not mine:
        return 0
    if not mine[0].as_json:
        result("", *_table(rows))
    return next(code for code in (_FAILED, ENDED_EARLY, MISSED, 0) if code in codes)


def _attempt(job: Job, n_ranks: int, stop: Stop) -> tuple[int, str, str, str, str]:
    """Do a job; returns its exit code, and status, bytes, PSNR-YUV and seconds for the table."""
    if stop():
        return ENDED_EARLY, *_told(job, "not begun")
    if job.output.is_file() and not job.force:
        return 0, *_told(job, "skipped")
    try:
        check_paths(job.source, job.output, None, job.force)
        with ExitStack() as held:
            if n_ranks > 1:
                from sanrcodec.encoder import apart

                held.enter_context(apart())
            outcome = encode_one(job, 0, stop)
    except (SanrError, OSError, MemoryError, click.UsageError) as error:
        reason = error.message if isinstance(error, click.UsageError) else describe(error)
        note(f"Error: {reason}")
        return _FAILED, *_told(job, "failed", reason)
    encoded = outcome.encoded
    code = ENDED_EARLY if not encoded.finished else MISSED if encoded.missed else 0
    status = {0: "done", ENDED_EARLY: "ended early", MISSED: "target missed"}[code]
    figures = f"{len(encoded.content)}", f"{encoded.psnr_yuv:.2f}", f"{outcome.seconds:.1f}"
    return code, status, *figures


def _told(job: Job, status: str, reason: str | None = None) -> tuple[str, str, str, str]:
    """Print a job that gave no file, where results are lines of JSON."""
    if job.as_json:
        line = {"input": str(job.source), "output": str(job.output), "status": status}
        result(json.dumps({**line, "reason": reason} if reason else line))
    return status, "", "", ""


def _name(source: Path) -> str:
    resolved = Path(os.path.realpath(source))
    return (resolved.name if resolved.is_dir() else resolved.stem) or "input"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    head = ("input", "status", "bytes", "PSNR-YUV", "seconds")
    table = [head, *rows]
    widths = [max(len(row[k]) for row in table) for k in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if k < 2 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
