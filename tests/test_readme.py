# SPDX-License-Identifier: MIT
"""Every snippet of README.md runs."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import ROOT, synthetic

from sanrcodec.cli import main
from sanrcodec.io import write_mosaic

README = (ROOT / "README.md").read_text(encoding="utf-8")
GRID = (9, 9)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a mosaic, where every preset is short."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    from sanrcodec.presets import PRESETS

    for name, preset in PRESETS.items():
        monkeypatch.setitem(PRESETS, name, dataclasses.replace(preset, steps=3))
    monkeypatch.chdir(tmp_path)
    write_mosaic(tmp_path / "lf.png", synthetic(GRID, (16, 16)).samples, GRID, 8)
    return tmp_path


@pytest.mark.slow
def test_commands(folder: Path) -> None:
    n_run = 0
    for program, *arguments in commands():
        if program == "sanr":
            done = CliRunner().invoke(main, arguments)
            # Three steps reach no target.
            assert done.exit_code in ((0, 4) if "--max-size" in arguments else (0,)), done.output
            n_run += 1
        elif program == "bash":
            assert (ROOT / arguments[0]).is_file()
    assert n_run >= 7
    assert (folder / "lf_v04_u04.png").is_file()
    assert (folder / "views" / "view_08_08.png").is_file()


@pytest.mark.slow
def test_python(folder: Path) -> None:
    assert CliRunner().invoke(main, ["encode", "lf.png", "-o", "lf.sanr"]).exit_code == 0
    found = blocks("python")
    assert len(found) == 2
    for block in found:
        exec(compile(block, "README.md", "exec"), {})
