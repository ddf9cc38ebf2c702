# SPDX-License-Identifier: MIT
"""The examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from planes import plane_file


@pytest.mark.slow
def test_scaling(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    arguments = ["--views", "4", "--size", "16", "--sizes", "", "--steps", "3", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "scaling.py", *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    head, _, row = done.stdout.splitlines()
    values = dict(zip(head.split(" | "), row.split(" | "), strict=True))
    assert (values["| views"], values["size"]) == ("| 4", "16")
    for name in ("step_ms", "encode_mib", "file_bytes", "first_view_ms"):
        assert float(values[name]) > 0
    assert float(values["encode_mib"]) > float(values["decode_mib |"].rstrip(" |"))


@pytest.mark.parametrize("option", ["--views=2", "--views=x", "--sizes=0"])
def test_scaling_usage(option: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "scaling.py", option],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "expected numbers such as" in done.stderr


EXAMPLES = {
    "encode_decode.py": ["PSNR-YUV", "a view between others: (32, 48, 3)"],
    "refocus.py": ["refocused.png"],
    "disparity.py": ["differs by"],
    "video.py": ["48 frames"],
    "embed.py": ["preview: (16, 24, 3)", "first view: (64, 96, 3)"],
    "rate_curve.py": ["100 "],
}


def test_every_example_is_tried() -> None:
    scripts = {path.name for path in (ROOT / "examples").glob("*.py")}
    assert scripts == {*EXAMPLES, "sample.py", "synthetic.py"}


@pytest.mark.slow
def test_examples(tmp_path: Path) -> None:
    """In one process after the other's `import torch`, and in a folder with one sample file."""
    pytest.importorskip("torch")
    # Few steps: what is tried here is that the scripts run.
    folder = tmp_path / "examples"
    folder.mkdir()
    for path in (ROOT / "examples").glob("*.py"):
        text = re.sub(r"steps=\d+", "steps=12", path.read_text(encoding="utf-8"))
        (folder / path.name).write_text(text, encoding="utf-8")
    code = "; ".join(
        ["import runpy, sys"]
        + [
            f"sys.argv = [{name!r}]; print('=', {name!r}); runpy.run_path('examples/{name}')"
            for name in EXAMPLES
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1",
             "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    parts = dict(part.split("\n", 1) for part in done.stdout.split("= ")[1:])
    for name, lines in EXAMPLES.items():
        for expected in lines:
            assert expected in parts[name]


@pytest.mark.slow
@pytest.mark.parametrize("axes_reversed", [0, 1])
def test_the_example_on_disparity_is_right(tmp_path: Path, axes_reversed: int) -> None:
    (tmp_path / "lf.sanr").write_bytes(plane_file((1.5, -0.5), axes_reversed=axes_reversed))
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "disparity.py", "lf.sanr"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    moved, as_it_is = map(float, re.findall(r"differs by ([\d.]+)", done.stdout))
    assert moved < 0.5 * as_it_is


@pytest.mark.parametrize("script", ["disparity.py", "embed.py", "refocus.py", "video.py"])
def test_an_example_without_its_file_is_refused_in_one_line(tmp_path: Path, script: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / script, "absent.sanr"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    assert (
        done.stderr == "absent.sanr is no file, expected a .sanr file; leave it out to make one\n"
    )
