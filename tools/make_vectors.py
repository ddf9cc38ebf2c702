#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rewrite the golden files of tests/vectors: short fits of light fields made by code.

Usage: SANR_REGENERATE=1 python tools/make_vectors.py

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

TESTS = Path(__file__).resolve().parents[1] / "tests"
FOLDER = TESTS / "vectors"
MAX_BYTES = 6000
# The views whose samples are frozen: all integer ones, and this between them.
FRACTION = 0.3125

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


# Corners of the format that no profile uses: random integers, since no fit would come this way.
RANDOM_COVERS = (
    "random integers: mirrored u, reversed, transposed, gains, three layers, color filter, "
    "no gates or MLPs, 16 bit"
)
RANDOM_HEADER = {
    "n_v": 2, "n_u": 3, "height": 13, "width": 19, "channels": 3, "bit_depth": 16, "layers": 3,
    "margin_y": 4, "margin_x": 5, "mirrored": 1, "axes_reversed": 1, "transposed": 1,
    "gain": 23,
    "texture_levels": 4, "occluded_first": 1, "texture_hidden": 0, "features": 5, "color_filter": 1,
    "filter_hidden": 0, "attention": 0, "geometry_first": 1, "geometry_levels": 3,
    "geometry_hidden": 0, "view_depth": 0, "view_hidden": 0, "spatial": 0, "arm_hidden": 4,
    "per_view": 1, "profile": 255,
}  # fmt: skip


def random_content(seed: int = 0) -> bytes:
    """A file of ``RANDOM_HEADER`` with random weights and latents."""
    from sanrcodec.bitstream import container
    from sanrcodec.bitstream.container import SectionType
    from sanrcodec.bitstream.grids import grids
    from sanrcodec.bitstream.header import StreamHeader
    from sanrcodec.bitstream.latents import pack_latents
    from sanrcodec.bitstream.weights import pack_weights
    from sanrcodec.scene.parts import default_weights

    random = np.random.default_rng(seed)
    header = StreamHeader(**RANDOM_HEADER)
    defaults = default_weights(header)
    weights = {
        name: default + random.integers(-20, 21, default.shape).astype(np.int32)
        for name, default in defaults.items()
    }
    # Half a scale of luma, so that samples do not all saturate.
    weights["texture.output.bias"][0] = 512
    latents = [np.rint(random.laplace(0, 3, g.shape)).astype(np.int32) for g in grids(header)]
    sections = [
        (SectionType.HEADER, header.pack()),
        (SectionType.WEIGHTS, pack_weights(defaults, weights)),
        (SectionType.LATENTS, pack_latents(header, weights, latents)),
    ]
    return container.pack(sections)


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

    sys.path.insert(0, str(TESTS))
    from conftest import synthetic

    from sanrcodec.encoder import encode

    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    contents = {
        name: (
            covers,
            encode(synthetic(**scene), steps=150, lmbda=1.0, device="cpu", **options).content,
        )
        for name, (covers, scene, options) in VECTORS.items()
    }
    contents["random_three_layers"] = RANDOM_COVERS, random_content()
    expected = {}
    for name, (covers, content) in contents.items():
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
