# SPDX-License-Identifier: MIT
"""The page that `sanr export` writes, without a browser; and the commands."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
import subprocess
import sys
import webbrowser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from conftest import ROOT, assert_ok, assert_refused, sanr
from make_vectors import FOLDER
from test_viewer_decoder import node

from sanrcodec.viewer.page import build_page, bundle_modules

CONTENT = (FOLDER / "default.sanr").read_bytes()


def part(page: str, pattern: str) -> str:
    (found,) = re.findall(pattern, page, re.DOTALL)
    return str(found)


def test_the_file_is_inside() -> None:
    page = build_page(CONTENT, "lf.sanr")
    assert base64.b64decode(part(page, r'id="file">(.*?)</script>')) == CONTENT


def test_the_policy_names_script_and_style_and_lets_nothing_out() -> None:
    page = build_page(CONTENT, "lf.sanr")
    policy = part(page, r'Content-Security-Policy" content="(.*?)"')
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    script, style = part(page, r'id="program">(.*?)</script>'), part(page, r"<style>(.*?)</style>")
    for text, rule in ((script, "script-src"), (style, "style-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        # WebAssembly is compiled from what the script holds, and cannot ask for anything either.
        others = ["'wasm-unsafe-eval'"] if rule == "script-src" else []
        assert rules[rule] == [f"'sha256-{digest}'", *others]
    assert rules["default-src"] == ["'none'"]
    assert set(rules) == {
        "default-src", "script-src", "worker-src", "style-src", "base-uri", "form-action",
    }  # fmt: skip
    assert not re.search(r"https?:|//\w+\.\w+/", page)
    assert not re.search(r"""\b(?:src|href)=""", page)


@pytest.mark.parametrize("title", ["<script>alert(1)</script>", "{style} & \"quotes'", "ä.sanr"])
def test_a_title_is_text(title: str) -> None:
    page = build_page(CONTENT, title)
    assert part(page, r"<h1>(.*?)</h1>") == part(page, r"<title>(.*?)</title>")
    assert html.unescape(part(page, r"<h1>(.*?)</h1>")) == title
    assert "<script>alert" not in page


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    page = build_page(CONTENT, "caf\udce9.sanr")
    assert part(page, r"<title>(.*?)</title>") == "caf?.sanr"
    page.encode("utf-8")


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="this system has no /dev/stdin")
def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "sanrcodec", "export", "/dev/stdin", "-o", "lf.html"],
        input=CONTENT, cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    page = (tmp_path / "lf.html").read_text(encoding="utf-8")
    assert base64.b64decode(part(page, r'id="file">(.*?)</script>')) == CONTENT


def test_the_bundle_is_a_script_that_runs(tmp_path: Path) -> None:
    script = tmp_path / "bundle.js"
    script.write_text(bundle_modules(), encoding="utf-8")
    node("--check", script)


def test_export(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = assert_ok(sanr("export", file))
    page = Path("lf.html").read_text(encoding="utf-8")
    assert page == build_page(file.read_bytes(), "lf.sanr")
    assert text == f"lf.html: {len(page.encode())} bytes, open it in a browser\n"
    assert_refused(sanr("export", file), 2, "lf.html exists; add --force to overwrite it")
    assert_ok(sanr("export", file, "--force"))
    assert_ok(sanr("export", file, "-o", "other.html"))
    assert Path("other.html").read_text(encoding="utf-8") == page


def test_view(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    text = assert_ok(sanr("view", file))
    (url,) = opened
    page = Path(unquote(urlparse(url).path))
    assert page.read_text(encoding="utf-8") == build_page(file.read_bytes(), "lf.sanr")
    assert text == f"{page}: opened in the browser\n"
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    assert_refused(sanr("view", file), 1, "no browser was found; open ")


@pytest.mark.parametrize("command", ["export", "view"])
def test_a_damaged_file_is_refused(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    assert_refused(sanr(command, file), 1, "the file is truncated")
    assert not Path("lf.html").exists()
    assert_refused(sanr(command, "none.sanr"), 1, "none.sanr: No such file")


def test_the_commands_of_the_documentation_run(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(webbrowser, "open", lambda url: True)
    text = (ROOT / "docs" / "viewer.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    commands = [line.split() for line in block.splitlines()]
    assert [command[:2] for command in commands] == [["sanr", "view"], ["sanr", "export"]]
    for _, *arguments in commands:
        assert_ok(sanr(*arguments))
    assert Path("lf.html").stat().st_size < file.stat().st_size * 4 / 3 + 195_000
