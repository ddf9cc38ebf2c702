#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rewrite tests/faulty: files with one broken rule each, and the error that each must raise.

Usage: SANR_REGENERATE=1 python tools/make_faulty.py
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sanrcodec.bitstream import container
from sanrcodec.bitstream.coder import SymbolEncoder
from sanrcodec.bitstream.container import SectionType
from sanrcodec.bitstream.grids import LATENT_MAX, grids
from sanrcodec.bitstream.header import FIELD_RANGES, StreamHeader
from sanrcodec.bitstream.latents import pack_latents
from sanrcodec.bitstream.residuals import (
    HEAD,
    HEAD_SCALE,
    LEVEL_MAX,
    MAX_FLAG,
    N_CLASSES,
    N_STEPS,
    Tables,
    ViewResiduals,
    code_residuals,
    pack_residuals,
    unpack_residuals,
)
from sanrcodec.bitstream.tables import ESCAPE, frequency_table
from sanrcodec.bitstream.tensors import Weights
from sanrcodec.bitstream.varint import pack_varint
from sanrcodec.bitstream.weights import pack_weights
from sanrcodec.decoder import SanrFile
from sanrcodec.scene.parts import default_weights

TESTS = Path(__file__).resolve().parents[1] / "tests"
FOLDER = TESTS / "faulty"
BASE = TESTS / "vectors" / "single_view.sanr"
RESIDUALS_BASE = TESTS / "vectors" / "residuals_gray.sanr"
HEADER, WEIGHTS, LATENTS, RESIDUALS, METADATA = SectionType
_COUNT = 11  # where the number of sections is
_CRC_BYTES = 4


class Faulty(NamedTuple):
    """A file, the section of format_spec.md that it breaks, and the error of sanrcodec."""

    name: str
    rule: str
    error: str
    content: bytes


def files() -> Iterator[Faulty]:
    """All faulty files."""
    content = BASE.read_bytes()
    yield from _containers(content)
    yield from _headers(content)
    yield from _streams(content)
    yield from _values(content)
    yield from _residuals(RESIDUALS_BASE.read_bytes())


def _framed(section_type: int, payload: bytes, length: bytes | None = None) -> bytes:
    framed = bytes([section_type]) + (length or pack_varint(len(payload))) + payload
    return framed + zlib.crc32(framed).to_bytes(_CRC_BYTES, "little")


def _rebuilt(content: bytes, replaced: dict[int, bytes]) -> bytes:
    """The file with other payloads, all checksums right."""
    sections = container.unpack(content).sections.values()
    return container.pack([(s.type, replaced.get(s.type, s.payload)) for s in sections])


def _counted(content: bytes, n: int, tail: bytes = b"") -> bytes:
    return content[:_COUNT] + bytes([n]) + content[_COUNT + 1 :] + tail


def _containers(content: bytes) -> Iterator[Faulty]:
    sections = container.unpack(content).sections
    parts = [(s.type, s.payload) for s in sections.values()]
    start, n = content[:_COUNT], len(parts)

    def of(*chosen: tuple[int, bytes], count: int | None = None) -> bytes:
        number = len(chosen) if count is None else count
        return start + bytes([number]) + b"".join(_framed(*part) for part in chosen)

    yield Faulty("signature_wrong", "3.1", "NotSanrError", b"\x89PNG" + content[4:])
    yield Faulty(
        "signature_line_end", "3.1", "NotSanrError", content.replace(b"\r\n\x1a\n", b"\n\x1a\n", 1)
    )
    own, minor_now = container.VERSION
    for major, minor in ((own, minor_now - 1), (own, minor_now + 1), (own + 1, 0)):
        other = content[:9] + bytes([major, minor]) + content[_COUNT:]
        yield Faulty(f"version_{major}_{minor}", "3.1", "UnsupportedVersionError", other)
    for name, end in (
        ("cut_in_signature", 5), ("cut_in_version", 10), ("cut_before_count", _COUNT),
        ("cut_before_header", _COUNT + 1), ("cut_in_header", _COUNT + 9),
        ("cut_before_metadata", sections[METADATA].offset), ("cut_in_last_crc", len(content) - 1),
    ):  # fmt: skip
        yield Faulty(name, "3", "TruncatedError", content[:end])
    yield Faulty("count_too_high", "3.2", "TruncatedError", _counted(content, n + 1))
    yield Faulty("count_too_low", "3.2", "CorruptSectionError", _counted(content, n - 1))
    yield Faulty("count_of_none", "3.2", "CorruptSectionError", _counted(content, 0))
    yield Faulty("byte_after_the_end", "3.2", "CorruptSectionError", content + b"\0")
    twice = _counted(content, n + 1, _framed(*parts[1]))
    yield Faulty("section_twice", "3.2", "CorruptSectionError", twice)
    yield Faulty("header_second", "3.2", "CorruptSectionError", of(parts[1], parts[0], *parts[2:]))
    unknown = _counted(content, n + 1, _framed(0x7F, b"?"))
    yield Faulty("unknown_critical_section", "3.2", "UnsupportedFeatureError", unknown)
    for missing in (WEIGHTS, LATENTS):
        rest = of(*(part for part in parts if part[0] != missing))
        yield Faulty(f"no_{missing.name.lower()}", "3.2", "TruncatedError", rest)
    for section in (HEADER, WEIGHTS, LATENTS, METADATA):
        damaged = bytearray(content)
        damaged[sections[section].offset + 3] ^= 1
        yield Faulty(f"crc_of_{section.name.lower()}", "3.2", "CorruptSectionError", bytes(damaged))
    twice_ancillary = _counted(content, n + 2, 2 * _framed(0xF0, b""))
    yield Faulty("unknown_ancillary_twice", "3.2", "CorruptSectionError", twice_ancillary)
    for name, length in (
        ("longer_than_needed", b"\x82\x00"),
        ("of_six_bytes", b"\x82" * 5 + b"\0"),
    ):
        tail = _counted(content, n + 1, _framed(0xF0, b"{}", length))
        yield Faulty(f"varint_{name}", "2.1", "CorruptSectionError", tail)


def _headers(content: bytes) -> Iterator[Faulty]:
    payload = container.unpack(content).sections[HEADER].payload
    values = asdict(StreamHeader.unpack(payload))

    def with_fields(**changed: int) -> bytes:
        fields = {**values, **changed}
        packed = b"".join(pack_varint(fields[name]) for name in FIELD_RANGES)
        return _rebuilt(content, {HEADER: packed})

    for name, (low, high) in FIELD_RANGES.items():
        yield Faulty(f"header_{name}_above", "4", "LimitError", with_fields(**{name: high + 1}))
        if low:
            below = with_fields(**{name: low - 1})
            yield Faulty(f"header_{name}_below", "4", "LimitError", below)
    for rule, changed in {
        "rule_1_channels": {"channels": 2},
        "rule_1_features": {"features": 2},
        "rule_2_canvas": {"height": 16384, "width": 16384, "margin_y": 1},
        "rule_2_samples": {"height": 16384, "width": 16384, "features": 4},
        "rule_3_margin": {"margin_y": 100},
        "rule_4_geometry_levels": {"geometry_levels": 0},
        "rule_5_occluded_first": {"layers": 2, "occluded_first": 7},
        "rule_6_view_hidden": {"view_hidden": 0},
        "rule_7_views": {"n_v": 64, "n_u": 65},
    }.items():
        yield Faulty(f"header_{rule}", "4", "LimitError", with_fields(**changed))
    yield Faulty(
        "header_too_short", "4", "TruncatedError", _rebuilt(content, {HEADER: payload[:-1]})
    )
    yield Faulty(
        "header_too_long", "4", "CorruptSectionError", _rebuilt(content, {HEADER: payload + b"\0"})
    )
    long_field = bytes([payload[0] | 0x80, 0]) + payload[1:]
    yield Faulty(
        "header_varint", "2.1", "CorruptSectionError", _rebuilt(content, {HEADER: long_field})
    )


def _streams(content: bytes) -> Iterator[Faulty]:
    for section in (WEIGHTS, LATENTS):
        payload = container.unpack(content).sections[section].payload
        last = int.from_bytes(payload[-4:], "little")
        changed = payload[:-4] + (last ^ 1).to_bytes(4, "little")
        for name, other in {
            "of_no_words": payload[:-1],
            "empty": b"",
            "word_missing": payload[:-4],
            "word_more": payload + bytes(4),
            "another_end": changed,
        }.items():
            yield Faulty(
                f"{section.name.lower()}_{name}", "6.3", "CorruptSectionError",
                _rebuilt(content, {section: other}),
            )  # fmt: skip


def _values(content: bytes) -> Iterator[Faulty]:
    opened = SanrFile(content)
    header, weights, latents = opened.header, opened.weights, opened.latents
    defaults = default_weights(header)

    def with_weights(coded: bytes) -> bytes:
        return _rebuilt(content, {WEIGHTS: coded})

    zero = np.zeros(1, np.int32)
    for name, width, shift, first in (
        ("width_above", 40, 0, 0), ("width_below", -1, 0, 0), ("shift_above", 30, 9, 0),
        ("shift_below", 30, -1, 0), ("difference_above", 30, 0, 32768),
        ("difference_below", 30, 0, -32768), ("difference_after_the_shift", 30, 8, 128),
    ):  # fmt: skip
        encoder = SymbolEncoder()
        encoder.code(zero + width, zero, zero + 24)
        encoder.code(zero + shift, zero, zero + 20)
        size = next(iter(defaults.values())).size
        elements = np.zeros(size, np.int32)
        elements[0] = first
        if 0 <= width < 40:
            encoder.code(elements, np.zeros(size, np.int32), np.full(size, width, np.int32))
        coded = encoder.finish()
        yield Faulty(f"weights_{name}", "6.1", "CorruptSectionError", with_weights(coded))

    for name in ("texture.hidden.weight", "geometry.output.weight", "color_filter.output",
                 "color_filter.hidden.weight", "view.hidden0.weight"):  # fmt: skip
        heavy: Weights = {key: values.copy() for key, values in weights.items()}
        heavy[name].reshape(len(heavy[name]), -1)[-1, :3] = 31000
        part = name.replace(".weight", "").replace(".", "_")
        yield Faulty(
            f"row_sums_{part}", "7.1", "LimitError", with_weights(pack_weights(defaults, heavy))
        )

    for sign, name in ((1, "above"), (-1, "below")):
        beyond = [grid.copy() for grid in latents]
        beyond[3][0, 0] = sign * (LATENT_MAX + 1)
        coded = pack_latents(header, weights, beyond)
        yield Faulty(
            f"latent_{name}", "6.2", "CorruptSectionError", _rebuilt(content, {LATENTS: coded})
        )
    sys.path.insert(0, str(TESTS))
    from reference_range_decoder import encode

    coin = (1 << 23, 1 << 23)
    endless = encode([(ESCAPE, frequency_table(24, 0).tolist()), (0, coin), *24 * [(1, coin)]])
    coded = np.array(endless, "<u4").tobytes()
    yield Faulty("escape_of_21_bits", "6.5", "CorruptSectionError", with_weights(coded))
    # The largest value is no number of the format's: what is left of it belongs to no symbol.
    yield Faulty(
        "code_point_of_no_symbol", "6.3", "CorruptSectionError",
        _rebuilt(content, {LATENTS: b"\xff" * 400}),
    )  # fmt: skip
    large = asdict(header) | {"height": 4000, "width": 3000}
    yield Faulty(
        "latents_for_a_small_grid_only", "9", "LimitError",
        _rebuilt(content, {HEADER: StreamHeader(**large).pack(), LATENTS: bytes(8)}),
    )  # fmt: skip


def _residuals(content: bytes) -> Iterator[Faulty]:
    payload = container.unpack(content).sections[RESIDUALS].payload
    header = SanrFile(content).header
    tables, views = unpack_residuals(header, payload)

    def with_residuals(name: str, coded: bytes, rule: str = "6.6") -> Faulty:
        error = "CorruptSectionError"
        return Faulty(f"residuals_{name}", rule, error, _rebuilt(content, {RESIDUALS: coded}))

    def with_head(name: str, **changed: Any) -> Faulty:
        encoder = SymbolEncoder()
        head = np.array(replace(tables, **changed).head(), np.int32)
        encoder.code(head, 8 * np.array(HEAD, np.int32), np.full(len(HEAD), HEAD_SCALE, np.int32))
        return with_residuals(name, encoder.finish())

    for name, step in (("step_above", N_STEPS), ("step_below", -1)):
        yield with_head(name, step=step)
    for name, first in (("location_above", (4, 2)), ("location_below", (-5, 2)),
                        ("flag_scale_above", (2, 40)), ("flag_scale_below", (2, -1))):  # fmt: skip
        yield with_head(name, flags=(first, *tables.flags[1:]))
    luma, chroma = tables.scales
    for name, value in (("above", 40), ("below", -1)):
        yield with_head(f"luma_scale_{name}", scales=((value, *luma[1:]), chroma))
        yield with_head(f"chroma_scale_{name}", scales=(luma, (*chroma[:-1], value)))

    first = next(i for i, view in enumerate(views) if view.places.size)
    for name, field, value in (
        ("flag_above", "flags", MAX_FLAG + 1), ("flag_below", "flags", -MAX_FLAG - 1),
        ("chroma_of_gray", "flags", -1), ("level_above", "levels", LEVEL_MAX + 1),
        ("level_below", "levels", -LEVEL_MAX - 1),
    ):  # fmt: skip
        changed = getattr(views[first], field).copy()
        changed.flat[0] = value
        others = list(views)
        others[first] = views[first]._replace(**{field: changed})
        yield with_residuals(name, pack_residuals(header, tables, others))
    for name, other in {
        "of_no_words": payload[:-1], "empty": b"", "word_missing": payload[:-4],
        "word_more": payload + bytes(4),
    }.items():  # fmt: skip
        yield with_residuals(name, other, "6.3")
    yield from _bombs(content)


def _bombs(content: bytes) -> Iterator[Faulty]:
    """Few bytes that claim many residuals."""
    header = SanrFile(content).header

    def of(large: StreamHeader, coded: bytes) -> bytes:
        weights = default_weights(large)
        latents = [np.zeros(grid.shape, np.int32) for grid in grids(large)]
        return _rebuilt(content, {
            HEADER: large.pack(), WEIGHTS: pack_weights(weights, weights),
            LATENTS: pack_latents(large, weights, latents), RESIDUALS: coded,
        })  # fmt: skip

    full = ViewResiduals(np.arange(9), np.ones(9, np.int32), np.zeros((9, 1, 64), np.int32))
    cheap = Tables(28, N_CLASSES * ((3, 10),), (15 * (0,), 15 * (0,)))
    views = replace(header, n_v=16, n_u=16)
    encoder = SymbolEncoder()
    code_residuals(views, encoder, cheap, 256 * [full])
    yield Faulty(
        "residuals_of_too_many_blocks", "6.6", "CorruptSectionError", of(views, encoder.finish())
    )
    many = replace(header, n_v=64, n_u=64, height=128, width=136)
    yield Faulty("residuals_for_a_few_flags_only", "9", "LimitError", of(many, b""))


def main() -> None:
    """Write all files."""
    if os.environ.get("SANR_REGENERATE") != "1":
        sys.exit("this rewrites tests/faulty; set SANR_REGENERATE=1 if you mean it")
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.sanr"):
        path.unlink()
    expected = {}
    for name, rule, error, content in files():
        path = FOLDER / f"{name}.sanr"
        if path.exists():
            raise ValueError(f"two files are called {name}")
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        expected[path.name] = {"section": rule, "error": error, "sha256": digest}
    text = json.dumps(expected, indent=2) + "\n"
    (FOLDER / "expected.json").write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(expected)} files")


if __name__ == "__main__":
    main()
