# SPDX-License-Identifier: MIT
"""Bytes <-> ordered, checksummed sections.

Knows the framing only: it must not look inside a payload, nor know of models or images.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from sanrcodec.bitstream.varint import pack_varint, unpack_varint
from sanrcodec.errors import (
    CorruptSectionError,
    NotSanrError,
    TruncatedError,
    UnsupportedFeatureError,
    UnsupportedVersionError,
    located,
)

__all__ = [
    "SIGNATURE",
    "VERSION",
    "Container",
    "Section",
    "SectionType",
    "check_signature",
    "is_sanr",
    "pack",
    "unpack",
]

# As in PNG: a non-ASCII byte, then line ends and ^Z that any text-mode transfer would damage.
SIGNATURE = b"\x8bSANR\r\n\x1a\n"
VERSION = (0, 9)  # of the format, not of this package

_ANCILLARY = 0x80
_MAX_SECTIONS = 255
_CRC_BYTES = 4


class SectionType(IntEnum):
    """Known section types; bit 7 set marks a section that a reader may skip."""

    HEADER = 1
    WEIGHTS = 2
    LATENTS = 3
    RESIDUALS = 4
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

    @property
    def where(self) -> str:
        """Name and place of the section, for messages."""
        return _where(self.type, self.offset)


class Container(NamedTuple):
    """A file, split.

    Attributes:
        version: ``(major, minor)`` of the format.
        sections: By type, in file order; unknown ancillary sections are kept.
    """

    version: tuple[int, int]
    sections: dict[int, Section]


def is_sanr(prefix: bytes) -> bool:
    """Tell whether a file that starts with these bytes (at least 9) claims to be a .sanr file."""
    return prefix.startswith(SIGNATURE)


def pack(sections: Iterable[tuple[int, bytes]]) -> bytes:
    """Assemble a file.

    Args:
        sections: ``(type, payload)`` in file order; HEADER first, no type twice.

    Returns:
        Signature, version, number of sections, and the sections.

    Raises:
        ValueError: the order, the number or a type breaks a rule of the format.

    See format_spec.md, section "Container".
    """
    sections = list(sections)
    types = [section_type for section_type, _ in sections]
    if types[:1] != [SectionType.HEADER] or len(set(types)) != len(types):
        raise ValueError(f"section types are {types}, expected HEADER (1) first and no repeats")
    if len(sections) > _MAX_SECTIONS:
        raise ValueError(f"{len(sections)} sections, at most {_MAX_SECTIONS} are allowed")
    start = SIGNATURE + bytes([*VERSION, len(sections)])
    return start + b"".join(_pack_section(*section) for section in sections)


def unpack(content: bytes) -> Container:
    """Split a file into its sections and verify every checksum.

    Args:
        content: The whole file.

    Returns:
        Version and sections.

    Raises:
        NotSanrError: the signature is missing.
        UnsupportedVersionError: another format version wrote the file.
        UnsupportedFeatureError: a critical section is unknown.
        TruncatedError: the file ends early, or lacks a required section.
        CorruptSectionError: a checksum, a length or the order of sections is wrong, or bytes follow
            the last section.

    See format_spec.md, section "Container".
    """
    version, n_sections, position = _check_start(content)
    sections: dict[int, Section] = {}
    while len(sections) < n_sections:
        if position == len(content):
            raise TruncatedError(
                f"ends at byte {position} after {len(sections)} of {n_sections} sections; "
                "the file is truncated"
            )
        with located(_where(content[position], position)):
            section, position = _unpack_section(content, position)
            if section.type in sections:
                raise CorruptSectionError("occurs twice, expected once")
            if not sections and section.type != SectionType.HEADER:
                raise CorruptSectionError("comes first, expected HEADER")
            if section.type not in set(SectionType) and not section.type & _ANCILLARY:
                raise UnsupportedFeatureError("unknown critical section; update sanrcodec")
        sections[section.type] = section

    if position < len(content):
        raise CorruptSectionError(
            f"{len(content) - position} bytes after the last of {n_sections} sections; "
            "the file is damaged"
        )
    missing = [required.name for required in _REQUIRED if required not in sections]
    if missing:
        raise TruncatedError(
            f"has {n_sections} sections, but no {', '.join(missing)}; the file is incomplete"
        )
    return Container(version, sections)


def check_signature(content: bytes) -> None:
    """Refuse what does not begin as a .sanr file; a file that ends within the signature does.

    Args:
        content: As many bytes of the file as there are at hand, from its first on.

    Raises:
        NotSanrError: the signature is missing.
    """
    if not SIGNATURE.startswith(content[: len(SIGNATURE)]):
        raise NotSanrError("the .sanr signature is missing; this is no .sanr file")


def _where(section_type: int, offset: int) -> str:
    """Name a section for messages."""
    known = section_type in set(SectionType)
    label = SectionType(section_type).name if known else f"type 0x{section_type:02x}"
    return f"section {label} at byte {offset}"


def _check_start(content: bytes) -> tuple[tuple[int, int], int, int]:
    """Check signature and version; return version, number of sections, position of the first."""
    end = len(SIGNATURE) + len(VERSION) + 1
    check_signature(content)
    if len(content) < end:
        raise TruncatedError(f"{len(content)} bytes, expected at least {end}; truncated")

    major, minor, n_sections = content[len(SIGNATURE) : end]
    # Development formats promise nothing; from 1.0 on a minor version only adds.
    readable = major == VERSION[0] and (major > 0 or minor == VERSION[1])
    if not readable:
        raise UnsupportedVersionError(
            f"format version is {major}.{minor}, this reader knows "
            f"{VERSION[0]}.{VERSION[1]}; use the sanrcodec release that wrote the file"
        )
    return (major, minor), n_sections, end


def _pack_section(section_type: int, payload: bytes) -> bytes:
    if not 0 <= section_type <= 255:
        raise ValueError(f"section type is {section_type}, expected 0..255")
    framed = bytes([section_type]) + pack_varint(len(payload)) + payload
    return framed + zlib.crc32(framed).to_bytes(_CRC_BYTES, "little")


def _unpack_section(content: bytes, offset: int) -> tuple[Section, int]:
    """Return the section at ``offset``, checksum verified, and the position after it."""
    length, start = unpack_varint(content, offset + 1, "the length")
    stop = start + length
    end = stop + _CRC_BYTES
    if end > len(content):
        raise TruncatedError(
            f"ends at byte {end}, but the file at byte {len(content)}; the file is truncated"
        )
    found = zlib.crc32(content[offset:stop])
    expected = int.from_bytes(content[stop:end], "little")
    if found != expected:
        raise CorruptSectionError(
            f"CRC-32 is {found:08x}, expected {expected:08x}; the file is damaged"
        )
    return Section(content[offset], content[start:stop], offset), end
