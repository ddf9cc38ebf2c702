#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fuzz the decoder: damaged files whose checksums and count of sections are mended.

Usage: python tests/fuzz/target.py [--runs N | --seconds S] [--seed SEED]

Uses atheris, which follows the coverage, where it is installed; else a seeded loop of mutations.
The corpus is tests/vectors and tests/faulty. Any exception but a SanrError is a finding: the file
that raised it is written to the current folder.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
import warnings
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np

import sanrcodec
from sanrcodec.bitstream.varint import pack_varint, unpack_varint
from sanrcodec.errors import SanrError

TESTS = Path(__file__).resolve().parents[1]
_START = 12  # signature, version, number of sections
_MAX_WORK, _MAX_PIXELS = 3e7, 2e4  # that a mutant may take: most of the time is for many of them


def corpus() -> list[bytes]:
    """Files to begin with."""
    paths = [
        *sorted((TESTS / "vectors").glob("*.sanr")),
        *sorted((TESTS / "faulty").glob("*.sanr")),
    ]
    return [path.read_bytes() for path in paths]


def mended(content: bytes) -> bytes:
    """A file with right signature, version, number of sections, lengths and checksums.

    What does not parse is cut off. Without this nearly all damage would stop at a checksum.
    """
    good = corpus_start()
    position, sections = _START, []
    with suppress(SanrError):
        while position < len(content) and len(sections) < 255:
            length, start = unpack_varint(content, position + 1, "")
            payload = content[start : start + length]
            framed = content[position : position + 1] + pack_varint(len(payload)) + payload
            sections.append(framed + zlib.crc32(framed).to_bytes(4, "little"))
            position = start + length + 4
    return good + bytes([len(sections)]) + b"".join(sections)


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


def loop(runs: int | None, seconds: float, seed: int) -> Counter[str]:
    """Mutate and decode until one of both limits is reached; count what came of it."""
    random, files = np.random.default_rng(seed), corpus()
    small = [content for content in files if len(content) < 3000]
    found: Counter[str] = Counter()
    begun = time.monotonic()
    while (runs is None or found.total() < runs) and time.monotonic() - begun < seconds:
        content = mutated(small[int(random.integers(len(small)))], random)
        content = mended(content) if random.random() < 0.9 else content
        try:
            found[decode(content)] += 1
        except Exception:
            name = f"crash-{hashlib.sha256(content).hexdigest()[:16]}.sanr"
            Path(name).write_bytes(content)
            print(f"seed {seed}, run {found.total()}: {name}", file=sys.stderr)
            raise
    return found


def main() -> None:
    """Run atheris, or the loop."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    options, rest = parser.parse_known_args()
    warnings.simplefilter("error")
    try:
        import atheris
    except ImportError:
        found = loop(options.runs, options.seconds, options.seed)
        print(f"{found.total()} runs, no crash: {dict(found.most_common())}")
        return
    folder = Path.cwd() / "fuzz_corpus"
    folder.mkdir(exist_ok=True)
    for content in corpus():
        (folder / hashlib.sha256(content).hexdigest()).write_bytes(content)
    limit = f"-runs={options.runs}" if options.runs else f"-max_total_time={options.seconds:.0f}"
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], str(folder), limit, f"-seed={options.seed}", *rest],
                  lambda data: decode(mended(data)))  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    main()
