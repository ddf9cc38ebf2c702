# SPDX-License-Identifier: MIT
"""What users of Pillow, imageio and napari expect of a file format."""

from __future__ import annotations

import copy
import importlib
import importlib.metadata
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

import sanrcodec
from sanrcodec import napari_plugin, pillow_plugin

VECTORS = Path(__file__).parent / "vectors"
DEFAULT = VECTORS / "default.sanr"


def test_pillow_opens_the_middle_view() -> None:
    opened = sanrcodec.open(DEFAULT)
    with Image.open(DEFAULT) as image:
        assert isinstance(image, pillow_plugin.SanrImageFile)
        assert (image.format, image.mode, image.size) == ("SANR", "RGB", (32, 24))
        assert (image.n_frames, image.is_animated, image.tell()) == (9, True, 4)
        assert image.info["grid"] == (3, 3)
        assert image.info["bpp"] == opened.bpp
        low, high = image.info["parallax"]
        assert -8 < low <= high < 8
        np.testing.assert_array_equal(np.asarray(image), opened.view(1, 1))
        assert image.convert("L").size == image.resize((32, 24)).size


def test_pillow_seeks_the_views() -> None:
    opened = sanrcodec.open(DEFAULT)
    with Image.open(DEFAULT) as image:
        frames = [np.asarray(frame) for frame in ImageSequence.Iterator(image)]
        assert len(frames) == 9
        for n, frame in enumerate(frames):
            np.testing.assert_array_equal(frame, opened.view(*divmod(n, 3)))
        for n in (-1, 9):
            with pytest.raises(EOFError, match="outside"):
                image.seek(n)


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.sanr")), ids=lambda p: p.stem)
def test_pillow_opens_every_vector(path: Path) -> None:
    opened = sanrcodec.open(path)
    v, u = (n // 2 for n in opened.grid)
    with Image.open(path) as image:
        samples = np.asarray(image)
        view = opened.view(v, u)
        if opened.bit_depth > 8 and opened.shape[4] == 3:
            view = view >> (opened.bit_depth - 8)
        np.testing.assert_array_equal(samples, view[..., 0] if view.shape[2] == 1 else view)
        assert ("parallax" in image.info) == (opened.header.layers > 0)


def test_pillow_saves_a_view_in_other_formats(tmp_path: Path) -> None:
    with Image.open(DEFAULT) as image:
        image.save(tmp_path / "view.png")
    with Image.open(tmp_path / "view.png") as saved:
        np.testing.assert_array_equal(np.asarray(saved), sanrcodec.open(DEFAULT).view(1, 1))


def test_pillow_saves_all_views(tmp_path: Path) -> None:
    with Image.open(DEFAULT) as image:
        image.save(tmp_path / "views.gif", save_all=True)
    with Image.open(tmp_path / "views.gif") as saved:
        assert saved.n_frames == 9


def test_pillow_does_not_write_light_fields(tmp_path: Path) -> None:
    with Image.open(DEFAULT) as image, pytest.raises(OSError, match="sanr encode"):
        image.save(tmp_path / "view.sanr")


def test_pictures_of_pillow_are_pictures() -> None:
    with Image.open(DEFAULT) as image:
        assert image.crop((0, 0, 4, 5)).size == (4, 5)
        image.thumbnail((8, 8))
        assert image.size == (8, 6)


def test_pillow_refuses_damaged_files(tmp_path: Path) -> None:
    content = bytearray(DEFAULT.read_bytes())
    content[40] ^= 1
    (tmp_path / "bad.sanr").write_bytes(content)
    with pytest.raises(Image.UnidentifiedImageError):
        Image.open(tmp_path / "bad.sanr")


def test_without_the_plugin_pillow_knows_nothing() -> None:
    code = (
        "import sanrcodec, PIL.Image\n"
        f"try:\n    PIL.Image.open({str(DEFAULT)!r})\n"
        "except PIL.UnidentifiedImageError:\n    print('unknown')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.stdout == "unknown\n"


def test_imageio_reads_by_pillow() -> None:
    iio = pytest.importorskip("imageio.v3")
    opened = sanrcodec.open(DEFAULT)
    np.testing.assert_array_equal(iio.imread(DEFAULT, plugin="pillow", index=5), opened.view(1, 2))
    np.testing.assert_array_equal(iio.imread(DEFAULT, plugin="pillow"), opened.view(0, 0))
    frames = iio.imread(DEFAULT, plugin="pillow", index=...)
    np.testing.assert_array_equal(frames, np.asarray(opened).reshape(9, 24, 32, 3))
    assert sum(1 for _ in iio.imiter(DEFAULT, plugin="pillow")) == 9
    assert iio.improps(DEFAULT, plugin="pillow", index=...).shape == (9, 24, 32, 3)
    assert iio.immeta(DEFAULT, plugin="pillow")["grid"] == (3, 3)


def test_napari_gets_the_grid_as_an_array() -> None:
    reader = napari_plugin.get_reader(str(DEFAULT))
    assert reader is not None
    ((opened, options, kind),) = reader(str(DEFAULT))
    assert kind == "image"
    assert options["rgb"]
    assert options["contrast_limits"] == (0, 255)
    assert (opened.ndim, opened.shape) == (5, (3, 3, 24, 32, 3))
    # What napari asks for when the sliders stand at 2 and 1.
    np.testing.assert_array_equal(np.asarray(opened[2, 1, :, :, :]), opened.view(2, 1))
    assert napari_plugin.get_reader("lf.png") is None


def test_napari_gets_gray_views_without_channels() -> None:
    pytest.importorskip("dask.array")
    path = str(VECTORS / "gray_10_bit_1x4.sanr")
    reader = napari_plugin.get_reader(path)
    assert reader is not None
    ((lazy, options, _),) = reader(path)
    assert lazy.shape == (1, 4, 17, 23)
    assert not options["rgb"]
    assert options["contrast_limits"] == (0, 1023)
    np.testing.assert_array_equal(np.asarray(lazy[0, 3]), sanrcodec.open(path).view(0, 3)[..., 0])


def test_napari_manifest() -> None:
    manifest = Path(sanrcodec.__file__).with_name("napari.yaml").read_text(encoding="utf-8")
    module, name = re.search(r"python_name: ([\w.]+):(\w+)", manifest).groups()
    assert getattr(importlib.import_module(module), name) is napari_plugin.get_reader
    identifiers = re.findall(r"(?:id|command): (\S+)", manifest)
    assert identifiers == ["sanrcodec.get_reader"] * 2
    (entry,) = importlib.metadata.entry_points(group="napari.manifest", name="sanrcodec")
    assert entry.value == "sanrcodec:napari.yaml"


@pytest.mark.parametrize("path", sorted((VECTORS.parent / "faulty").glob("*.sanr")))
def test_pillow_tells_damage_by_its_own_errors(path: Path) -> None:
    try:
        image = Image.open(path)
    except Image.UnidentifiedImageError:
        return
    with image, pytest.raises(OSError, match=r"section (LATENTS|RESIDUALS)"):
        image.load()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda image: pickle.loads(pickle.dumps(image))])
def test_a_copied_picture_is_the_view_that_was_shown(copied: Any) -> None:
    view = sanrcodec.open(DEFAULT).view(2, 0)
    with Image.open(DEFAULT) as image:
        image.seek(6)
        again = copied(image)
    np.testing.assert_array_equal(np.asarray(again), view)
    assert (again.n_frames, again.tell()) == (1, 0)
    with pytest.raises(EOFError):
        again.seek(1)


def test_a_view_is_whole_after_another_was_changed() -> None:
    with Image.open(DEFAULT) as image:
        image.thumbnail((8, 8))
        image.putalpha(3)
        image.seek(0)
        assert (image.size, image.mode) == ((32, 24), "RGB")
        np.testing.assert_array_equal(np.asarray(image), sanrcodec.open(DEFAULT).view(0, 0))


def test_pillow_does_not_write_several_pictures_either(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="sanr encode"):
        Image.new("L", (4, 4)).save(tmp_path / "x.sanr", save_all=True)
