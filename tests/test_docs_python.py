# SPDX-License-Identifier: MIT
"""The snippets of docs/python.md run, one after the other as a reader would."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, synthetic
from planes import plane_file

import sanrcodec
from sanrcodec.io import write_mosaic

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
NEEDS = {"iio.": "imageio", "to_dask": "dask", "encode(": "torch", "again": "torch"}


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_strict_types_of_a_users_script(tmp_path: Path) -> None:
    """Those of pillow and imageio are their own matter."""
    pytest.importorskip("mypy")
    script = tmp_path / "script.py"
    script.write_text("".join(b for b in blocks() if "iio" not in b and "PIL" not in b))
    done = subprocess.run(
        # As of an installed package, what mypy finds in ours is not the user's.
        [
            sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=",
            "script.py",
        ],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "MYPYPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_help_of_open_tells_all() -> None:
    told = sanrcodec.open.__doc__ or ""
    for name in ("view", "views", "disparity", "refocus", "all_in_focus", "epi", "metadata"):
        assert f"opened.{name}" in told
        assert hasattr(sanrcodec.SanrFile, name)
    assert all(f"{name}:" in told for name in inspect.signature(sanrcodec.open).parameters)


@pytest.mark.slow
def test_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sanrcodec.presets import PRESETS

    monkeypatch.chdir(tmp_path)
    short = dataclasses.replace(PRESETS["fast"], steps=3, most_for_small=1.0)
    monkeypatch.setitem(PRESETS, "fast", short)
    fields = {"n_v": 9, "n_u": 9, "margin_x": 12, "margin_y": 12}
    Path("lf.sanr").write_bytes(plane_file((1.5, -0.5), 0.75, **fields))
    write_mosaic(Path("lf.png"), synthetic((9, 9), (16, 16)).samples, (9, 9), 8)
    names: dict[str, np.ndarray] = {}
    assert len(blocks()) == 7
    for block in blocks():
        needed = {package for text, package in NEEDS.items() if text in block}
        if all(importlib.util.find_spec(package) for package in needed):
            exec(compile(block, "python.md", "exec"), names)
    assert names["view"].shape == (40, 56, 3)
    assert names["crop"].shape == (8, 8, 3)
    assert names["preview"].shape == (10, 14, 3)
    assert names["column"].shape == (9, 40, 56, 3)
    assert names["small"].shape == (9, 9, 20, 28, 3)
    np.testing.assert_array_equal(names["line"], names["everything"][4, :, 20])
    assert Path("middle.png").is_file()
    if "mean" in names:
        np.testing.assert_allclose(names["mean"], names["everything"].mean(axis=(0, 1)))
