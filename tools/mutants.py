#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which file of tests/vectors notices that a decoder leaves out a rule: a table of mutants.

Usage: python tools/mutants.py [--all] [NAME ...]

A mutant is tests/reference_decoder.py with one rule changed. A file catches it if a sample
differs, or if it is refused. By default the first file that does is told, with --all each of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tests" / "vectors"
REFERENCE = ROOT / "tests" / "reference_decoder.py"

MUTANTS = ROOT / "tools" / "mutants.txt"


@cache
def mutants() -> dict[str, tuple[str, str]]:
    """By name, what is replaced in the reference decoder, and by what."""
    found = {}
    for block in MUTANTS.read_text(encoding="utf-8").split("\n== ")[1:]:
        name, *lines = block.rstrip("\n").split("\n")
        old, new = ("\n".join(ln[2:] for ln in lines if ln[0] == sign) for sign in "-+")
        found[name] = old, new
    return found


@cache
def frozen() -> dict[str, dict[str, Any]]:
    """tests/vectors/expected.json."""
    text = (FOLDER / "expected.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found


def module_of(mutant: str | None) -> types.ModuleType:
    """The reference decoder, with one rule changed."""
    text = REFERENCE.read_text(encoding="utf-8")
    if mutant is not None:
        old, new = mutants()[mutant]
        if text.count(old) != 1:
            raise ValueError(f"mutant {mutant!r}: its text is there {text.count(old)} times")
        text = text.replace(old, new)
    module = types.ModuleType("reference_mutant")
    module.__file__ = str(REFERENCE)
    exec(compile(text, str(REFERENCE), "exec"), module.__dict__)
    return module


def catches(module: types.ModuleType, name: str) -> bool:
    """Whether a file's frozen samples differ from those of a decoder."""
    from make_vectors import digest_of

    expected = frozen()[name]
    try:
        opened = module.ReferenceDecoder((FOLDER / name).read_bytes())
        for key, wanted in (*expected["smaller"].items(), *expected["views"].items()):
            position, _, scale = key.partition("@1/")
            v, u = (round(256 * float(part)) for part in position.split(","))
            k = int(scale or 1).bit_length() - 1
            decoder = opened.smaller(k) if k else opened
            if digest_of(decoder.view(v, u), expected["bit_depth"]) != wanted:
                return True
    except Exception:  # a mutant may fail in any way
        return True
    return False


def caught_by(mutant: str, every: bool) -> Iterator[str]:
    """Files that catch a mutant; by default the first one."""
    module = module_of(mutant)
    # Extreme files come first: they catch most.
    for name in sorted(frozen(), key=lambda name: not name.startswith("extreme")):
        if catches(module, name):
            yield name
            if not every:
                return


def main() -> None:
    """Print the table; fail if a mutant survives."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="beginnings of mutants")
    parser.add_argument("--all", action="store_true", help="all files that catch a mutant")
    options = parser.parse_args()
    if any(catches(module_of(None), name) for name in frozen()):
        sys.exit("the reference decoder itself does not give the frozen samples")
    survivors = []
    print("| Mutant | Caught by |\n|---|---|")
    for mutant in mutants():
        if options.names and not mutant.startswith(tuple(options.names)):
            continue
        found = [name.removesuffix(".sanr") for name in caught_by(mutant, options.all)]
        survivors += [] if found else [mutant]
        print(f"| {mutant} | {', '.join(found) or '**nothing**'} |", flush=True)
    if survivors:
        sys.exit(f"{len(survivors)} mutants survive")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))
    main()
