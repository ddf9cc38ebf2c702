# SPDX-License-Identifier: MIT
"""Checks of outputs before any work is done; writes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import click

__all__ = ["check_image", "check_images", "check_output"]


def check_output(path: Path, force: bool) -> None:
    """Refuse an output that cannot or must not be written.

    Raises:
        click.UsageError: says what is in the way.
    """
    if path.is_file():
        if not force:
            raise click.UsageError(f"{path} exists; add --force to overwrite it")
    elif path.is_dir():
        raise click.UsageError(f"{path} is a folder, expected a file")
    elif path.exists():
        return  # a device or pipe, which is written in place
    if not path.parent.is_dir():
        raise click.UsageError(f"{path.parent}: no such folder; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise click.UsageError(f"{path.parent}: no permission to write to this folder")


def check_image(path: Path, suffixes: tuple[str, ...], force: bool) -> None:
    """Like :func:`check_output`, for an image whose suffix chooses its format."""
    if path.suffix.lower() not in suffixes:
        raise click.UsageError(f"{path} must end in {' or '.join(suffixes)}")
    check_output(path, force)


def check_images(folder: Path, paths: Iterable[Path], force: bool) -> None:
    """Refuse a folder that is none, or that has one of these images already."""
    if folder.exists() and not folder.is_dir():
        raise click.UsageError(f"{folder} is a file, expected a folder")
    existing = [path for path in paths if path.exists()]
    if existing and not force:
        raise click.UsageError(f"{existing[0]} exists; add --force to overwrite it")
