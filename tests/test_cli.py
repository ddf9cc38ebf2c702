# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from conftest import ROOT, assert_ok, assert_refused, sanr

import sanrcodec
from sanrcodec import cli
from sanrcodec.cli import main
from sanrcodec.cli.messages import harmless, note, result
from sanrcodec.cli.progress import ProgressLine

VECTOR = ROOT / "tests" / "vectors" / "default.sanr"


def test_help_and_version() -> None:
    assert assert_ok(sanr("--version")) == f"sanr {sanrcodec.__version__}\n"
    text = assert_ok(sanr("--help"))
    assert "--debug" not in text
    for command in ("encode", "decode", "info", "verify", "view", "export"):
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


def test_help_of_every_command_is_as_it_was_written() -> None:
    context = click.Context(main)
    for name in main.list_commands(context):
        text = assert_ok(sanr(name, "--help"))
        assert "\\b" not in text
        assert "None" not in text
        command = main.get_command(context, name)
        assert command is not None
        _, *kept = (command.help or "").split("\b\n")
        for line in "".join(kept).splitlines():
            assert line.strip() in [shown.strip() for shown in text.splitlines()]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["info", "--help"]])
def test_help_for_a_full_disk_is_one_line(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sanrcodec", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    assert os.strerror(errno.ENOSPC) in done.stderr


PATHS = [
    ["encode", "{}", "-o", "new.sanr"], ["encode", "lf.sanr", "-o", "{}"], ["inspect", "{}"],
    ["inspect", "lf.sanr", "-o", "{}"], ["compare", "{}", "lf.sanr"], ["info", "{}"],
    ["compare", "lf.sanr", "{}"], ["decode", "{}", "--all"], ["export", "lf.sanr", "-o", "{}"],
    ["conformance", "{}"], ["encode", "lf.sanr", "-o", "x.sanr", "--checkpoint", "{}"],
    ["disparity", "lf.sanr", "-o", "{}"],
]  # fmt: skip


@pytest.mark.parametrize("path", ["", "-"])
@pytest.mark.parametrize("arguments", PATHS, ids=" ".join)
def test_a_path_that_says_nothing_is_refused(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = sanr(*(argument.format(path) for argument in arguments))
    expected = "- stands for no file here" if path else "the name is empty"
    assert_refused(result, 2, expected)
    assert list(tmp_path.iterdir()) == [file]


INPUTS = [
    ["decode", "lf.png", "--view", "0,0"], ["decode", "lf.png", "--mosaic"],
    ["export", "lf.png"], ["disparity", "lf.png"], ["refocus", "lf.png", "--slope", "0"],
    ["epi", "lf.png", "--row", "0"], ["stereo", "lf.png"], ["video", "lf.png"],
    ["encode", "lf.png"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", INPUTS, ids=" ".join)
def test_no_input_is_overwritten(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """A .sanr file may have any name, and --force is meant for older outputs."""
    monkeypatch.chdir(tmp_path)
    content = file.rename("lf.png").read_bytes()
    told = sanr(*arguments, "--force", "-o", "./lf.png")
    assert_refused(told, 2, "lf.png is the input; choose another output")
    assert Path("lf.png").read_bytes() == content


def test_no_original_is_overwritten_by_a_map(tmp_path: Path, file: Path) -> None:
    original = tmp_path / "original.png"
    original.write_bytes(b"of the user")
    told = sanr("compare", file, original, "--map", original, "--force")
    assert_refused(told, 2, "original.png is the input; choose another output")


READERS = pytest.mark.parametrize(
    "command", [["info"], ["verify"], ["decode", "--view", "1,1", "-o", "x.png"]], ids=" ".join
)


@pytest.mark.slow
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
    shown = "step {}/10  0.01250 bpp  PSNR-YUV 34.57 dB  {}"
    first = shown.format(5, "62:05 left")
    last = shown.format(10, "the file is made and measured")
    if is_terminal:
        assert capsys.readouterr().err == f"\r{first}\r{last.ljust(len(first))}\n"
    else:
        assert capsys.readouterr().err == f"{first}\n{last}\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("färbe 漢字.sanr", "färbe 漢字.sanr"),
        ("a\x1b[31mb\x07\x9b2J", r"a\x1b[31mb\x07\x9b2J"),
        ("one\ntwo\r\t", r"one\ntwo\r\t"),
        ("\u202etxt.exe", r"\u202etxt.exe"),
        ("\udcff", r"\udcff"),
    ],
)
def test_nothing_that_a_terminal_obeys_is_printed(text: str, shown: str) -> None:
    assert harmless(text) == shown
    assert harmless(text, "ascii").isascii()


@pytest.mark.skipif(os.name == "nt", reason="no such file names")
def test_file_names_are_printed_without_control_characters(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "\x1b]0;title\x07\n\udcfflf.sanr"
    bad = "\x1b[2Jbad.sanr"
    file.rename(name)
    Path(bad).write_bytes(b"something else")
    results = [
        sanr("info", name),
        sanr("verify", name),
        sanr("decode", name, "--view", "1,1"),
        sanr("info", bad),
        sanr("info", f"none{name}"),
        sanr("encode", bad, "-o", "x.sanr"),
        sanr("encode", bad, "-o", name),
        sanr("encode", bad, "-o", f"no{name}/x"),
        sanr("decode", name, "--view", name),
        sanr(name),
    ]
    assert [run.exit_code for run in results] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    for run in results:
        assert isinstance(run.exception, SystemExit | None)
        assert "\\x1b" in run.output
        assert not set(run.output) & {"\x1b", "\x07", "\udcff"}
    assert results[1].stdout.count("\n") == 1


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_lost_reader_of_the_progress(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(sys, stream, Closed())
    line = ProgressLine()
    line(SimpleNamespace(step=9, steps=9, bpp=0.1, psnr_yuv=30.0, seconds_left=0.0))
    line.close()
    note("nobody reads this")
    with pytest.raises(BrokenPipeError) if stream == "stdout" else nullcontext():
        result("the result must not be lost in silence")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device on this system")
@pytest.mark.parametrize(
    "command",
    [["info", VECTOR], ["decode", VECTOR, "--view", "0,0", "-o", "-"]],
    ids=["text", "png"],
)
@pytest.mark.parametrize(("stream", "text"), [("/dev/full", "No space left"), ("&-", "closed")])
def test_stdout_that_takes_nothing(command: list[Any], stream: str, text: str) -> None:
    line = ["sh", "-c", f'exec "$@" >{stream}', "sh", sys.executable, "-m", "sanrcodec"]
    done = subprocess.run(
        [*line, *map(str, command)], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False
    )
    if stream == "&-" and command[0] == "info":
        assert (done.returncode, done.stderr) == (0, "")  # as the shell was told
    else:
        assert done.returncode == 1
        assert done.stderr.startswith("Error: ")
        assert "stdout" in done.stderr
        assert text in done.stderr
        assert done.stderr.count("\n") == 1
