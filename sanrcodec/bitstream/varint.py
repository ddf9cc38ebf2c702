# SPDX-License-Identifier: MIT
"""Unsigned LEB128 integers of at most 5 bytes, in their shortest form. See format_spec.md 2."""

from __future__ import annotations

from sanrcodec.errors import CorruptSectionError, TruncatedError

__all__ = ["MAX_BYTES", "pack_varint", "unpack_varint"]

MAX_BYTES = 5


def pack_varint(value: int) -> bytes:
    """Bytes of an integer, seven bits each, low ones first.

    Raises:
        ValueError: the integer is negative, or takes more than ``MAX_BYTES``.
    """
    if value < 0 or value >> 7 * MAX_BYTES:
        raise ValueError(f"varint is {value}, expected 0..2**{7 * MAX_BYTES} - 1")
    packed = bytearray()
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*packed, value])


def unpack_varint(content: bytes, position: int, what: str) -> tuple[int, int]:
    """Read the integer at a position.

    Args:
        content: Bytes that hold it.
        position: Of its first byte.
        what: Its name, for messages.

    Returns:
        The integer, and the position after it.

    Raises:
        TruncatedError: the content ends within it.
        CorruptSectionError: it takes more than ``MAX_BYTES``, or more than it needs.
    """
    value = 0
    for i, byte in enumerate(content[position : position + MAX_BYTES]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if i > 0 and byte == 0:
                raise CorruptSectionError(f"{what} is not in its shortest form")
            return value, position + i + 1
    if len(content) - position < MAX_BYTES:
        raise TruncatedError(f"{what} is cut off")
    raise CorruptSectionError(f"{what} is longer than {MAX_BYTES} bytes")
