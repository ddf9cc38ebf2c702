# SPDX-License-Identifier: MIT
"""A size that no file can have is refused before the fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import assert_refused, sanr, synthetic

from sanrcodec.errors import LightFieldError
from sanrcodec.lightfield import LightField
from sanrcodec.presets import PRESETS, PROFILES, Parallax, make_header

torch = pytest.importorskip("torch")

from sanrcodec.encoder.export import export, smallest_size  # noqa: E402
from sanrcodec.encoder.model import SceneModel  # noqa: E402
from sanrcodec.encoder.options import checked_options  # noqa: E402


def checked(light_field: LightField, **asked: float) -> Any:
    wanted = {"bpp": None, "psnr": None, "max_size": None, "quality": None, **asked}
    return checked_options(
        light_field, lmbda=None, preset="fast", profile="default", steps=None, schedule=None,
        time_budget=None, seed=0, **wanted,
    )  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("profile", PROFILES)
def test_a_model_before_its_fit_is_as_small_as_it_can_be(preset: str, profile: str) -> None:
    """Its weights are the default ones, and all of its latents are 0."""
    light_field = synthetic((3, 4), (24, 32))
    header = make_header(light_field, PRESETS[preset].model(PROFILES[profile]), Parallax(1.5), 16)
    content, _ = export(SceneModel(header), None)
    assert 0 <= len(content) - smallest_size(header) <= 32


def test_what_no_file_can_have_is_refused() -> None:
    light_field = synthetic((3, 3), (24, 32))
    n_pixels = 9 * 24 * 32
    profiles = PRESETS["fast"].model(PROFILES["default"]), PROFILES["sanr"]
    least = min(smallest_size(make_header(light_field, p, None, 16)) for p in profiles)
    assert checked(light_field, max_size=least).target.bits == 8 * least
    with pytest.raises(
        LightFieldError, match=f"^max_size {least - 1} asks for {least - 1} bytes, "
    ):
        checked(light_field, max_size=least - 1)
    # Three percent are near enough.
    assert checked(light_field, bpp=8 * least / n_pixels / 1.029)
    for bpp in (8 * least / n_pixels / 1.031, 1e-9, 1e-200):
        with pytest.raises(LightFieldError, match=f"this light field has {least} or more; ask"):
            checked(light_field, bpp=bpp)


def test_the_command_refuses_it_in_one_line(tmp_path: Path, mosaic: Path) -> None:
    output = tmp_path / "x.sanr"
    told = sanr("encode", mosaic, "-o", output, "--max-size", "5B", "--quiet", "--device", "cpu")
    assert_refused(
        told, 1, "--max-size 5B asks for 5 bytes, but every file of this light field has"
    )
    assert len(told.stderr.splitlines()) == 1
    assert not output.exists()
