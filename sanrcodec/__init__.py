# SPDX-License-Identifier: MIT
"""sanrcodec: a light-field image codec that overfits a scene-aware neural representation.

>>> import sanrcodec
>>> view = sanrcodec.open("lf.sanr").view(4, 4)  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sanrcodec import errors, io, limits, metrics
    from sanrcodec.decoder import SanrFile
    from sanrcodec.decoder import open_sanr as open  # reads as sanrcodec.open
    from sanrcodec.encoder import encode
    from sanrcodec.errors import LightFieldError, SanrError
    from sanrcodec.lightfield import LightField
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
    "errors",
    "io",
    "limits",
    "metrics",
    "open",
]

__version__ = "0.1.0"

# Name -> its module, and its name there, or None for the module itself. They are imported when they
# are first used: until numpy is there, the command line could neither answer Ctrl-C nor Tab.
_PLACES = {
    "LightField": ("lightfield", "LightField"),
    "LightFieldError": ("errors", "LightFieldError"),
    "SanrError": ("errors", "SanrError"),
    "SanrFile": ("decoder", "SanrFile"),
    "errors": ("errors", None),
    "io": ("io", None),
    "limits": ("limits", None),
    "metrics": ("metrics", None),
    "open": ("decoder", "open_sanr"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module_name, own = _PLACES[name]
    module = import_module(f"{__name__}.{module_name}")
    found = module if own is None else getattr(module, own)
    globals()[name] = found  # not asked for again
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
