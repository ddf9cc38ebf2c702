# SPDX-License-Identifier: MIT
"""sanrcodec: a light-field image codec that overfits a scene-aware neural representation.

>>> import sanrcodec
>>> view = sanrcodec.open("lf.sanr").view(4, 4)  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sanrcodec.decoder import SanrFile
from sanrcodec.decoder import open_sanr as open  # reads as sanrcodec.open
from sanrcodec.errors import LightFieldError, SanrError
from sanrcodec.lightfield import LightField

if TYPE_CHECKING:
    from sanrcodec import io, metrics
    from sanrcodec.encoder import encode
else:

    def encode(*args: Any, **options: Any) -> Any:
        """Encode a light field; needs PyTorch, which is imported now.

        See :func:`sanrcodec.encoder.encode` for arguments and result.

        Raises:
            MissingEncoderError: PyTorch is not installed.
        """
        from sanrcodec.encoder import encode as encode_light_field

        return encode_light_field(*args, **options)


__all__ = [
    "LightField",
    "LightFieldError",
    "SanrError",
    "SanrFile",
    "__version__",
    "encode",
    "io",
    "metrics",
    "open",
]

__version__ = "0.1.0"

_LAZY = ("io", "metrics")  # modules that are imported when they are first used


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
