# SPDX-License-Identifier: MIT
"""Exception tree of sanrcodec; imports nothing else of the package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "CorruptSectionError",
    "LargeFileWarning",
    "LightFieldError",
    "LimitError",
    "MissingEncoderError",
    "NotSanrError",
    "SanrError",
    "TruncatedError",
    "UnsupportedFeatureError",
    "UnsupportedVersionError",
    "located",
]


class SanrError(Exception):
    """Base of every error that sanrcodec raises on purpose; its message is one line."""


class NotSanrError(SanrError):
    """The signature is missing: this is no .sanr file."""


class UnsupportedVersionError(SanrError):
    """The file's format version is unknown to this reader."""


class UnsupportedFeatureError(SanrError):
    """The file needs a critical section or a mode that this reader does not know."""


class TruncatedError(SanrError):
    """The file ends before the data that it announces."""


class CorruptSectionError(SanrError):
    """A section's checksum, range or payload is wrong."""


class LimitError(SanrError):
    """The file asks for more than the format allows, or than its reader does."""


class LargeFileWarning(UserWarning):
    """The file asks for more than usual files do; see :mod:`sanrcodec.limits`."""


class LightFieldError(SanrError, ValueError):
    """The input is no usable light field, or a view outside the light field was asked for."""


class MissingEncoderError(SanrError, ImportError):
    """Encoding, or decoding on a device, was asked for, but PyTorch is not installed."""


@contextmanager
def located(where: str) -> Iterator[None]:
    """Put the place of a fault before the message of every :class:`SanrError` raised inside.

    Whoever knows a place, a file or a section of it, tells it once; what finds the fault need not.
    """
    try:
        yield
    except SanrError as error:
        error.args = (f"{where}: {error}",)
        raise
