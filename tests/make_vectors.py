#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rewrite the golden files of tests/vectors: short fits of light fields made by code.

Usage: SANR_REGENERATE=1 python tests/make_vectors.py

What is frozen is the decoding of these files, not the fit: the bytes differ from machine to
machine. Rewriting them is only right together with a new version of the format.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parent / "vectors"
MAX_BYTES = 3000
# The views whose samples are frozen: all integer ones, and this between them.
FRACTION = 0.3125

VECTORS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "default": ("profile default: two layers, occlusion, view MLP, per-view poses", {}, {}),
    "sanr": ("profile sanr: attention, no geometry, deeper view MLP", {}, {"profile": "sanr"}),
    "grey_10_bit_1x4": (
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


def describe(content: bytes) -> dict[str, Any]:
    """Everything about a file that must not change."""
    from sanrcodec.decoder import SanrFile

    opened = SanrFile(content)
    positions: list[tuple[float, float]] = list(np.ndindex(opened.grid))
    positions.append((FRACTION * (opened.grid[0] - 1), FRACTION * (opened.grid[1] - 1)))
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "shape": list(opened.shape),
        "bit_depth": opened.bit_depth,
        "views": {f"{v:g},{u:g}": digest(opened.view(v, u)) for v, u in positions},
    }


def main() -> None:
    """Fit, write, describe."""
    if os.environ.get("SANR_REGENERATE") != "1":
        sys.exit("this rewrites the golden files; set SANR_REGENERATE=1 if you mean it")
    import torch
    from conftest import synthetic

    from sanrcodec.encoder import encode

    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    expected = {}
    for name, (covers, scene, options) in VECTORS.items():
        content = encode(synthetic(**scene), steps=150, lmbda=20.0, device="cpu", **options).content
        if len(content) > MAX_BYTES:
            sys.exit(f"{name}.sanr has {len(content)} bytes, at most {MAX_BYTES} are wanted")
        (FOLDER / f"{name}.sanr").write_bytes(content)
        source = "examples/synthetic.py, by this project (MIT)"
        expected[f"{name}.sanr"] = {"covers": covers, "source": source, **describe(content)}
        print(f"{name}.sanr: {len(content)} bytes")
    text = json.dumps(expected, indent=2) + "\n"
    (FOLDER / "expected.json").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
