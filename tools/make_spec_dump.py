#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Renew Appendix B of format_spec.md, the dump of a vector, between its two markers.

Usage: SANR_REGENERATE=1 python tools/make_spec_dump.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from sanrcodec.bitstream.container import SIGNATURE, VERSION, SectionType, unpack
from sanrcodec.bitstream.header import FIELD_RANGES
from sanrcodec.bitstream.tables import ESCAPE, MAX_RESIDUAL, frequency_table
from sanrcodec.decoder import SanrFile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from reference_range_decoder import RangeDecoder  # noqa: E402

SPEC = ROOT / "format_spec.md"
VECTOR = ROOT / "tests" / "vectors" / "gray_10_bit_1x4.sanr"
MARKERS = ("<!-- dump: begin -->\n", "<!-- dump: end -->\n")
N_SHOWN = 12  # bytes, weights or latents of a list that is cut


def hex_dump(content: bytes) -> str:
    """Offset and 16 bytes a line."""
    return "\n".join(f"{i:04x}  {content[i : i + 16].hex(' ')}" for i in range(0, len(content), 16))


def render(path: Path = VECTOR) -> str:
    """The text between the markers."""
    content = path.read_bytes()
    opened = SanrFile(content)
    parts = [
        f"`tests/vectors/{path.name}`, {len(content)} bytes:",
        f"```\n{hex_dump(content)}\n```",
        "Its structure:",
        "\n".join(["| Offset | Bytes | Meaning |", "|---|---|---|", *_structure(content, opened)]),
        "The first symbol of WEIGHTS, the width of tensor 0, by hand:",
        f"```\n{_first_symbol(unpack(content).sections[SectionType.WEIGHTS].payload)}\n```",
        "What both sections decode to: first values, and for grids the sum of all magnitudes:",
        f"```\n{_values(opened)}\n```",
    ]
    return "\n" + "\n\n".join(parts) + "\n\n"


def _structure(content: bytes, opened: SanrFile) -> list[str]:
    rows: list[str] = []

    def row(start: int, stop: int, meaning: str) -> None:
        shown = content[start : min(stop, start + N_SHOWN)].hex(" ")
        more = " ..." if stop - start > N_SHOWN else ""
        rows.append(f"| {start} | `{shown}{more}` | {meaning} |")

    row(0, len(SIGNATURE), "signature")
    row(len(SIGNATURE), len(SIGNATURE) + len(VERSION), "version {}.{}".format(*VERSION))
    row(11, 12, f"{content[11]} sections")
    for section in opened.sections.values():
        name = SectionType(section.type).name
        size, start = len(section.payload), section.offset + 1
        row(section.offset, start, f"{name}: type")
        position = start + max(1, -(-size.bit_length() // 7))
        row(start, position, f"length {size}")
        if section.type == SectionType.HEADER:
            for field in FIELD_RANGES:
                stop = position
                while content[stop] & 0x80:
                    stop += 1
                row(position, stop + 1, f"`{field}` = {getattr(opened.header, field)}")
                position = stop + 1
        else:
            row(position, position + size, "payload")
            position += size
        row(position, position + 4, "CRC-32, little-endian")
    return rows


def _first_symbol(payload: bytes) -> str:
    words = [int.from_bytes(payload[i : i + 4], "little") for i in range(0, len(payload), 4)]
    weights = frequency_table(24, 0).tolist()
    coder = RangeDecoder(words)
    step, offset = coder.range >> 24, coder.offset
    symbol = coder.decode(weights)
    start = sum(weights[:symbol])
    return "\n".join(
        [
            f"words   {words[0]:#010x} {words[1]:#010x} {words[2]:#010x} ...",
            f"offset  {offset:#018x}",
            f"step    {step:#x}",
            f"q       {offset // step}",
            f"symbol  {symbol}: start {start}, weight {weights[symbol]}, of scale 24, fraction 0",
            "an escape" if symbol == ESCAPE else f"value   {symbol - MAX_RESIDUAL}",
            f"then    offset {coder.offset:#x}, range {coder.range:#x}",
        ]
    )


def _values(opened: SanrFile) -> str:
    lines = []
    for name, tensor in list(opened.weights.items())[:4]:
        values = " ".join(map(str, tensor.ravel()[:N_SHOWN].tolist()))
        lines.append(f"{name} {list(tensor.shape)}: {values}" + " ..." * (tensor.size > N_SHOWN))
    for i, grid in enumerate(opened.latents):
        values = " ".join(map(str, grid.ravel()[:N_SHOWN].tolist()))
        values += " ..." * (grid.size > N_SHOWN)
        lines.append(f"grid {i} {list(grid.shape)}, magnitudes {np.abs(grid).sum()}: {values}")
    return "\n".join(lines)


def main() -> None:
    """Rewrite the appendix."""
    if os.environ.get("SANR_REGENERATE") != "1":
        sys.exit("this rewrites format_spec.md; set SANR_REGENERATE=1 if you mean it")
    text = SPEC.read_text(encoding="utf-8")
    before, rest = text.split(MARKERS[0])
    _, after = rest.split(MARKERS[1])
    text = before + MARKERS[0] + render() + MARKERS[1] + after
    SPEC.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
