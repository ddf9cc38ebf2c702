# SPDX-License-Identifier: MIT
"""Every command of docs/inputs.md runs, on inputs made here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, assert_ok, sanr
from io_inputs import interleave, render, save, save_views, tile
from PIL import Image

from sanrcodec.io import LAYOUTS
from sanrcodec.io.conventions import CONVENTIONS

PAGE = (ROOT / "docs" / "inputs.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the inputs that the page names: 3 x 5 views of 64 x 96 pixels."""
    folder = tmp_path_factory.mktemp("inputs")
    samples = render((3, 5), (64, 96), seed=3)
    save_views(folder / "views", samples, "view_{v:02d}_{u:02d}.png")
    save_views(folder / "swapped", samples, "lf_{u}_{v}.png")
    save_views(folder / "counted", samples, "{n:04d}.png")
    scan = samples.copy()
    scan[1] = samples[1, ::-1]
    save_views(folder / "scan", scan, "{n:04d}.png")
    save(folder / "mosaic.png", tile(samples))
    save(folder / "lenslet.png", interleave(samples))
    for name in ("rose_qs5x3a1.5.png", "rose.png"):
        save(folder / name, tile(samples[::-1]))
    images = [Image.fromarray(view) for view in samples.reshape(15, 64, 96, 3)]
    images[0].save(folder / "stack.tif", save_all=True, append_images=images[1:])
    np.save(folder / "lf.npy", samples)
    np.save(folder / "hwvuc.npy", samples.transpose(2, 3, 0, 1, 4))
    np.save(folder / "images.npy", samples.reshape(15, 64, 96, 3))
    np.savez(folder / "several.npz", views=samples, masks=samples)
    return folder


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 15


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command(folder: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(folder)
    program, *arguments = shlex.split(command, comments=True)
    assert program == "sanr"
    printed = assert_ok(sanr(*arguments, "--force"))
    expected = "3 x 5 views"
    if "--views" in command:
        expected = "2 x 4 views"
    elif "--every" in command:
        expected = "2 x 3 views"
    elif "rose" in command:
        expected = "1 x 15 views"
    size = "48 x 32" if "--crop" in command else "96 x 64"
    assert f"{expected} (V x U) of {size} pixels" in printed
    assert (folder / f"{Path(arguments[1]).stem}_views.png").is_file()


def test_every_layout_and_convention_is_on_the_page() -> None:
    for layout in LAYOUTS:
        assert f"| `{layout}` |" in PAGE
    for convention in CONVENTIONS:
        pattern = convention.name.split(" of ")[0]
        assert pattern.split()[-1] in PAGE
