# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import make_vectors
import pytest
from make_vectors import FOLDER, MAX_BYTES, VECTORS, describe
from random_vectors import RECIPES

NAMES = [f"{name}.sanr" for name in (*VECTORS, *RECIPES)]


@pytest.mark.parametrize("name", NAMES)
def test_decoding_is_frozen(name: str) -> None:
    expected = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))[name]
    assert expected.pop("covers")
    assert expected.pop("source")
    content = (FOLDER / name).read_bytes()
    assert len(content) <= MAX_BYTES
    assert describe(content) == expected


def test_every_file_is_expected() -> None:
    expected = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
    files = {path.name for path in FOLDER.iterdir() if path.suffix == ".sanr"}
    assert files == set(expected) == set(NAMES)


@pytest.mark.slow
def test_threads_do_not_matter(tmp_path: Path) -> None:
    """One thread of the linear algebra gives the same samples as many."""
    root = Path(__file__).resolve().parents[1]
    code = (
        f"import json, sys; sys.path[:0] = [{str(root / 'tools')!r}, {str(root)!r}]\n"
        "from make_vectors import FOLDER, describe\n"
        f"print(json.dumps([describe((FOLDER / n).read_bytes()) for n in {NAMES!r}]))"
    )
    done = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OPENBLAS_NUM_THREADS": n, "OMP_NUM_THREADS": n},
            cwd=tmp_path, capture_output=True, text=True, check=True,
        ).stdout
        for n in ("1", "4")
    ]  # fmt: skip
    assert done[0] == done[1]


def test_vectors_are_rewritten_on_purpose_only() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "SANR_REGENERATE"}
    script = Path(make_vectors.__file__)
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "SANR_REGENERATE=1" in done.stderr
