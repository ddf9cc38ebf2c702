# SPDX-License-Identifier: MIT
"""`sanr encode A B C -o FOLDER/`, and the recipes of docs/many.md and docs/lmbda.md."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, assert_ok, assert_refused, sanr, synthetic

import sanrcodec
from sanrcodec.io import write_mosaic

PAGES = ("many.md", "lmbda.md")
QUICK = ("--steps", 2, "--device", "cpu", "--preset", "fast")
pytestmark = pytest.mark.usefixtures("fit")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, size in (("a", (16, 16)), ("b", (16, 24)), ("c", (24, 16))):
        light_field = synthetic((2, 2), size)
        write_mosaic(f"{name}.png", light_field.samples, light_field.grid)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_failure_is_told_and_the_rest_goes_on() -> None:
    Path("broken.png").write_bytes(b"no picture at all")
    told = sanr("encode", "a.png", "broken.png", "b.png", "-o", "out", *QUICK)
    assert told.exit_code == 1
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.sanr", "b.sanr"]
    assert "Error: broken.png: " in told.stderr
    table = told.stdout[told.stdout.index("input") :].splitlines()
    assert [line.split()[:2] for line in table] == [
        ["input", "status"], ["a.png", "done"], ["broken.png", "failed"], ["b.png", "done"],
    ]  # fmt: skip


@pytest.mark.usefixtures("folder")
def test_several_inputs_do_not_go_to_a_folder_that_is_named_like_a_file() -> None:
    told = sanr("encode", "a.png", "b.png", "-o", "all.sanr", *QUICK)
    assert_refused(told, 2, "all.sanr is named like one file; several INPUTs need a folder")
    assert not Path("all.sanr").exists()
    Path("all.sanr").mkdir()
    assert sanr("encode", "a.png", "nothing.png", "-o", "all.sanr", *QUICK).exit_code == 1
    assert [path.name for path in Path("all.sanr").iterdir()] == ["a.sanr"]


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_done_ones_are_skipped() -> None:
    assert_ok(sanr("encode", "a.png", "-o", "out/", *QUICK))
    before = Path("out/a.sanr").stat().st_mtime_ns
    lines = assert_ok(sanr("encode", "a.png", "b.png", "-o", "out", "--json", *QUICK)).splitlines()
    first, second = map(json.loads, lines)
    assert (first["status"], second["status"]) == ("skipped", "done")
    assert second["n_bytes"] == Path("out/b.sanr").stat().st_size
    assert second["psnr_yuv"] > 5
    assert Path("out/a.sanr").stat().st_mtime_ns == before
    assert_ok(sanr("encode", "a.png", "b.png", "-o", "out", "--force", *QUICK))
    assert Path("out/a.sanr").stat().st_mtime_ns > before


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_many_give_the_bytes_of_one() -> None:
    assert_ok(sanr("encode", "a.png", "b.png", "-o", "out", *QUICK))
    assert_ok(sanr("encode", "b.png", "-o", "b.sanr", *QUICK))
    assert Path("out/b.sanr").read_bytes() == Path("b.sanr").read_bytes()


@pytest.mark.usefixtures("folder")
def test_names_must_differ() -> None:
    Path("other").mkdir()
    Path("a.png").rename("other/b.png")
    told = sanr("encode", "other/b.png", "b.png", "-o", "out", *QUICK)
    assert_refused(told, 2, "other/b.png and b.png would both be out/b.sanr")
    told = sanr("encode", "b.png", "c.png", "-o", "out", "--checkpoint", "x.ck", *QUICK)
    assert_refused(told, 2, "give one INPUT")
    told = sanr("encode", "b.png", "c.png", "-o", "b.png", *QUICK)
    assert_refused(told, 2, "cannot create this folder")


@pytest.mark.slow
def test_ranks_take_their_share_of_the_files(folder: Path) -> None:
    pytest.importorskip("torch.distributed")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = ["-m", "sanrcodec", "encode", "a.png", "b.png", "c.png", "-o", "out", "--json"]
    done = subprocess.run(
        [sys.executable, *launch, *command, *map(str, QUICK)],
        cwd=folder, capture_output=True, text=True, check=True, timeout=100,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(line["input"] for line in lines) == ["a.png", "b.png", "c.png"]
    for name in "abc":
        assert sanrcodec.open(folder / "out" / f"{name}.sanr").grid == (2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_commands_of_the_page(folder: Path, page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if line[:5] == "sanr "]
    assert len(commands) >= 2
    light_field = synthetic((2, 2), (32, 32))  # any file of fewer pixels has more than 0.5 bpp
    write_mosaic("a.png", light_field.samples, light_field.grid)
    for number, command in enumerate(commands):
        arguments = shlex.split(command, comments=True)[1:]
        inputs = [name for name in arguments if name.endswith(".png")]
        assert all((folder / name).is_file() for name in inputs)
        (folder / "encoded").exists() and (folder / "encoded").rename(folder / f"old{number}")
        assert sanr(*arguments, *QUICK).exit_code in (0, 4), command  # 2 steps reach no target
        assert list(folder.glob("**/*.sanr"))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs bash and GNU xargs")
def test_scripts_of_the_page(folder: Path) -> None:
    """Of the array job one task is run; both skip what is done."""
    text = (ROOT / "docs" / "many.md").read_text(encoding="utf-8")
    array_job, shell = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    fields, tools = folder / "fields", folder / "tools"
    fields.mkdir()
    tools.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.png").rename(fields / f"light field {name}.png")
    told = 'echo "$CUDA_VISIBLE_DEVICES" >> slots\n'
    command = f'exec {sys.executable} -m sanrcodec "$@" {shlex.join(map(str, QUICK))}\n'
    (tools / "sanr").write_text(f"#!/bin/sh\n{told}{command}")
    (tools / "sanr").chmod(0o755)
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "SLURM_ARRAY_TASK_ID": "1",
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": "7",
    }  # fmt: skip
    for script, encoded, slots in (
        (array_job, "b", {"7"}),
        (shell, "ab", {"0", "1"}),
        (shell, "ab", {"0", "1"}),
    ):
        before = {path: path.stat().st_mtime_ns for path in (folder / "encoded").glob("*")}
        subprocess.run(["bash", "-c", script], cwd=folder, env=environment, check=True, timeout=100)
        times = {path: path.stat().st_mtime_ns for path in (folder / "encoded").glob("*")}
        assert sorted(path.name for path in times) == [f"light field {x}.sanr" for x in encoded]
        assert before.items() <= times.items()
        assert set((folder / "slots").read_text().split()) == slots
        (folder / "slots").unlink()
