# SPDX-License-Identifier: MIT
"""Other packages: optional ones imported where an input needs them, and where logs go."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType

from sanrcodec.errors import LightFieldError

__all__ = ["handled_log", "import_extra", "silent_log"]


def import_extra(module: str, reason: str) -> ModuleType:
    """Import a module of a package that only some inputs need.

    Args:
        module: Its name.
        reason: What needs it, the beginning of the message.

    Raises:
        LightFieldError: the package is not installed; the message tells what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise LightFieldError(f"{reason}, which needs {package}: pip install {package}") from None


@contextmanager
def handled_log(package: str, handler: logging.Handler) -> Iterator[None]:
    """Hand what a package logs to a handler, and to nobody else."""
    logger = logging.getLogger(package)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def silent_log(package: str) -> AbstractContextManager[None]:
    """Keep what a package logs about odd files off the terminal; its errors say what counts."""
    return handled_log(package, logging.NullHandler())
