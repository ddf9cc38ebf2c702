# SPDX-License-Identifier: MIT
"""The threads of the page make the samples of the decoder, with WebAssembly and without."""

from __future__ import annotations

import base64
import json
import shutil
from typing import Any

import numpy as np
import pytest
from conftest import without_residuals
from make_vectors import FOLDER, digest
from make_view_rows import MODULE, compiled, module_of, source_digest
from test_viewer_decoder import ROOT, node
from viewer_files import random_file

import sanrcodec

VECTORS = sorted(FOLDER.glob("*.sanr"))
N_RANDOM_FILES = 24
BOTH = ["WebAssembly", "JavaScript"]

Place = tuple[float, float, float]


def places(content: bytes, random: np.random.Generator) -> list[Place]:
    n_v, n_u = sanrcodec.open(content).grid
    v, u = random.integers(0, 256 * n_v - 255) / 256, random.integers(0, 256 * n_u - 255) / 256
    return [(n_v - 1, n_u - 1, 1), (v, u, 1), (v, u, 0.5), (v, u, 0.125)]


def made(contents: list[bytes]) -> list[list[dict[str, Any]]]:
    """What tests/js/rows.mjs makes of files, checked against the decoder in Python."""
    random = np.random.default_rng(1)
    views = [places(content, random) for content in contents]
    request = {
        "defaultWeights": str(ROOT / "sanrcodec" / "bitstream" / "default_weights.json"),
        "jobs": [
            {"content": base64.b64encode(content).decode(), "views": queries}
            for content, queries in zip(contents, views, strict=True)
        ],
    }
    output = node(ROOT / "tests" / "js" / "rows.mjs", input=json.dumps(request))
    results: list[list[dict[str, Any]]] = json.loads(output)
    for content, queries, found in zip(contents, views, results, strict=True):
        opened = sanrcodec.open(without_residuals(content))
        for (v, u, scale), one in zip(queries, found, strict=True):
            assert set(one["samples"]) == {digest(opened.view(v, u, scale=scale))}
            assert len(set(one["sums"])) == 1
            # A single view of 8 bits is shown as it is; what is rounded may be so up or down.
            assert one["pixels"][0] <= (opened.bit_depth > 8)
            assert one["pixels"][1] <= 1
    return results


@pytest.mark.slow
def test_vectors() -> None:
    for found in made([path.read_bytes() for path in VECTORS]):
        assert all(one["languages"] == BOTH for one in found)


@pytest.mark.slow
def test_random_files() -> None:
    """All numbers of layers, features and units; weights of more than 16 bits have no fast way."""
    results = made([random_file(seed) for seed in range(N_RANDOM_FILES)])
    languages = [found[0]["languages"] for found in results]
    assert languages.count(BOTH) > N_RANDOM_FILES / 2
    assert all(one in (BOTH, BOTH[1:]) for one in languages)


def test_the_binary_is_made_from_the_source() -> None:
    assert f"SHA-256 of the source: {source_digest()}\n" in MODULE.read_text(encoding="ascii")


@pytest.mark.slow
def test_the_source_compiles() -> None:
    """The bytes depend on the version of the compiler; the text around them does not."""
    clang = next(filter(None, map(shutil.which, ("clang", "clang-14"))), None)
    if clang is None or not any(map(shutil.which, ("wasm-ld", "wasm-ld-14"))):
        pytest.skip("no clang with a linker for WebAssembly is installed")
    binary = compiled(clang)
    assert binary.startswith(b"\0asm\1\0\0\0")
    assert module_of(binary).splitlines()[:6] == MODULE.read_text("ascii").splitlines()[:6]
