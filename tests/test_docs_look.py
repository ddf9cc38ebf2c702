# SPDX-License-Identifier: MIT
"""Every snippet of docs/look.md runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import ROOT
from planes import plane_file

from sanrcodec.cli import main

PAGE = (ROOT / "docs" / "look.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    fields = {"n_v": 9, "n_u": 9, "height": 60, "width": 72, "margin_x": 12, "margin_y": 12}
    Path("lf.sanr").write_bytes(plane_file((1.5, -0.5), 0.75, **fields))
    return tmp_path


@pytest.mark.slow
def test_commands(folder: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    for line in lines:
        program, *arguments = shlex.split(line, comments=True)
        assert program == "sanr"
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, f"{line}: {done.output}"
        output = Path(arguments[arguments.index("-o") + 1])
        assert list(folder.glob(f"{output.stem}*{output.suffix}")), line
    assert len(lines) >= 12


def test_python(folder: Path) -> None:
    (block,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(block, "look.md", "exec"), names)
    assert names["disparity"].shape == (60, 72)  # type: ignore[attr-defined]
