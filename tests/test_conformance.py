# SPDX-License-Identifier: MIT
"""Files that break one rule each, and the command that checks any decoder with all files."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import make_faulty
import pytest
import reference_decoder
from conftest import ROOT, assert_ok, assert_refused, sanr
from make_vectors import FOLDER as VECTORS

import sanrcodec
from sanrcodec import errors
from sanrcodec.conformance import command_decoder, conformance, own_decoder

FAULTY = make_faulty.FOLDER
EXPECTED = json.loads((FAULTY / "expected.json").read_text(encoding="utf-8"))
OTHER = """
import os, sys
sys.path[:0] = [{tests!r}]
import numpy as np
import reference_decoder
path, v, u, divisor = sys.argv[1:]
decoder = reference_decoder.ReferenceDecoder(open(path, "rb").read())
k = int(divisor).bit_length() - 1
view = (decoder.smaller(k) if k else decoder).view(round(256 * float(v)), round(256 * float(u)))
kind = "<u1" if decoder.header["bit_depth"] == 8 else "<u2"
sys.stdout.buffer.write((view ^ {flip}).astype(kind).tobytes())
"""


@pytest.mark.parametrize("name", EXPECTED)
def test_faulty_files_raise_their_error(name: str) -> None:
    content = (FAULTY / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == EXPECTED[name]["sha256"]
    with pytest.raises(errors.SanrError) as caught:
        sanrcodec.open(content).view(0, 0)
    assert type(caught.value).__name__ == EXPECTED[name]["error"]
    assert "\n" not in str(caught.value)
    if EXPECTED[name]["section"] != "9":  # limits that a reader need not have
        with pytest.raises((ValueError, IndexError)):
            reference_decoder.ReferenceDecoder(content)


def test_faulty_files_are_those_of_the_script() -> None:
    made = {f"{file.name}.sanr": file for file in make_faulty.files()}
    assert list(made) == list(EXPECTED)
    assert {path.name for path in FAULTY.glob("*.sanr")} == set(made)
    for name, file in made.items():
        assert (FAULTY / name).read_bytes() == file.content, name
        assert (file.error, file.rule) == (EXPECTED[name]["error"], EXPECTED[name]["section"])


def test_every_error_of_section_10_has_a_faulty_file() -> None:
    found = {entry["error"] for entry in EXPECTED.values()}
    assert found == {
        "NotSanrError", "UnsupportedVersionError", "UnsupportedFeatureError", "TruncatedError",
        "CorruptSectionError", "LimitError",
    }  # fmt: skip


@pytest.mark.slow
def test_own_decoder_conforms() -> None:
    checks = list(conformance(ROOT / "tests"))
    assert [check for check in checks if check.fault] == []
    assert sum(check.n_views > 0 for check in checks) == len(list(VECTORS.glob("*.sanr")))
    assert sum(check.n_views == 0 for check in checks) == len(EXPECTED)


@pytest.mark.slow
@pytest.mark.parametrize("flip", [0, 1])
def test_another_decoder(tmp_path: Path, flip: int) -> None:
    names = ["gray_10_bit_1x4.sanr", "single_view.sanr"]
    expected = json.loads((VECTORS / "expected.json").read_text(encoding="utf-8"))
    for name in names:
        shutil.copy(VECTORS / name, tmp_path)
    # A few views are enough: each costs a process.
    kept = {
        name: expected[name]
        | {kind: dict(list(expected[name][kind].items())[:1]) for kind in ("views", "smaller")}
        for name in names
    }
    (tmp_path / "expected.json").write_text(json.dumps(kept), encoding="utf-8")
    faulty = tmp_path / "faulty"
    faulty.mkdir()
    broken = "cut_before_metadata.sanr"
    shutil.copy(FAULTY / broken, faulty)
    table = {broken: EXPECTED[broken]}
    (faulty / "expected.json").write_text(json.dumps(table), encoding="utf-8")
    script = tmp_path / "other.py"
    script.write_text(OTHER.format(tests=str(ROOT / "tests"), flip=flip), encoding="utf-8")
    done = sanr("conformance", tmp_path, "--decoder", f"{sys.executable} {script}")
    if flip:
        assert done.exit_code == 1
        assert done.stderr.count("has other samples") == 2
        assert "2 failed" in done.stdout
    else:
        assert "ok  3 files, 4 views, 1 faulty files" in assert_ok(done)


@pytest.mark.slow
def test_a_decoder_that_takes_everything_is_told() -> None:
    (check, *_) = conformance(FAULTY, lambda *_: b"")
    assert check.fault == "is decoded, expected NotSanrError"
    wrong = command_decoder([sys.executable, "-c", "raise SystemExit('LimitError: no')"])
    (check, *_) = conformance(FAULTY, wrong)
    assert check.fault == "is refused by LimitError, expected NotSanrError"
    silent = command_decoder([sys.executable, "-c", "raise SystemExit(3)"])
    assert next(iter(conformance(FAULTY, silent))).fault == ""
    (check, *_) = conformance(VECTORS, silent)
    assert check.fault.startswith("view 0,0 is refused")


def test_folders_without_files_are_refused(tmp_path: Path) -> None:
    assert_refused(sanr("conformance", tmp_path), 1, "no expected.json")
    (tmp_path / "expected.json").write_text("[1]", encoding="utf-8")
    assert_refused(sanr("conformance", tmp_path), 1, "no table of expected files")
    table = {"a.sanr": {"sha256": "0", "error": "LimitError"}}
    (tmp_path / "expected.json").write_text(json.dumps(table), encoding="utf-8")
    assert "a.sanr: the file is missing" in sanr("conformance", tmp_path).stderr
    (tmp_path / "a.sanr").write_bytes(b"?")
    assert "not the one that is expected" in sanr("conformance", tmp_path).stderr
    assert_refused(sanr("conformance", tmp_path, "--decoder", ""), 2, "--decoder is empty")
    absent = ("conformance", VECTORS, "--decoder", tmp_path / "none")
    assert_refused(sanr(*absent), 1, "cannot be run")
    assert own_decoder(VECTORS / "single_view.sanr", "0", "0", 8)
