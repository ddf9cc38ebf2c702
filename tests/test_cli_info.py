# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import assert_ok, sanr

import sanrcodec


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
