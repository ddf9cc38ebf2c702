#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rewrite the golden files of tests/vectors: short fits, and files of random integers.

Usage: SANR_REGENERATE=1 python tools/make_vectors.py [NAME ...]

What is frozen is the decoding of these files, not the fit: the bytes differ from machine to
machine. Rewriting them is only right together with a new version of the format.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from random_vectors import RECIPES, content_of

TESTS = Path(__file__).resolve().parents[1] / "tests"
FOLDER = TESTS / "vectors"
MAX_BYTES = 10000
# The views whose samples are frozen: all integer ones, and this between them.
FRACTION = 0.3125
MAX_VIEWS = 64  # of a file that are all frozen

VECTORS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "default": ("profile default: two layers, occlusion, view MLP, per-view poses", {}, {}),
    "sanr": ("profile sanr: attention, no geometry, deeper view MLP", {}, {"profile": "sanr"}),
    "gray_10_bit_1x4": (
        "one channel, 10 bit, a single row of views, odd sizes",
        {"grid": (1, 4), "size": (17, 23), "channels": 1, "bit_depth": 10},
        {},
    ),
    "single_view": (
        "one view: no margins, no per-view poses; METADATA section",
        {"grid": (1, 1)},
        {"metadata": True},
    ),
}


def digest(view: np.ndarray) -> str:
    """SHA-256 of the samples ``[H, W, C]`` in C order, 16-bit ones little-endian."""
    return hashlib.sha256(view.astype(view.dtype.newbyteorder("<")).tobytes()).hexdigest()


def digest_of(view: np.ndarray, bit_depth: int) -> str:
    """The digest of samples of any integer type."""
    return digest(view.astype(np.uint8 if bit_depth == 8 else np.uint16))


def positions(grid: tuple[int, int]) -> list[tuple[float, float]]:
    """The views whose samples are frozen: all, of large grids some, and one between them."""
    n_v, n_u = grid
    found: list[tuple[float, float]] = list(np.ndindex(grid))
    if len(found) > MAX_VIEWS:
        rows, columns = ({0, (n - 1) // 2, n // 2, n - 1} for n in grid)
        found = [(v, u) for v in sorted(rows) for u in sorted(columns)]
    return [*found, (FRACTION * (n_v - 1), FRACTION * (n_u - 1))]


def describe(content: bytes) -> dict[str, Any]:
    """Everything about a file that must not change."""
    from sanrcodec.decoder import SanrFile

    opened = SanrFile(content)
    n_v, n_u = opened.grid
    corners = sorted({(0, 0), (0, n_u - 1), (n_v - 1, 0)})
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "shape": list(opened.shape),
        "bit_depth": opened.bit_depth,
        "views": {
            f"{v:.12g},{u:.12g}": digest(opened.view(v, u)) for v, u in positions(opened.grid)
        },
        "smaller": {
            f"{v},{u}@1/{n}": digest(opened.view(v, u, scale=1 / n))
            for n in (2, 4, 8)
            for v, u in corners
        },
    }


def fitted(name: str) -> bytes:
    """A short fit of a light field made by code."""
    import torch

    sys.path.insert(0, str(TESTS))
    from conftest import synthetic

    from sanrcodec.encoder import encode

    torch.set_num_threads(1)
    _, scene, options = VECTORS[name]
    return encode(synthetic(**scene), steps=150, lmbda=1.0, device="cpu", **options).content


def main() -> None:
    """Fit, write, describe."""
    if os.environ.get("SANR_REGENERATE") != "1":
        sys.exit("this rewrites the golden files; set SANR_REGENERATE=1 if you mean it")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these files")
    names = parser.parse_args().names or [*VECTORS, *RECIPES]
    FOLDER.mkdir(exist_ok=True)
    known = FOLDER / "expected.json"
    before = json.loads(known.read_text(encoding="utf-8")) if known.exists() else {}
    expected = {}
    for name in (*VECTORS, *RECIPES):
        path = FOLDER / f"{name}.sanr"
        covers = VECTORS[name][0] if name in VECTORS else RECIPES[name].covers
        if name in names:
            content = fitted(name) if name in VECTORS else content_of(RECIPES[name])
            if len(content) > MAX_BYTES:
                sys.exit(f"{path.name} has {len(content)} bytes, at most {MAX_BYTES} are wanted")
            path.write_bytes(content)
            print(f"{path.name}: {len(content)} bytes")
        elif path.name not in before:
            continue
        source = "examples/synthetic.py" if name in VECTORS else "tools/random_vectors.py"
        source += ", by this project (MIT)"
        described = describe(path.read_bytes())
        expected[path.name] = {"covers": covers, "source": source, **described}
    text = json.dumps(expected, indent=2) + "\n"
    (FOLDER / "expected.json").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
