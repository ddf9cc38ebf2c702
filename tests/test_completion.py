# SPDX-License-Identifier: MIT
"""The shell completion that README describes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import ROOT

from sanrcodec.cli import main

README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELLS = re.findall(r"_SANR_COMPLETE=(\w+)_source sanr", README)


def complete(shell: str, *words: str) -> list[str]:
    """What a shell is told to offer for the last word: kinds and values."""
    environment = {
        "_SANR_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": words[-1] if shell == "fish" else str(len(words) - 1),
    }
    done = CliRunner().invoke(main, [], prog_name="sanr", env=environment)
    return re.split(r"[\s,]+", done.output)


def test_all_shells_are_described() -> None:
    assert SHELLS == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_and_options_are_completed(shell: str) -> None:
    found = complete(shell, "sanr", "de")
    assert "decode" in found
    assert "encode" not in found
    found = complete(shell, "sanr", "encode", "--pr")
    assert {"--preset", "--profile"} <= set(found)
    assert "slow" in complete(shell, "sanr", "encode", "--preset", "s")
    assert "file" in complete(shell, "sanr", "info", "lf")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_of_the_shell(shell: str) -> None:
    done = CliRunner().invoke(main, [], prog_name="sanr", env={"_SANR_COMPLETE": f"{shell}_source"})
    assert done.exit_code == 0
    assert f"_SANR_COMPLETE={shell}_complete" in done.output


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(tmp_path: Path) -> None:
    program = tmp_path / "sanr"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m sanrcodec "$@"\n')
    program.chmod(0o755)
    (line,) = re.findall(r"^(eval .*bash_source.*?) +#", README, re.MULTILINE)
    script = (
        f"{line}\nCOMP_WORDS=(sanr inf)\nCOMP_CWORD=1\n_sanr_completion sanr inf sanr\n"
        'echo "${COMPREPLY[@]}"\ncomplete -p sanr'
    )
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines()[0] == "info"
    assert "_sanr_completion" in done.stdout.splitlines()[1]
