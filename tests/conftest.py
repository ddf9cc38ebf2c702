# SPDX-License-Identifier: MIT
from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import settings

from sanrcodec.bitstream import container
from sanrcodec.bitstream.container import SectionType
from sanrcodec.cli import main
from sanrcodec.io import write_mosaic
from sanrcodec.lightfield import LightField
from sanrcodec.presets import PROFILES, Parallax, make_header

ROOT = Path(__file__).resolve().parents[1]

# A busy machine is no reason to fail.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def load_example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # NamedTuple looks its module up
    spec.loader.exec_module(module)
    return module


def synthetic(
    grid: tuple[int, int] = (3, 3),
    size: tuple[int, int] = (24, 32),
    channels: int = 3,
    bit_depth: int = 8,
) -> LightField:
    """Light field made by code, small enough for a fit of a second."""
    samples = load_example("synthetic").render(grid, size, seed=1, disparity=(-1.0, 1.5))
    if channels == 1:
        samples = samples[..., 1:2]
    if bit_depth > 8:
        # Fill the low bits too.
        samples = (samples.astype(np.uint32) * (2**bit_depth - 1) // 255).astype(np.uint16)
    return LightField(samples, bit_depth)


def without_residuals(content: bytes) -> bytes:
    """The file without what single views have alone."""
    sections = container.unpack(content).sections.values()
    return container.pack(
        [(s.type, s.payload) for s in sections if s.type != SectionType.RESIDUALS]
    )


def sanr(*arguments: Any) -> Result:
    """Run the command in this process."""
    # Before version 8.2 click mixed both streams unless it was told not to.
    mixes = "mix_stderr" in inspect.signature(CliRunner).parameters
    runner = CliRunner(**({"mix_stderr": False} if mixes else {}))
    return runner.invoke(main, [str(argument) for argument in arguments])


def assert_ok(result: Result) -> str:
    """Return what the command printed."""
    assert result.exit_code == 0, result.output
    return result.stdout


def assert_refused(result: Result, code: int, text: str) -> None:
    """Bad data (1) or usage (2), told on stderr; bad data in one line."""
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert result.stdout == ""
    if code == 1:
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1


@pytest.fixture(scope="session")
def light_field() -> LightField:
    return synthetic()


@pytest.fixture(scope="session")
def fit() -> Callable[..., Any]:
    """Encode with few steps on the CPU; skips where PyTorch is not installed."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)  # such small tensors only lose by more, the more so on a busy machine
    from sanrcodec.encoder import encode

    def fit(light_field: LightField, **options: Any) -> Any:
        return encode(light_field, **{"steps": 40, "device": "cpu", "preset": "medium", **options})

    return fit


@pytest.fixture(scope="session")
def encoded(fit: Callable[..., Any], light_field: LightField) -> Any:
    """EncodeResult of `light_field`, default profile."""
    return fit(light_field, steps=60)


@pytest.fixture(scope="session")
def encoded_sanr(fit: Callable[..., Any], light_field: LightField) -> Any:
    """EncodeResult of `light_field`, profile sanr."""
    return fit(light_field, profile="sanr")


@pytest.fixture(scope="session", params=["default", "sanr"])
def content(request: pytest.FixtureRequest) -> bytes:
    """A whole file, once of each profile."""
    name = {"default": "encoded", "sanr": "encoded_sanr"}[request.param]
    result: bytes = request.getfixturevalue(name).content
    return result


@pytest.fixture
def mosaic(tmp_path: Path, light_field: LightField) -> Path:
    """`light_field` as an image."""
    path = tmp_path / "lf.png"
    write_mosaic(path, light_field.samples, light_field.grid)
    return path


@pytest.fixture
def file(tmp_path: Path, encoded: Any) -> Path:
    """`encoded` as a file."""
    path = tmp_path / "lf.sanr"
    path.write_bytes(encoded.content)
    return path


@pytest.fixture(scope="module")
def model() -> tuple[Any, LightField]:
    """A model with latents that are worth something, of a light field made by code."""
    torch = pytest.importorskip("torch")
    from sanrcodec.encoder.model import SceneModel

    light_field = synthetic((2, 2), (24, 32))
    header = make_header(light_field, PROFILES["default"], Parallax(1.0), 16)
    model = SceneModel(header)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        model.latents.copy_(2 * torch.randn(model.latents.shape, generator=generator))
    return model, light_field
