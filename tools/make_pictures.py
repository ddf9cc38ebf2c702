#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make the pictures of README.md from a light field that is made by code.

Usage: python tools/make_pictures.py [FOLDER]   (docs/images by default; minutes on a CPU)
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

import sanrcodec
from sanrcodec.io import write_animation, write_view
from sanrcodec.rendering.paths import orbit
from sanrcodec.rendering.refocus import disparity_range

ROOT = Path(__file__).resolve().parents[1]
_GAP_PX = 6


def main(folder: Path) -> None:
    """Encode the light field, and draw what its file knows."""
    samples = _synthetic().render((5, 5), (192, 288), 3, (-1.6, 2.4))
    light_field = sanrcodec.LightField(samples)
    result = sanrcodec.encode(light_field, preset="fast", lmbda=4, device="cpu")
    print(result)
    opened = sanrcodec.open(result.content)
    disparity = opened.disparity(2, 2)
    far, near = disparity_range(opened)
    gray = np.clip((disparity - far) / (near - far), 0, 1)[..., None].repeat(3, 2)
    pictures = [
        opened.view(2, 2), np.rint(255 * gray).astype(np.uint8),
        opened.refocus(0.9 * near), opened.refocus(0.9 * far),
    ]  # fmt: skip
    gap = np.full((samples.shape[2], _GAP_PX, 3), 255, np.uint8)
    row = [part for picture in pictures for part in (picture, gap)][:-1]
    folder.mkdir(parents=True, exist_ok=True)
    write_view(folder / "look.png", np.concatenate(row, 1), 8)
    places = orbit(opened.grid, 40)
    write_animation(folder / "orbit.webp", (opened.view(*place) for place in places), 8)


def _synthetic() -> ModuleType:
    spec = importlib.util.spec_from_file_location("synthetic", ROOT / "examples" / "synthetic.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["synthetic"] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
