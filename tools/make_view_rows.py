#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compile tools/view_rows.c into sanrcodec/viewer/view_rows.mjs.

Usage: python tools/make_view_rows.py [--clang clang-14]

Needs clang with its linker for WebAssembly (packages `clang` and `lld`). The bytes depend on their
version, the samples do not.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import subprocess
import tempfile
import textwrap
from pathlib import Path

SOURCE = Path(__file__).with_name("view_rows.c")
MODULE = SOURCE.parents[1] / "sanrcodec" / "viewer" / "view_rows.mjs"
OPTIONS = (
    "--target=wasm32", "-O3", "-msimd128", "-nostdlib", "-fno-builtin", "-fno-strict-aliasing",
    "-Wall", "-Wextra", "-Werror", "-Wl,--no-entry", "-Wl,--strip-all", "-Wl,-z,stack-size=65536",
)  # fmt: skip


def source_digest() -> str:
    """SHA-256 of the source, which the module names."""
    return hashlib.sha256(SOURCE.read_bytes()).hexdigest()


def compiled(clang: str) -> bytes:
    """The binary module."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "view_rows.wasm"
        subprocess.run([clang, *OPTIONS, "-o", str(out), str(SOURCE)], check=True)
        return out.read_bytes()


def module_of(binary: bytes) -> str:
    """The text of view_rows.mjs."""
    lines = textwrap.wrap(base64.b64encode(binary).decode("ascii"), 90)
    text = " +\n".join(f'  "{line}"' for line in lines)
    return (
        "// SPDX-License-Identifier: MIT\n"
        "/**\n"
        " * @file tools/view_rows.c in base64, compiled by tools/make_view_rows.py."
        " Must not be edited.\n"
        f" * SHA-256 of the source: {source_digest()}\n"
        " */\n"
        f"export const VIEW_ROWS =\n{text};\n"
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Compile tools/view_rows.c.")
    parser.add_argument("--clang", default="clang", help="the compiler")
    MODULE.write_text(module_of(compiled(parser.parse_args().clang)), encoding="ascii")


if __name__ == "__main__":
    main()
