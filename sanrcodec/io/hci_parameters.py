# SPDX-License-Identifier: MIT
"""The file ``parameters.cfg`` of the HCI benchmark: the number of cameras, and nothing else of it.

See "A Dataset and Evaluation Methodology for Depth Estimation on 4D Light Fields", Honauer et al.,
ACCV 2016; the keys are those of its scenes.
"""

from __future__ import annotations

import configparser
from pathlib import Path

__all__ = ["FILE_NAME", "read_grid"]

FILE_NAME = "parameters.cfg"


def read_grid(folder: Path) -> tuple[int, int] | None:
    """Return the number of views ``(V, U)`` that a folder's parameters tell; None if none do."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string((folder / FILE_NAME).read_text(encoding="utf-8", errors="replace"))
        n_v, n_u = (parser.getint("extrinsics", f"num_cams_{axis}") for axis in "yx")
    except (OSError, ValueError, configparser.Error):
        return None
    return (n_v, n_u) if n_v > 0 and n_u > 0 else None
