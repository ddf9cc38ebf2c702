# SPDX-License-Identifier: MIT
"""sanrcodec: a light-field image codec that overfits a scene-aware neural representation.

>>> import sanrcodec
>>> view = sanrcodec.open("lf.sanr").view(4, 4)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sanrcodec.decoder import SanrFile
from sanrcodec.decoder import open_sanr as open  # reads as sanrcodec.open
from sanrcodec.errors import LightFieldError, SanrError
from sanrcodec.lightfield import LightField

if TYPE_CHECKING:
    from sanrcodec.encoder import encode

__all__ = [
    "LightField",
    "LightFieldError",
    "SanrError",
    "SanrFile",
    "__version__",
    "encode",
    "open",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "encode":  # the only part that needs torch
        from sanrcodec.encoder import encode

        return encode
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
