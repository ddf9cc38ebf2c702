#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fuzz the decoder: damaged files whose checksums and count of sections are mended.

Usage: python tests/fuzz/target.py [--runs N] [--seconds S] [--seed SEED] [--jobs J]

A seeded loop of mutations in J processes; with_atheris.py follows the coverage.
The corpus is tests/vectors and tests/faulty. Any exception but a SanrError is a finding: the file
that raised it is written to the current folder, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
import warnings
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import sanrcodec
from sanrcodec.bitstream.varint import pack_varint, unpack_varint
from sanrcodec.errors import SanrError

TESTS = Path(__file__).resolve().parents[1]
_START = 12  # signature, version, number of sections
_MAX_WORK, _MAX_PIXELS = 3e7, 2e4  # that a mutant may take: most of the time is for many of them


def corpus() -> tuple[list[bytes], list[bytes]]:
    """Files to begin with: right ones, and such as break one rule."""
    right, faulty = (sorted((TESTS / name).glob("*.sanr")) for name in ("vectors", "faulty"))
    return [path.read_bytes() for path in right], [path.read_bytes() for path in faulty]


def sections(content: bytes) -> list[tuple[bytes, bytes]]:
    """Type and payload of each section, as far as the file parses."""
    position, found = _START, []
    with suppress(SanrError):
        while position < len(content) and len(found) < 255:
            length, start = unpack_varint(content, position + 1, "")
            found.append((content[position : position + 1], content[start : start + length]))
            position = start + length + 4
    return found


def framed(parts: list[tuple[bytes, bytes]]) -> bytes:
    """A file of these sections: signature, version, their number, lengths and checksums are right.

    Without this nearly all damage would stop at a checksum.
    """
    bodies = [kind + pack_varint(len(payload)) + payload for kind, payload in parts]
    checked = [body + zlib.crc32(body).to_bytes(4, "little") for body in bodies]
    return corpus_start() + bytes([len(parts)]) + b"".join(checked)


def corpus_start() -> bytes:
    """Signature and version of this format."""
    return (TESTS / "vectors" / "single_view.sanr").read_bytes()[: _START - 1]


def decode(content: bytes) -> str:
    """Decode views of a file; tell what came of it.

    Returns:
        ``decoded``, or the name of the documented error.
    """
    try:
        opened = sanrcodec.open(content, max_work=_MAX_WORK, max_pixels=_MAX_PIXELS)
        n_v, n_u = opened.grid
        opened.view(0, 0)
        opened.view(n_v - 1, (n_u - 1) / 2, scale=1 / 4)
        _ = opened.metadata
    except SanrError as error:
        if "\n" in str(error):
            raise
        return type(error).__name__
    return "decoded"


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """A few bytes changed, inserted, removed or copied from elsewhere."""
    data = bytearray(content)
    for _ in range(int(random.geometric(0.4))):
        at = int(random.integers(len(data) + 1))
        kind = random.integers(5)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << int(random.integers(8))
        elif kind == 1 and at < len(data):
            data[at] = int(random.choice([0, 1, 0x7F, 0x80, 0xFF]))
        elif kind == 2:
            data[at:at] = random.bytes(int(random.integers(1, 9)))
        elif kind == 3:
            del data[at : at + int(random.integers(1, 9))]
        else:
            start = int(random.integers(len(data) + 1))
            data[at : at + 8] = data[start : start + 8]
    return bytes(data)


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """A file with damage in one payload, in its framing, or behind checksums that tell it."""
    parts, where = sections(content), random.random()
    if where < 0.5 and parts:
        at = int(random.integers(len(parts)))
        kind, payload = parts[at]
        parts[at] = kind, mutated(payload, random)
        return framed(parts)
    content = mutated(content, random)
    return framed(sections(content)) if where < 0.9 else content


@dataclass
class Report:
    """What came of the runs of one or several loops."""

    outcomes: Counter[str] = field(default_factory=Counter)
    crashes: list[str] = field(default_factory=list)  # seed, run, exception, file
    slowest: tuple[float, str] = (0.0, "")  # seconds of a process, seed and run
    peak_mib: float = 0.0  # resident memory of a process, at most; 0 where it is not told

    @property
    def runs(self) -> int:
        """Files that were decoded or refused."""
        return self.outcomes.total() + len(self.crashes)

    def __add__(self, other: Report) -> Report:
        return Report(
            self.outcomes + other.outcomes,
            self.crashes + other.crashes,
            max(self.slowest, other.slowest),
            max(self.peak_mib, other.peak_mib),
        )

    def __str__(self) -> str:
        seconds, where = self.slowest
        lines = [f"{self.runs} runs, {len(self.crashes)} crashes"]
        lines += [f"{name}: {count}" for name, count in self.outcomes.most_common()]
        lines += [f"slowest: {seconds:.2f} s ({where})", f"peak memory: {self.peak_mib:.0f} MiB"]
        return "\n".join([*lines, *self.crashes])


def loop(runs: int | None, seconds: float, seed: int) -> Report:
    """Mutate and decode until one of both limits is reached; tell what came of it."""
    warnings.simplefilter("error")
    random = np.random.default_rng(seed)
    # Damage of a right file goes deeper than that of a faulty one: as many runs for either.
    good, faulty = ([c for c in contents if len(c) < 3000] for contents in corpus())
    report = Report()
    begun = time.monotonic()
    while (runs is None or report.runs < runs) and time.monotonic() - begun < seconds:
        where = f"seed {seed}, run {report.runs}"
        small = good if random.random() < 0.5 else faulty
        content = damaged(small[int(random.integers(len(small)))], random)
        started = time.process_time()
        try:
            report.outcomes[decode(content)] += 1
        except Exception as error:  # any is a finding
            name = f"crash-{hashlib.sha256(content).hexdigest()[:16]}.sanr"
            Path(name).write_bytes(content)
            report.crashes.append(f"{where}: {type(error).__name__}: {error} ({name})")
        report.slowest = max(report.slowest, (time.process_time() - started, where))
    with suppress(ImportError):
        import resource  # not on Windows

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        report.peak_mib = peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return report


def loops(runs: int | None, seconds: float, seed: int, jobs: int) -> Report:
    """The loop in several processes, of seeds one after another; runs are those of all."""
    each = [None if runs is None else runs // jobs + (job < runs % jobs) for job in range(jobs)]
    with ProcessPoolExecutor(jobs) as pool:
        seeds = range(seed, seed + jobs)
        return sum(pool.map(loop, each, [seconds] * jobs, seeds), Report())


def main() -> int:
    """Run the loops and print their report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    report = loops(options.runs, options.seconds, options.seed, options.jobs)
    print(report)
    return 1 if report.crashes else 0


if __name__ == "__main__":
    sys.exit(main())
