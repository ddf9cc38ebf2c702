# SPDX-License-Identifier: MIT
"""The shell completion that docs/install.md describes."""

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

PAGE = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
SHELLS = re.findall(r"_SANR_COMPLETE=(\w+)_source sanr", PAGE)


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


# How each shell starts without files of the user, and what it runs after the lines of the page.
REAL_SHELLS = {
    "bash": (
        ["bash"],
        "COMP_WORDS=(sanr inf)\nCOMP_CWORD=1\n_sanr_completion sanr inf sanr\n"
        'echo "${COMPREPLY[@]}"\ncomplete -p sanr',
    ),
    "zsh": (
        ["zsh", "-f"],
        "_describe() { print -l -- ${(P)3} }\nwords=(sanr inf)\nCURRENT=2\n_sanr_completion\n"
        "print $_comps[sanr]",
    ),
    "fish": (["fish", "--no-config"], "complete -C 'sanr inf'\ncomplete sanr"),
}


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_completes(tmp_path: Path, shell: str) -> None:
    start, questions = REAL_SHELLS[shell]
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    program = tmp_path / "sanr"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m sanrcodec "$@"\n')
    program.chmod(0o755)
    lines = re.findall(rf"^(\S.*?) +# {shell}", PAGE, re.MULTILINE)
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [*start, "-c", "\n".join([*lines, questions])],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert done.stderr == ""
    first, *others = done.stdout.splitlines()
    assert re.split(r"[\s:]", first)[0] == "info"
    assert any("_sanr_completion" in line for line in others)
