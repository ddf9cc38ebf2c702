# SPDX-License-Identifier: MIT
"""Encoding: the only part of sanrcodec that needs PyTorch."""

from __future__ import annotations

from sanrcodec.errors import MissingEncoderError

try:
    import torch  # noqa: F401
except ImportError as error:
    raise MissingEncoderError("encoding needs PyTorch: pip install torch") from error

from sanrcodec.encoder.distributed import apart
from sanrcodec.encoder.encoding import default_preset, encode
from sanrcodec.encoder.fitting import FitProgress
from sanrcodec.encoder.result import EncodeResult

__all__ = ["EncodeResult", "FitProgress", "apart", "default_preset", "encode"]
