# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import sanrcodec
from sanrcodec import cli
from sanrcodec.io import read_light_field, write_mosaic
from sanrcodec.lightfield import LightField

ROOT = Path(__file__).resolve().parents[1]


def sanr(*arguments: Any) -> Result:
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


def assert_ok(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def assert_refused(result: Result, code: int, text: str) -> None:
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert result.stdout == ""
    if code == 1:
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1


@pytest.fixture
def mosaic(tmp_path: Path, light_field: LightField) -> Path:
    path = tmp_path / "lf.png"
    write_mosaic(path, light_field.samples, light_field.grid)
    return path


@pytest.fixture
def file(tmp_path: Path, encoded: Any) -> Path:
    path = tmp_path / "lf.sanr"
    path.write_bytes(encoded.content)
    return path


# ------------------------------------------------------------------- encode


@pytest.mark.usefixtures("fit")
def test_round_trip(tmp_path: Path, mosaic: Path, light_field: LightField) -> None:
    file = tmp_path / "out.sanr"
    result = sanr(
        "encode", mosaic, "-o", file, "--steps", 30, "--device", "cpu", "--metadata", "--seed", 3
    )
    line = assert_ok(result)
    assert line.startswith(f"{file}: {file.stat().st_size} bytes  ")
    assert line.count("\n") == 1
    assert line.endswith(" s on cpu\n")
    assert "step 30/30" in result.stderr

    folder = tmp_path / "views"
    folder.mkdir()
    assert_ok(sanr("decode", file, "--all", "-o", folder))
    views = sorted(path.name for path in folder.iterdir())
    assert views == [f"view_{v:02d}_{u:02d}.png" for v in range(3) for u in range(3)]
    expected = np.stack(list(sanrcodec.open(file).views())).reshape(light_field.shape)
    np.testing.assert_array_equal(read_light_field(folder).samples, expected)

    tiled = tmp_path / "tiled.png"
    assert_ok(sanr("decode", file, "--mosaic", "-o", tiled))
    np.testing.assert_array_equal(read_light_field(tiled).samples, expected)

    summary = json.loads(assert_ok(sanr("info", file, "--json")))
    assert summary["n_bytes"] == file.stat().st_size
    assert summary["metadata"]["seed"] == 3
    assert (summary["header"]["n_v"], summary["header"]["n_u"]) == (3, 3)
    assert f"{file}: ok" in assert_ok(sanr("verify", file))


@pytest.mark.parametrize("is_terminal", [False, True])
def test_progress_line(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    line = cli._ProgressLine()
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


@pytest.mark.usefixtures("fit")
def test_quiet_encode_prints_the_result_only(tmp_path: Path, mosaic: Path) -> None:
    file = tmp_path / "out.sanr"
    result = sanr("encode", mosaic, "-o", file, "--steps", 6, "--device", "cpu", "--quiet")
    assert_ok(result)
    assert result.stderr == ""


def test_encode_refuses_before_any_work(tmp_path: Path, mosaic: Path, file: Path) -> None:
    before = file.read_bytes()
    assert_refused(sanr("encode", mosaic, "-o", file), 2, "add --force")
    assert file.read_bytes() == before
    assert_refused(sanr("encode", mosaic, "-o", tmp_path), 2, "is a directory")
    assert_refused(sanr("encode", mosaic, "-o", tmp_path / "no" / "x.sanr"), 2, "no such folder")
    assert_refused(sanr("encode", mosaic, "-o", mosaic, "--force"), 2, "is the input")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind here")
def test_encode_refuses_a_folder_without_permission(tmp_path: Path, mosaic: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    assert_refused(sanr("encode", mosaic, "-o", folder / "x.sanr"), 2, "no permission")


@pytest.mark.parametrize(
    "options",
    [
        ["--grid", "9"],
        ["--grid", "0x3"],
        ["--layout", "npy"],
        ["--lmbda", "0"],
        ["--lmbda", "-1"],
        ["--steps", "0"],
        ["--preset", "best"],
        ["--profile", "best"],
        ["--bit-depth", "17"],
        ["--time-budget", "0"],
        ["--unknown"],
    ],
    ids=" ".join,
)
def test_encode_usage_errors(tmp_path: Path, mosaic: Path, options: list[str]) -> None:
    output = tmp_path / "out.sanr"
    assert_refused(sanr("encode", mosaic, "-o", output, *options), 2, "Usage: ")
    assert not output.exists()


def test_encode_needs_an_output(mosaic: Path) -> None:
    assert_refused(sanr("encode", mosaic), 2, "--output")


def test_encode_of_bad_input(tmp_path: Path, mosaic: Path) -> None:
    output = tmp_path / "out.sanr"
    assert_refused(sanr("encode", tmp_path / "none.png", "-o", output), 1, "no such file")
    assert_refused(sanr("encode", mosaic, "-o", output, "--grid", "7x3"), 1, "do not divide")
    assert_refused(sanr("encode", __file__, "-o", output), 1, "no image")
    assert not output.exists()


def test_names_repeated_from_the_encoder() -> None:
    pytest.importorskip("torch")
    from sanrcodec import encoder
    from sanrcodec.encoder import presets

    assert tuple(presets.PRESETS) == cli.PRESETS
    assert tuple(presets.PROFILES) == cli.PROFILES
    assert [profile.number for profile in presets.PROFILES.values()] == [0, 1]
    assert encoder.DEFAULT_LMBDA == cli.DEFAULT_LMBDA


# ------------------------------------------------------------------- Ctrl-C


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process")
@pytest.mark.usefixtures("fit")
def test_interrupt_writes_the_state_reached(tmp_path: Path, mosaic: Path) -> None:
    file = tmp_path / "out.sanr"
    command = [sys.executable, "-m", "sanrcodec", "encode", mosaic, "-o", file, "--device", "cpu"]
    with subprocess.Popen(
        [*map(str, command), "--preset", "slow"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        try:
            assert process.stderr.readline().startswith("step ")
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, stderr
    assert "stopping" in stderr
    assert stdout.startswith(f"{file}: {file.stat().st_size} bytes")
    assert_ok(sanr("verify", file))
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


@pytest.mark.parametrize(("n_interrupts", "steps"), [(2, 5), (1, 0)])
@pytest.mark.usefixtures("fit")
def test_interrupts_that_write_nothing(
    tmp_path: Path, mosaic: Path, monkeypatch: pytest.MonkeyPatch, n_interrupts: int, steps: int
) -> None:
    from sanrcodec import encoder

    def encode(*_: Any, should_stop: Any, **__: Any) -> SimpleNamespace:
        assert not should_stop()
        for _ in range(n_interrupts):
            signal.raise_signal(signal.SIGINT)
        assert should_stop()
        return SimpleNamespace(steps=steps, content=b"")

    monkeypatch.setattr(encoder, "encode", encode)
    handler = signal.getsignal(signal.SIGINT)
    result = sanr("encode", mosaic, "-o", tmp_path / "out.sanr", "--quiet")
    assert result.exit_code == 1
    assert ("Aborted!" if n_interrupts == 2 else "nothing is written") in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["lf.png"]
    assert signal.getsignal(signal.SIGINT) is handler


# ------------------------------------------------------------------- decode


@pytest.mark.parametrize(
    ("position", "name"),
    [("1,2", "lf_v01_u02.png"), ("0.5,1.25", "lf_v00.5_u01.25.png"), ("2.0,0", "lf_v02_u00.png")],
)
def test_decode_view_default_name(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, position: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    line = assert_ok(sanr("decode", "lf.sanr", "--view", position))
    assert line.startswith(f"{name}: view ")
    v, u = map(float, position.split(","))
    decoded = read_light_field(name, (1, 1)).view(0, 0)
    np.testing.assert_array_equal(decoded, sanrcodec.open(file).view(v, u))


@pytest.mark.parametrize("scale", ["1/2", "0.125"])
def test_decode_smaller_views(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, scale: str
) -> None:
    monkeypatch.chdir(tmp_path)
    factor = Fraction(scale)
    line = assert_ok(sanr("decode", "lf.sanr", "--view", "1,2", "--scale", scale))
    name = f"lf_v01_u02_1of{factor.denominator}.png"
    assert line.startswith(f"{name}: view 1,2 of {32 * factor} x {24 * factor} pixels")
    expected = list(sanrcodec.open(file).views(scale=factor))
    decoded = read_light_field(name, (1, 1)).view(0, 0)
    np.testing.assert_array_equal(decoded, expected[5])
    assert_ok(sanr("decode", "lf.sanr", "--all", "--scale", scale, "-o", "views"))
    assert_ok(sanr("decode", "lf.sanr", "--mosaic", "--scale", scale, "-o", "all.png"))
    for light_field in (read_light_field("views"), read_light_field("all.png", (3, 3))):
        samples = light_field.samples.reshape(-1, *expected[0].shape)
        np.testing.assert_array_equal(samples, expected)


def test_decode_on_a_device(tmp_path: Path, file: Path) -> None:
    pytest.importorskip("torch")
    outputs = [tmp_path / "numpy.png", tmp_path / "torch.png"]
    for output, options in zip(outputs, ([], ["--device", "cpu"]), strict=True):
        assert_ok(sanr("decode", file, "--view", "1,1", *options, "-o", output))
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    result = sanr("decode", file, "--view", "1,1", "--device", "tape", "-o", tmp_path / "x.png")
    assert_refused(result, 1, "device tape is not usable here")


def test_decode_view_as_ppm(tmp_path: Path, file: Path) -> None:
    output = tmp_path / "x.ppm"
    assert_ok(sanr("decode", file, "--view", "0,0", "-o", output))
    assert output.read_bytes().startswith(b"P6")


@pytest.mark.parametrize("position", ["3,0", "0,3", "-1,0", "0,2.001"])
def test_decode_refuses_a_view_outside(tmp_path: Path, file: Path, position: str) -> None:
    output = tmp_path / "x.png"
    result = sanr("decode", file, "--view", position, "-o", output)
    assert_refused(result, 1, "is outside this light field (3 x 3 views")
    assert not output.exists()


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--view", "1"],
        ["--view", "1,x"],
        ["--view", "nan,0"],
        ["--view", "1,1", "--all", "-o", "x"],
        ["--all", "--mosaic", "-o", "x"],
        ["--all"],
        ["--mosaic"],
        ["--mosaic", "-o", "x.ppm"],
        ["--view", "1,1", "-o", "x.jpg"],
        ["--view", "1,1", "--scale", "1/3"],
        ["--view", "1,1", "--scale", "1/0"],
        ["--view", "1,1", "--scale", "half"],
    ],
    ids=" ".join,
)
def test_decode_usage_errors(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(sanr("decode", file, *options), 2, "Usage: ")
    assert os.listdir(tmp_path) == ["lf.sanr"]


@pytest.mark.parametrize(
    "options", [["--view", "1,1", "-o", "old.png"], ["--mosaic", "-o", "old.png"]], ids=" ".join
)
def test_decode_overwrites_only_if_told(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    old = tmp_path / "old.png"
    old.write_bytes(b"old")
    assert_refused(sanr("decode", file, *options), 2, "add --force")
    assert old.read_bytes() == b"old"
    assert_ok(sanr("decode", file, *options, "--force"))
    assert old.read_bytes() != b"old"


def test_decode_all_overwrites_only_if_told(tmp_path: Path, file: Path) -> None:
    folder = tmp_path / "new" / "views"
    assert_ok(sanr("decode", file, "--all", "-o", folder))
    (folder / "other.txt").write_text("kept")
    (folder / "view_02_02.png").write_bytes(b"old")
    assert_refused(sanr("decode", file, "--all", "-o", folder), 2, "view_00_00.png exists")
    assert (folder / "view_02_02.png").read_bytes() == b"old"
    assert_ok(sanr("decode", file, "--all", "-o", folder, "--force"))
    assert (folder / "view_02_02.png").read_bytes() != b"old"
    assert (folder / "other.txt").read_text() == "kept"
    assert_refused(sanr("decode", file, "--all", "-o", file), 2, "is a file")


# ------------------------------------------------------------------- info


def test_info_decodes_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("unpack_weights", "unpack_latents", "Scene"):
        monkeypatch.delattr(f"sanrcodec.decoder.{name}")
    summary = json.loads(assert_ok(sanr("info", file, "--json")))
    assert summary["format_version"] == ".".join(map(str, sanrcodec.container.VERSION))
    assert summary["bpp"] == pytest.approx(8 * summary["n_bytes"] / (9 * 24 * 32))
    assert [s["name"] for s in summary["sections"]] == ["HEADER", "WEIGHTS", "LATENTS"]
    payload_bytes = sum(s["payload_bytes"] for s in summary["sections"])
    assert payload_bytes + summary["framing_bytes"] == summary["n_bytes"]
    assert summary["metadata"] is None
    assert summary["mac_per_pixel"]["total_per_pixel"] > 0
    text = assert_ok(sanr("info", file))
    assert "3 x 3 (V x U) of 32 x 24 pixels, RGB, 8 bit" in text


def test_info_counts_what_the_file_holds(file: Path) -> None:
    summary = json.loads(assert_ok(sanr("info", file, "--json")))
    opened = sanrcodec.open(file)
    assert summary["n_weights"] == sum(w.size for w in opened.weights.values())
    assert summary["n_latents"] == sum(g.size for g in opened.latents)


# ------------------------------------------------------------------- bad files

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


def test_verify_names_the_section(tmp_path: Path, file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-6] ^= 1
    file.write_bytes(content)
    assert_refused(sanr("verify", file), 1, "section LATENTS at byte")


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = sanr("--debug", "info", tmp_path / "none.sanr")
    assert isinstance(result.exception, FileNotFoundError)


# ------------------------------------------------------------------- help


def test_help_and_version() -> None:
    assert assert_ok(sanr("--version")) == f"sanr {sanrcodec.__version__}\n"
    text = assert_ok(sanr("--help"))
    assert "--debug" not in text
    for command in ("encode", "decode", "info", "verify"):
        assert command in text
        assert "Usage: " in assert_ok(sanr(command, "--help"))
    assert sanr("frobnicate").exit_code == 2
