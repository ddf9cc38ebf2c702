# SPDX-License-Identifier: MIT
from __future__ import annotations

import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanrcodec.bitstream import container
from sanrcodec.bitstream.container import SIGNATURE, VERSION, SectionType, is_sanr, pack, unpack
from sanrcodec.bitstream.varint import pack_varint, unpack_varint
from sanrcodec.errors import (
    CorruptSectionError,
    NotSanrError,
    SanrError,
    TruncatedError,
    UnsupportedFeatureError,
    UnsupportedVersionError,
)

HEADER, WEIGHTS, LATENTS, METADATA = (
    SectionType.HEADER, SectionType.WEIGHTS, SectionType.LATENTS, SectionType.METADATA,
)  # fmt: skip
VERSIONED = SIGNATURE + bytes(VERSION)
SECTIONS = [(HEADER, b"head"), (WEIGHTS, bytes(130)), (LATENTS, b""), (METADATA, b"{}")]
FILE = pack(SECTIONS)


def section(section_type: int, length: bytes, payload: bytes = b"") -> bytes:
    framed = bytes([section_type]) + length + payload
    return framed + zlib.crc32(framed).to_bytes(4, "little")


MANDATORY = b"".join(section(t, b"\0") for t in (HEADER, WEIGHTS, LATENTS))


def counted(n: int, sections: bytes = b"") -> bytes:
    """A file that says that it has n sections."""
    return VERSIONED + bytes([n]) + sections


def test_crc_check_value() -> None:
    assert zlib.crc32(b"123456789") == 0xCBF43926


def test_bytes_are_frozen() -> None:
    assert pack([(HEADER, b"sanr")]).hex(" ") == (
        "8b 53 41 4e 52 0d 0a 1a 0a 00 09 01 01 04 73 61 6e 72 9a 2c f4 fa"
    )


def test_round_trip() -> None:
    sections = unpack(FILE).sections
    assert [(s.type, s.payload) for s in sections.values()] == SECTIONS
    assert list(sections) == [s.type for s in sections.values()]
    assert [FILE[s.offset] for s in sections.values()] == list(sections)


@given(
    st.binary(max_size=300),
    st.permutations([WEIGHTS, LATENTS, METADATA, 0x80, 0xFF]),
)
def test_round_trip_of_any_order(payload: bytes, types: list[int]) -> None:
    sections = [(t, payload[i:]) for i, t in enumerate([HEADER, *types])]
    assert [(s.type, s.payload) for s in unpack(pack(sections)).sections.values()] == sections


@pytest.mark.parametrize("n_bytes", [0, 1, 127, 128, 16383, 16384, 2097152])
def test_length_boundaries(n_bytes: int) -> None:
    sections = [(HEADER, b""), (WEIGHTS, bytes(n_bytes)), (LATENTS, b"x")]
    assert len(unpack(pack(sections)).sections[WEIGHTS].payload) == n_bytes


@pytest.mark.parametrize("length", [0, 127, 128, 2**28 - 1, 2**28, 2**35 - 1])
def test_length_coding(length: int) -> None:
    packed = pack_varint(length)
    assert len(packed) == max(1, -(-length.bit_length() // 7))
    assert unpack_varint(b"?" + packed, 1, "x") == (length, 1 + len(packed))


def test_length_too_large_to_pack() -> None:
    with pytest.raises(ValueError, match=r"0\.\.2\*\*35 - 1"):
        pack_varint(2**35)


@pytest.mark.parametrize("types", [[], [WEIGHTS], [WEIGHTS, HEADER], [HEADER, 9, 9], [HEADER, 256]])
def test_pack_refuses(types: list[int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        pack([(t, b"") for t in types])


def test_signature_check() -> None:
    assert is_sanr(FILE)
    assert is_sanr(SIGNATURE)
    assert not is_sanr(SIGNATURE[:-1])
    assert not is_sanr(b"\x89PNG\r\n\x1a\n\0")


def test_text_mode_transfer_is_noticed() -> None:
    with pytest.raises(NotSanrError):
        unpack(FILE.replace(b"\r\n", b"\n"))


def test_truncation_at_every_byte() -> None:
    for n_bytes in range(len(FILE)):
        with pytest.raises(TruncatedError):
            unpack(FILE[:n_bytes])


@pytest.mark.parametrize("tail", [b"\0", section(0x90, b"\0"), bytes(100)])
def test_bytes_after_the_last_section(tail: bytes) -> None:
    with pytest.raises(
        CorruptSectionError, match=f"{len(tail)} bytes after the last of 4 sections"
    ):
        unpack(FILE + tail)


def test_all_sections_that_fit_the_count() -> None:
    sections = [(t, bytes([t])) for t in (HEADER, WEIGHTS, LATENTS, *range(0x80, 0x100))]
    assert list(unpack(pack(sections)).sections) == [t for t, _ in sections]
    with pytest.raises(ValueError, match="256 sections"):
        pack([(t, b"") for t in range(1, 257)])


def test_every_bit_flip_is_noticed() -> None:
    for bit in range(8 * len(FILE)):
        damaged = bytearray(FILE)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SanrError):
            unpack(bytes(damaged))


@given(st.binary(max_size=80))
def test_garbage_raises_only_documented_errors(garbage: bytes) -> None:
    for damaged in (garbage, counted(3, garbage), counted(4, MANDATORY + garbage)):
        with suppress(SanrError):
            unpack(damaged)


def test_checksum_message() -> None:
    offset = unpack(FILE).sections[WEIGHTS].offset
    damaged = bytearray(FILE)
    damaged[offset + 5] ^= 1
    with pytest.raises(CorruptSectionError) as caught:
        unpack(bytes(damaged))
    stop = offset + 3 + 130
    found = zlib.crc32(damaged[offset:stop])
    expected = int.from_bytes(damaged[stop : stop + 4], "little")
    assert str(caught.value) == (
        f"section WEIGHTS at byte {offset}: CRC-32 is {found:08x}, "
        f"expected {expected:08x}; the file is damaged"
    )


@pytest.mark.parametrize(
    ("version", "reader", "readable"),
    [
        ((0, 1), (0, 1), True),
        ((0, 0), (0, 1), False),
        ((0, 2), (0, 1), False),
        ((1, 0), (0, 1), False),
        ((1, 1), (0, 1), False),
        ((1, 0), (1, 2), True),
        ((1, 9), (1, 2), True),
        ((2, 2), (1, 2), False),
        ((0, 2), (1, 2), False),
    ],
)
def test_versions(
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[int, int],
    reader: tuple[int, int],
    readable: bool,
) -> None:
    monkeypatch.setattr(container, "VERSION", reader)
    file = SIGNATURE + bytes(version) + b"\x03" + MANDATORY
    if readable:
        unpack(file)
    else:
        with pytest.raises(UnsupportedVersionError, match=r"version is {}\.{},".format(*version)):
            unpack(file)


def test_unknown_ancillary_section_is_kept() -> None:
    file = counted(4, MANDATORY + section(0xC4, b"\3", b"abc"))
    assert unpack(file).sections[0xC4].payload == b"abc"


@pytest.mark.parametrize(
    ("tail", "error", "message"),
    [
        (section(5, b"\0"), UnsupportedFeatureError, "type 0x05 .* unknown critical"),
        (section(WEIGHTS, b"\0"), CorruptSectionError, "WEIGHTS .* twice"),
        (section(0x90, b"\0") * 2, CorruptSectionError, "type 0x90 .* twice"),
        (section(METADATA, b"\x82\0", b"{}"), CorruptSectionError, "shortest form"),
        (b"\x81\x82\x82\x82\x82\x82\x01", CorruptSectionError, "longer than 5 bytes"),
        (b"\x81\xff\xff\xff\xff\x7f", TruncatedError, "file is truncated"),
        (b"\x81\xff", TruncatedError, "length is cut off"),
        (section(METADATA, b"\0"), TruncatedError, "after 4 of 5 sections"),
    ],
)
def test_rule_breaks(tail: bytes, error: type[SanrError], message: str) -> None:
    with pytest.raises(error, match=message):
        unpack(counted(5, MANDATORY + tail))


def test_header_comes_first() -> None:
    with pytest.raises(CorruptSectionError, match="expected HEADER"):
        unpack(counted(4, section(WEIGHTS, b"\0") + MANDATORY))


@pytest.mark.parametrize("missing", [WEIGHTS, LATENTS])
def test_required_sections(missing: SectionType) -> None:
    with pytest.raises(TruncatedError, match=f"no {missing.name}"):
        unpack(pack([s for s in SECTIONS if s[0] != missing]))


def test_no_sections_at_all() -> None:
    with pytest.raises(TruncatedError, match="HEADER, WEIGHTS, LATENTS"):
        unpack(counted(0))
