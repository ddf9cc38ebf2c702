# SPDX-License-Identifier: MIT
"""Optional packages: imported only when an input needs them; installs nothing."""

from __future__ import annotations

import importlib
from types import ModuleType

from sanrcodec.errors import LightFieldError

__all__ = ["import_extra"]


def import_extra(module: str, extra: str, reason: str) -> ModuleType:
    """Import a package that an extra of sanrcodec brings.

    Args:
        module: Its name.
        extra: Name of the extra in setup.cfg.
        reason: What needs it, the beginning of the message.

    Raises:
        LightFieldError: the package is not installed; the message tells what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise LightFieldError(
            f'{reason}, which needs {module}: pip install "sanrcodec[{extra}]"'
        ) from None
