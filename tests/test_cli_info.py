# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import assert_ok, sanr

import sanrcodec
from sanrcodec.bitstream import container
from sanrcodec.bitstream.container import SectionType


def test_info_decodes_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("unpack_weights", "unpack_latents", "unpack_residuals", "Scene"):
        monkeypatch.delattr(f"sanrcodec.decoding.{name}")
    summary = json.loads(assert_ok(sanr("info", file, "--json")))
    assert summary["format_version"] == ".".join(map(str, container.VERSION))
    assert summary["bpp"] == pytest.approx(8 * summary["n_bytes"] / (9 * 24 * 32))
    assert [s["name"] for s in summary["sections"]] == ["HEADER", "WEIGHTS", "LATENTS", "RESIDUALS"]
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


def with_metadata(file: Path, payload: bytes) -> None:
    sections = sanrcodec.open(file).sections
    parts = [(section.type, section.payload) for section in sections.values()]
    file.write_bytes(container.pack([*parts, (SectionType.METADATA, payload)]))


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b'{"lmbda":NaN,"steps":-Infinity}', {"lmbda": None, "steps": None}),
        (b'{"lmbda":1e999,"steps":1e3}', {"lmbda": None, "steps": 1000.0}),
        (b"[" * 100000 + b"]" * 100000, None),
        (b"NaN", None),
        (b'{"x":', None),
        (b"\xff", None),
        (b"1" * 5000, None),
    ],
)
def test_json_is_json(file: Path, payload: bytes, shown: object) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    with_metadata(file, payload)
    text = assert_ok(sanr("info", file, "--json"))
    assert json.loads(text, parse_constant=refuse)["metadata"] == shown
    assert_ok(sanr("info", file))


@pytest.mark.parametrize("depth", range(100, 1000, 60))
def test_nested_metadata(file: Path, depth: int) -> None:
    with_metadata(file, b"[" * depth + b"]" * depth)
    assert "metadata" in json.loads(assert_ok(sanr("info", file, "--json")))
    assert_ok(sanr("info", file))


def test_a_fit_that_was_ended_early_is_told(file: Path) -> None:
    assert "ended early" not in assert_ok(sanr("info", file))
    with_metadata(file, b'{"steps":20,"finished":false}')
    assert "ended early, after 20 steps" in assert_ok(sanr("info", file))
