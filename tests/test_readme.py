# SPDX-License-Identifier: MIT
"""Every snippet of README.md and docs/encode.md runs."""

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
from sanrcodec.presets import PRESETS

# Page -> how many commands of sanr it has, at least.
PAGES = {"README.md": 15, "docs/encode.md": 2}
GRID = (9, 9)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[list[str]]:
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a mosaic, where every preset is short."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    for name, preset in PRESETS.items():
        short = dataclasses.replace(preset, steps=3, most_for_small=1.0)
        monkeypatch.setitem(PRESETS, name, short)
    monkeypatch.chdir(tmp_path)
    write_mosaic(tmp_path / "lf.png", synthetic(GRID, (16, 16)).samples, GRID, 8)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_commands(folder: Path, page: str) -> None:
    n_run = 0
    for program, *arguments in commands(page):
        if program == "sanr":
            done = CliRunner().invoke(main, arguments)
            # Three steps reach no target.
            assert done.exit_code in ((0, 4) if "--max-size" in arguments else (0,)), done.output
            n_run += 1
    assert n_run >= PAGES[page]
    assert (folder / "lf.sanr").is_file()
    if page == "README.md":
        assert (folder / "lf_v04_u04.png").is_file()
        assert (folder / "views" / "view_08_08.png").is_file()


@pytest.mark.parametrize("page", ["README.md", "docs/encode.md", "docs/install.md"])
def test_scripts_are_there(page: str) -> None:
    for script in re.findall(r"\b(?:bash|python) ([\w/]+\.(?:sh|py))", text_of(page)):
        assert (ROOT / script).is_file(), script


@pytest.mark.parametrize("page", PAGES)
def test_steps_of_the_presets(page: str) -> None:
    fast, medium, slow = (PRESETS[name].steps for name in ("fast", "medium", "slow"))
    assert f"{fast}, {medium} or {slow} steps" in text_of(page)
    assert f"more steps of `fast`, up to {PRESETS['fast'].steps_for(1, 1)}" in text_of(page)


@pytest.mark.slow
def test_python(folder: Path) -> None:
    assert CliRunner().invoke(main, ["encode", "lf.png", "-o", "lf.sanr"]).exit_code == 0
    found = blocks("README.md", "python")
    assert len(found) == 2
    for block in found:
        exec(compile(block, "README.md", "exec"), {})
