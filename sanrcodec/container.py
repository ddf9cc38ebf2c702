# SPDX-License-Identifier: MIT
"""Bytes <-> ordered, checksummed sections.

Knows the framing only: it must not look inside a payload, nor know of models or images.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from sanrcodec.errors import (
    CorruptSectionError,
    NotSanrError,
    TruncatedError,
    UnsupportedFeatureError,
    UnsupportedVersionError,
)

__all__ = ["SIGNATURE", "VERSION", "Section", "SectionType", "is_sanr", "pack", "unpack"]

# As in PNG: a non-ASCII byte, then line ends and ^Z that any text-mode transfer would damage.
SIGNATURE = b"\x8bSANR\r\n\x1a\n"
VERSION = (0, 6)  # of the format, not of this package

_ANCILLARY = 0x80
_MAX_LENGTH_BYTES = 5
_CRC_BYTES = 4


class SectionType(IntEnum):
    """Known section types; bit 7 set marks a section that a reader may skip."""

    HEADER = 1
    WEIGHTS = 2
    LATENTS = 3
    METADATA = 0x81


_REQUIRED = (SectionType.HEADER, SectionType.WEIGHTS, SectionType.LATENTS)


@dataclass(frozen=True, slots=True)
class Section:
    """One section of a file.

    Attributes:
        type: Section type, 0..255; a `SectionType` or an unknown ancillary type.
        payload: Content, its checksum already verified.
        offset: Position of the section's first byte in the file, in bytes.
    """

    type: int
    payload: bytes
    offset: int


def is_sanr(prefix: bytes) -> bool:
    """Tell whether a file that starts with these bytes (at least 9) claims to be a .sanr file."""
    return prefix.startswith(SIGNATURE)


def pack(sections: Iterable[tuple[int, bytes]]) -> bytes:
    """Assemble a file.

    Args:
        sections: ``(type, payload)`` in file order; HEADER first, no type twice.

    Returns:
        Signature, version and sections.

    Raises:
        ValueError: the order or a type breaks a rule of the format.

    See format_spec.md, section "Container".
    """
    sections = list(sections)
    types = [section_type for section_type, _ in sections]
    if types[:1] != [SectionType.HEADER] or len(set(types)) != len(types):
        raise ValueError(f"section types are {types}, expected HEADER (1) first and no repeats")
    return SIGNATURE + bytes(VERSION) + b"".join(_pack_section(*section) for section in sections)


def unpack(data: bytes, name: str = "<bytes>") -> dict[int, Section]:
    """Split a file into its sections and verify every checksum.

    Args:
        data: The whole file.
        name: File name for messages.

    Returns:
        Sections by type, in file order; unknown ancillary sections are kept.

    Raises:
        NotSanrError: the signature is missing.
        UnsupportedVersionError: another format version wrote the file.
        UnsupportedFeatureError: a critical section is unknown.
        TruncatedError: the file ends early, or lacks a required section.
        CorruptSectionError: a checksum, a length or the order of sections is wrong.

    See format_spec.md, section "Container".
    """
    position = _check_start(data, name)
    sections: dict[int, Section] = {}
    while position < len(data):
        section, position = _unpack_section(data, position, name)
        where = _where(name, section.type, section.offset)
        if section.type in sections:
            raise CorruptSectionError(f"{where}: occurs twice, expected once")
        if not sections and section.type != SectionType.HEADER:
            raise CorruptSectionError(f"{where}: comes first, expected HEADER")
        if section.type not in set(SectionType) and not section.type & _ANCILLARY:
            raise UnsupportedFeatureError(f"{where}: unknown critical section; update sanrcodec")
        sections[section.type] = section

    missing = [required.name for required in _REQUIRED if required not in sections]
    if missing:
        raise TruncatedError(
            f"{name}: ends at byte {len(data)} without section {', '.join(missing)}; "
            "the file is incomplete"
        )
    return sections


def _check_start(data: bytes, name: str) -> int:
    """Check signature and version; return the position of the first section."""
    end = len(SIGNATURE) + len(VERSION)
    if not SIGNATURE.startswith(data[: len(SIGNATURE)]):
        raise NotSanrError(f"{name}: the .sanr signature is missing; this is no .sanr file")
    if len(data) < end:
        raise TruncatedError(f"{name}: {len(data)} bytes, expected at least {end}; truncated")

    major, minor = data[len(SIGNATURE) : end]
    # Development formats promise nothing; from 1.0 on a minor version only adds.
    readable = major == VERSION[0] and (major > 0 or minor == VERSION[1])
    if not readable:
        raise UnsupportedVersionError(
            f"{name}: format version is {major}.{minor}, this reader knows "
            f"{VERSION[0]}.{VERSION[1]}; use the sanrcodec release that wrote the file"
        )
    return end


def _pack_section(section_type: int, payload: bytes) -> bytes:
    if not 0 <= section_type <= 255:
        raise ValueError(f"section type is {section_type}, expected 0..255")
    framed = bytes([section_type]) + _pack_length(len(payload)) + payload
    return framed + zlib.crc32(framed).to_bytes(_CRC_BYTES, "little")


def _unpack_section(data: bytes, offset: int, name: str) -> tuple[Section, int]:
    """Return the section at ``offset``, checksum verified, and the position after it."""
    where = _where(name, data[offset], offset)
    length, start = _unpack_length(data, offset + 1, where)
    stop = start + length
    end = stop + _CRC_BYTES
    if end > len(data):
        raise TruncatedError(
            f"{where}: ends at byte {end}, but the file at byte {len(data)}; the file is truncated"
        )
    found = zlib.crc32(data[offset:stop])
    expected = int.from_bytes(data[stop:end], "little")
    if found != expected:
        raise CorruptSectionError(
            f"{where}: CRC-32 is {found:08x}, expected {expected:08x}; the file is damaged"
        )
    return Section(data[offset], data[start:stop], offset), end


def _pack_length(length: int) -> bytes:
    """Return an unsigned LEB128 integer of at most 5 bytes."""
    if length >> 7 * _MAX_LENGTH_BYTES:
        raise ValueError(f"payload has {length} bytes, expected less than 2**35")
    packed = bytearray()
    while length > 0x7F:
        packed.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(packed) + bytes([length])


def _unpack_length(data: bytes, position: int, where: str) -> tuple[int, int]:
    """Return the LEB128 integer at ``position`` and the position after it."""
    length = 0
    for i, byte in enumerate(data[position : position + _MAX_LENGTH_BYTES]):
        length |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if i > 0 and byte == 0:
                raise CorruptSectionError(f"{where}: length has needless zero bytes")
            return length, position + i + 1
    if len(data) - position < _MAX_LENGTH_BYTES:
        raise TruncatedError(f"{where}: the file ends within the length; the file is truncated")
    raise CorruptSectionError(f"{where}: length takes over {_MAX_LENGTH_BYTES} bytes")


def _where(name: str, section_type: int, offset: int) -> str:
    known = section_type in set(SectionType)
    label = SectionType(section_type).name if known else f"type 0x{section_type:02x}"
    return f"{name}: section {label} at byte {offset}"
