# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from conftest import assert_ok, assert_refused, sanr

import sanrcodec
from sanrcodec import cli
from sanrcodec.cli import main, options
from sanrcodec.cli.progress import ProgressLine


def test_help_and_version() -> None:
    assert assert_ok(sanr("--version")) == f"sanr {sanrcodec.__version__}\n"
    text = assert_ok(sanr("--help"))
    assert "--debug" not in text
    for command in ("encode", "decode", "info", "verify"):
        assert command in text
        assert "Usage: " in assert_ok(sanr(command, "--help"))
    assert sanr("frobnicate").exit_code == 2


def test_every_command_is_in_the_group() -> None:
    folder = Path(cli.__file__).parent
    with_command = [
        path.stem for path in folder.glob("*.py") if "\ndef command(" in path.read_text("utf-8")
    ]
    found = main.list_commands(click.Context(main))
    assert sorted(found) == sorted(with_command)
    for name in found:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert command.name == name


READERS = pytest.mark.parametrize(
    "command", [["info"], ["verify"], ["decode", "--view", "1,1", "-o", "x.png"]], ids=" ".join
)


@READERS
def test_bad_files_give_one_line(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert_refused(sanr(command[0], "lf.sanr", *command[1:]), 1, "the file is truncated")
    file.write_bytes(b"\x89PNG" + content)
    assert_refused(sanr(command[0], "lf.sanr", *command[1:]), 1, "lf.sanr: the .sanr signature")
    file.unlink()
    assert_refused(sanr(command[0], "lf.sanr", *command[1:]), 1, "lf.sanr: No such file")
    assert os.listdir(tmp_path) == []


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = sanr("--debug", "info", tmp_path / "none.sanr")
    assert isinstance(result.exception, FileNotFoundError)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_progress_line(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    line = ProgressLine()
    for step, seconds_left in ((5, 3725.0), (6, 9.0), (10, 0.0)):
        line(
            SimpleNamespace(
                step=step, steps=10, bpp=0.0125, psnr_yuv=34.567, seconds_left=seconds_left
            )
        )
    line.close()
    shown = "step {}/10  0.01250 bpp  PSNR-YUV 34.57 dB  {} left"
    first, last = shown.format(5, "62:05"), shown.format(10, "0:00")
    if is_terminal:
        assert capsys.readouterr().err == f"\r{first}\r{last.ljust(len(first))}\n"
    else:
        assert capsys.readouterr().err == f"{first}\n{last}\n"


def test_names_repeated_from_the_encoder() -> None:
    pytest.importorskip("torch")
    from sanrcodec import encoder
    from sanrcodec.encoder import presets

    assert tuple(presets.PRESETS) == options.PRESETS
    assert tuple(presets.PROFILES) == options.PROFILES
    assert [profile.number for profile in presets.PROFILES.values()] == [0, 1]
    assert encoder.DEFAULT_LMBDA == options.DEFAULT_LMBDA
