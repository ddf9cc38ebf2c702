#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fuzz the decoder with atheris, which prefers mutants that reach new code.

Usage: python tests/fuzz/with_atheris.py [OPTION OF LIBFUZZER ...], for example -max_total_time=60

Needs `pip install atheris`. Files that reach new code are kept in ./fuzz_corpus, and a file that
raises anything but a SanrError in ./crash-*. Must not know what a run does: see target.py.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from itertools import chain
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sanrcodec"]):
    import target


def main() -> None:
    """Fuzz until a crash, or until an option ends it."""
    warnings.simplefilter("error")
    folder = Path.cwd() / "fuzz_corpus"
    folder.mkdir(exist_ok=True)
    for content in chain(*target.corpus()):
        (folder / hashlib.sha256(content).hexdigest()).write_bytes(content)
    atheris.Setup(
        [*sys.argv, "-max_len=3000", str(folder)],
        lambda data: target.decode(target.framed(target.sections(data))),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
