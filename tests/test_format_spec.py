# SPDX-License-Identifier: MIT
"""What format_spec.md quotes is what the code does."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import make_spec_dump
import numpy as np
import pytest

from sanrcodec import color
from sanrcodec.bitstream import container, defaults, entropy_network, grids, tables
from sanrcodec.bitstream.header import FIELD_RANGES, StreamHeader
from sanrcodec.bitstream.tensors import TensorSpec
from sanrcodec.scene import pyramid, warp
from sanrcodec.scene.parts import tensor_specs

ROOT = make_spec_dump.SPEC.parent
TEXT = make_spec_dump.SPEC.read_text(encoding="utf-8")
BODY, _, _REST = TEXT.partition(make_spec_dump.MARKERS[0])
CODE = " ".join(BODY.split())  # line ends do not matter
# Their samples stay below the limit of a scene, whatever the other fields are.
SMALL_VIEWS = {"height": 8, "width": 8, "margin_y": 3, "margin_x": 3}
ALL_GRIDS = {"occluded_first": 0, "geometry_first": 0}


def integers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"(?<![\w.])-?\d+", text))


def section(number: str) -> str:
    """Text of a subsection, from its heading to the next one."""
    found = re.search(rf"^### {re.escape(number)} .*?(?=^###? )", TEXT, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[0]


def test_dump_equals_the_vector() -> None:
    dump = _REST.partition(make_spec_dump.MARKERS[1])[0]
    assert dump == make_spec_dump.render(), "run SANR_REGENERATE=1 python tools/make_spec_dump.py"
    lines = re.findall(r"^[0-9a-f]{4}  ((?:[0-9a-f]{2} ?)+)$", dump, re.MULTILINE)
    assert bytes.fromhex(" ".join(lines)) == make_spec_dump.VECTOR.read_bytes()


def test_dump_is_rewritten_on_purpose_only() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "SANR_REGENERATE"}
    script = Path(make_spec_dump.__file__)
    environment["PYTHONPATH"] = str(script.parents[1])
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "SANR_REGENERATE=1" in done.stderr


def test_header_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+)\.\.(\d+) \|", BODY, re.MULTILINE)
    assert [(name, int(low), int(high)) for name, low, high in rows] == [
        (name, *limits) for name, limits in FIELD_RANGES.items()
    ]


def test_signature_version_and_crc() -> None:
    assert f"`{container.SIGNATURE.hex(' ')}`" in section("3.1")
    assert "Format version | {}.{} |".format(*container.VERSION) in TEXT
    assert f"`0x{zlib.crc32(b'123456789'):08X}`" in section("3.2")
    for known in container.SectionType:
        assert f"| `0x{known:02x}` | {known.name} |" in section("3.2")


def test_tables() -> None:
    blocks = section("6.4").split("```")
    assert integers(blocks[1]) == tables.DECAY_Q30
    for scale, fraction in ((0, 0), (39, 3)):
        weights = tables.frequency_table(scale, fraction).tolist()
        assert ", ".join(map(str, weights[31:34])) in blocks[-1]
        assert f"`w[65]` = {weights[65]}" in " ".join(blocks[-1].split())


@pytest.mark.parametrize(
    "taps", [pyramid.UPSAMPLING_TAPS, pyramid.SMOOTHING_TAPS, warp.HALF_SAMPLE_TAPS]
)
def test_taps(taps: tuple[int, ...]) -> None:
    assert f"taps ({', '.join(map(str, taps))})" in CODE


def test_smoothing_taps_are_the_mean_of_both_upsampling_filters() -> None:
    taps = np.array(pyramid.UPSAMPLING_TAPS)
    even, odd = np.zeros(9, int), np.zeros(9, int)
    even[:8], odd[1:] = taps[::-1], taps
    assert (even + odd)[4:].tolist() == list(pyramid.SMOOTHING_TAPS)


def test_color_matrix() -> None:
    rows = re.findall(r"^[RGB] = clip\(rshift\(\((.*?)\) \* peak, 24\)", section("8.4"), re.M)
    matrix = np.zeros((3, 3), int)
    for row, line in zip(matrix, rows, strict=True):
        for sign, factor, column in re.findall(r"([+-]?) *(\d+) \* C\[(\d)\]", line):
            row[int(column)] = int(sign + factor)
    np.testing.assert_array_equal(matrix, color.RGB_FROM_YCC_Q12)


def default_weights(t: int, n: int, amplitude: int) -> list[int]:
    """Section 5.4, with the multipliers as printed there."""
    first, second = (int(m, 16) for m in re.findall(r"i \* (0x[0-9A-F]+)\) mod", section("5.4")))
    out = []
    for j in range(n):
        i = 65536 * t + 1 + j
        i = (i ^ i >> 16) * first % 2**32
        i = (i ^ i >> 16) * second % 2**32
        i ^= i >> 15
        out.append((i * (2 * amplitude + 1) >> 32) - amplitude)
    return out


def test_default_weights() -> None:
    for t, real, amplitude in ((0, 1.0, 128), (2, 0.2, 25), (7, 0.5, 64), (9, 0.25, 32)):
        expected = defaults._hashed(TensorSpec("", (20,), 7, real), t).tolist()
        assert default_weights(t, 20, amplitude) == expected
    assert ", ".join(map(str, default_weights(0, 6, 128))) in CODE
    assert ", ".join(map(str, default_weights(2, 6, 25))) in CODE


def test_trained_weights_are_frozen() -> None:
    table = (
        make_spec_dump.SPEC.parent / "sanrcodec" / "bitstream" / "default_weights.json"
    ).read_bytes()
    assert hashlib.sha256(table).hexdigest() in section("5.4")


def test_contexts() -> None:
    rows = re.findall(r"^\| \d+\.\.\d+ \| (\(.*?\)) \| ([\d, ]+) \|$", section("6.2"), re.M)
    offsets, known = [], []
    for pairs, kinds in rows:
        found = re.findall(r"\((-?\d), (-?\d)\)", pairs)
        offsets += [(int(dy), int(dx)) for dy, dx in found]
        known += [integers(kinds)] * len(found)
    assert tuple(offsets) == grids._OFFSETS
    for kind in range(4):
        expected = grids.Pass(grids.PassKind(kind), 0, 0, 8).known
        assert tuple(kind in kinds for kinds in known) == expected


def test_magnitudes() -> None:
    magnitudes = entropy_network.MAGNITUDE_Q3.astype(int).tolist()
    assert f"`M(0..9)` is {', '.join(map(str, magnitudes[:10]))}" in CODE
    assert f"`M(127)` is {magnitudes[127]}" in CODE


def test_version_and_limits() -> None:
    major, minor = container.VERSION
    assert f"major version, here {major} |" in section("3.1")
    assert f"minor version, here {minor} |" in section("3.1")
    highest = {name: high for name, (_, high) in FIELD_RANGES.items()}
    most = StreamHeader(**highest | SMALL_VIEWS | ALL_GRIDS | {"n_u": 4})
    elements = max(spec.size for spec in tensor_specs(most))
    assert f"weight tensors of {elements} elements" in CODE
    assert f"{len(grids.grids(most))} grids" in CODE
