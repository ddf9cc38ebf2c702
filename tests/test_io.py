# SPDX-License-Identifier: MIT
"""Reading and writing light fields: every layout, every depth, and what is refused."""

from __future__ import annotations

import errno
import importlib.util
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sanrcodec.errors import LightFieldError, SanrError
from sanrcodec.io import image as image_module
from sanrcodec.io import read_light_field, stored, write_atomically, write_mosaic, write_view
from sanrcodec.io.image import read_image
from sanrcodec.io.mosaic import infer_grid

SYNTHETIC = Path(__file__).parents[1] / "examples" / "synthetic.py"
SHAPES = [(2, 3, 5, 7, 3), (3, 2, 8, 6, 1), (1, 4, 3, 9, 3), (1, 1, 5, 4, 3), (2, 2, 1, 1, 1)]


@pytest.fixture(scope="module")
def render():
    spec = importlib.util.spec_from_file_location("synthetic", SYNTHETIC)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.render


def noise(shape, bit_depth=8, seed=0):
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**bit_depth, shape).astype(dtype)


def tile(samples):
    n_v, n_u, height, width, channels = samples.shape
    return samples.transpose(0, 2, 1, 3, 4).reshape(n_v * height, n_u * width, channels)


def save(path, samples, **options):
    """Save 8-bit samples by pillow, as a user's tool would."""
    Image.fromarray(samples[..., 0] if samples.shape[-1] == 1 else samples).save(path, **options)


def save_views(folder, samples, name):
    folder.mkdir(exist_ok=True)
    for number, (v, u) in enumerate(np.ndindex(*samples.shape[:2])):
        write_view(folder / name.format(v=v, u=u, n=number), samples[v, u], 8)


def assert_reads(path, samples, expected_depth=8, **options):
    light_field = read_light_field(path, **options)
    assert light_field.samples.dtype == samples.dtype
    np.testing.assert_array_equal(light_field.samples, samples)
    assert light_field.bit_depth == expected_depth


def refuses(message, path, **options):
    with pytest.raises(LightFieldError, match=message) as caught:
        read_light_field(path, **options)
    assert "\n" not in str(caught.value)
    assert Path(path).name in str(caught.value)


# Mosaic and lenslet


@pytest.mark.parametrize("bit_depth", [8, 10, 16])
@pytest.mark.parametrize("shape", SHAPES)
def test_mosaic_round_trip(tmp_path, shape, bit_depth):
    samples = noise(shape, bit_depth)
    path = tmp_path / "lf.png"
    write_mosaic(path, samples, shape[:2], bit_depth)
    assert_reads(path, samples, bit_depth)
    by_row = tmp_path / "rows.png"
    write_mosaic(by_row, (row for row in samples), shape[:2], bit_depth)
    assert by_row.read_bytes() == path.read_bytes()


def test_pillow_reads_our_mosaic(tmp_path):
    samples = noise((2, 3, 5, 7, 3))
    write_mosaic(tmp_path / "lf.png", samples, (2, 3))
    with Image.open(tmp_path / "lf.png") as image:
        assert image.info["sanr:grid"] == "2x3"
        np.testing.assert_array_equal(np.asarray(image), tile(samples))


def test_write_mosaic_refuses_contradictions(tmp_path):
    samples = noise((2, 3, 4, 4, 3))
    for grid in [(3, 3), (1, 3), (2, 2)]:
        with pytest.raises(LightFieldError, match="does not fit"):
            write_mosaic(tmp_path / "lf.png", samples, grid)
    with pytest.raises(LightFieldError, match="does not fit"):
        write_mosaic(tmp_path / "lf.png", [samples[0], samples[1, :, :3]], (2, 3))
    with pytest.raises(LightFieldError, match="no views"):
        write_mosaic(tmp_path / "lf.png", [], (2, 3))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", SHAPES)
def test_lenslet(tmp_path, shape):
    samples = noise(shape)
    n_v, n_u, height, width, channels = shape
    pixels = samples.transpose(2, 0, 3, 1, 4).reshape(height * n_v, width * n_u, channels)
    save(tmp_path / "lf.png", pixels)
    assert_reads(tmp_path / "lf.png", samples, grid=shape[:2], layout="lenslet")
    refuses("add --grid VxU", tmp_path / "lf.png", layout="lenslet")


def test_given_grid_wins_over_text_chunk(tmp_path):
    samples = noise((2, 4, 3, 3, 3))
    write_mosaic(tmp_path / "lf.png", samples, (2, 4))
    light_field = read_light_field(tmp_path / "lf.png", grid=(1, 1))
    np.testing.assert_array_equal(light_field.view(0, 0), tile(samples))
    refuses("6 rows and 12 columns.* 5x2 views", tmp_path / "lf.png", grid=(5, 2))
    with pytest.raises(LightFieldError, match=r"grid 0x2: V and U run 1\.\.64"):
        read_light_field(tmp_path / "lf.png", grid=(0, 2))


# Inference


def infer(samples):
    return infer_grid(tile(samples))


@pytest.mark.parametrize("grid", [(9, 9), (5, 3), (1, 6), (4, 1), (2, 8), (12, 6)])
@pytest.mark.parametrize("depth_edges", [(-0.8, 1.0), (-1.5, 2.0)])
def test_infers_grid(render, grid, depth_edges):
    samples = render(grid, (60, 72), seed=3, disparity=depth_edges)
    assert infer(samples) == grid
    assert infer(samples[..., :1].astype(np.uint16) * 257) == grid


def test_infers_one_view(render):
    assert infer(render((1, 1), (180, 240), seed=1)) == (1, 1)


def test_inferred_grid_is_reported(tmp_path, render):
    samples = render((3, 5), (64, 64), seed=5)
    save(tmp_path / "lf.png", tile(samples))
    notes = []
    assert_reads(tmp_path / "lf.png", samples, notes=notes.append)
    assert len(notes) == 1
    assert "3x5 views" in notes[0]
    assert "--grid" in notes[0]


@pytest.mark.parametrize(
    "pixels", [np.full((96, 96, 3), 90, np.uint8), np.tile(noise((1, 96, 3)), (96, 1, 1))]
)
def test_ambiguous_grid_is_refused(tmp_path, pixels):
    save(tmp_path / "lf.png", pixels)
    refuses("rows.* not clear.*add --grid VxU, for example --grid 9x9", tmp_path / "lf.png")


def test_lenslet_image_is_no_mosaic(render):
    samples = render((6, 6), (60, 60), seed=2)
    pixels = samples.transpose(2, 0, 3, 1, 4).reshape(360, 360, 3)
    with pytest.raises(LightFieldError, match="--layout lenslet"):
        infer_grid(pixels)


# Folders of views


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("input_Cam{n:03d}.png", (3, 3, 4, 5, 3)),
        ("{v:03d}_{u:03d}.ppm", (2, 3, 4, 5, 3)),
        ("out_{v:02d}_{u:02d}_-776.880371_1533.980469_.png", (2, 3, 4, 5, 3)),
        ("view_{v:02d}_{u:02d}.png", (3, 1, 4, 5, 1)),
        ("view_{v}_{u}.pgm", (1, 11, 4, 5, 1)),
    ],
)
def test_folder(tmp_path, name, shape):
    samples = noise(shape)
    save_views(tmp_path / "lf", samples, name)
    (tmp_path / "lf" / "parameters.cfg").write_text("no image")
    assert_reads(tmp_path / "lf", samples)
    assert_reads(tmp_path / "lf", samples, grid=shape[:2])
    if "Cam" not in name:
        refuses("contradicts --grid 1x2", tmp_path / "lf", grid=(1, 2))


def test_folder_with_other_images_and_offset(tmp_path):
    samples = noise((2, 2, 4, 5, 3))
    folder = tmp_path / "lf"
    folder.mkdir()
    for v, u in np.ndindex(2, 2):
        write_view(folder / f"{v + 1:03d}_{u + 3:03d}.png", samples[v, u], 8)
    write_view(folder / "thumbnail.png", samples[0, 0], 8)
    notes = []
    assert_reads(folder, samples, notes=notes.append)
    assert any("start at 1,3" in note for note in notes)
    assert any("1 images with other names" in note for note in notes)


def test_folder_in_natural_order(tmp_path):
    samples = noise((2, 6, 4, 5, 3))
    save_views(tmp_path / "lf", samples, "img{n}.png")
    assert_reads(tmp_path / "lf", samples, grid=(2, 6))
    refuses("12 images do not tell their grid; add --grid VxU", tmp_path / "lf")
    refuses("found 12 images, but --grid 3x3 needs 9", tmp_path / "lf", grid=(3, 3))


def test_hci_grid_must_be_square_or_given(tmp_path):
    samples = noise((2, 3, 4, 5, 3))
    save_views(tmp_path / "lf", samples, "input_Cam{n:03d}.png")
    refuses("6 images do not tell their grid", tmp_path / "lf")
    assert_reads(tmp_path / "lf", samples, grid=(2, 3))


@pytest.mark.parametrize(
    ("name", "victim", "message"),
    [
        ("input_Cam{n:03d}.png", "input_Cam004.png", "1 views are missing: input_Cam004"),
        ("view_{v:02d}_{u:02d}.png", "view_01_02.png", "1 views are missing: view 1,2"),
    ],
)
def test_missing_view_is_named(tmp_path, name, victim, message):
    save_views(tmp_path / "lf", noise((3, 3, 4, 5, 3)), name)
    (tmp_path / "lf" / victim).unlink()
    refuses(message, tmp_path / "lf")


def test_unlike_views_are_named(tmp_path):
    folder = tmp_path / "lf"
    save_views(folder, noise((2, 2, 4, 5, 3)), "view_{v}_{u}.png")
    for shape, bit_depth, found in [
        ((4, 6, 3), 8, "6 x 4 RGB of 8 bit"),
        ((4, 5, 1), 8, "5 x 4 grey of 8 bit"),
        ((4, 5, 3), 16, "5 x 4 RGB of 16 bit"),
    ]:
        write_view(folder / "view_1_0.png", noise(shape, bit_depth), bit_depth)
        with pytest.raises(LightFieldError, match=f"{found}, but view_0_0.png is 5 x 4 RGB of 8"):
            read_light_field(folder)


def test_doubled_view_and_empty_folder(tmp_path):
    refuses("no images", tmp_path)
    save_views(tmp_path, noise((2, 2, 4, 5, 3)), "view_{v}_{u}.png")
    save_views(tmp_path, noise((2, 2, 4, 5, 3)), "view_{v}_{u}.ppm")
    refuses("view_0_0.png and view_0_0.ppm are the same view", tmp_path)


# Arrays


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
def test_large_light_fields_stay_on_disk(tmp_path, monkeypatch, dtype):
    samples = noise((2, 3, 4, 5, 3), 8 * np.dtype(dtype).itemsize)
    np.save(tmp_path / "lf.npy", samples.astype(dtype))
    (tmp_path / "lf").mkdir()
    for v, u in np.ndindex(2, 3):
        write_view(tmp_path / "lf" / f"view_{v}_{u}.png", samples[v, u], 8 * samples.itemsize)
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", samples.nbytes - 1)
    for name in ("lf.npy", "lf"):
        light_field = read_light_field(tmp_path / name)
        assert isinstance(light_field.samples, stored.FileSamples)
        assert light_field.shape == samples.shape
        assert light_field.samples.dtype == samples.dtype
        assert light_field.view(1, 2).dtype == samples.dtype
        np.testing.assert_array_equal(light_field.view(1, 2), samples[1, 2])
        np.testing.assert_array_equal(light_field.samples, samples)
        assert light_field.largest_sample() == samples.max()
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", samples.nbytes)
    assert isinstance(read_light_field(tmp_path / "lf.npy").samples, np.ndarray)
    assert isinstance(read_light_field(tmp_path / "lf").samples, np.ndarray)


def test_stored_light_field_is_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", 0)
    np.save(tmp_path / "lf.npy", noise((2, 2, 4, 5, 3), 16))
    refuses("a sample is", tmp_path / "lf.npy", bit_depth=10)
    light_field = read_light_field(tmp_path / "lf.npy")
    with (tmp_path / "lf.npy").open("r+b") as file:
        file.truncate(300)
    with pytest.raises(LightFieldError, match="cut short"):
        light_field.view(1, 1)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
def test_npy(tmp_path, dtype):
    samples = noise((2, 3, 4, 5, 3)).astype(dtype)
    np.save(tmp_path / "lf.npy", samples)
    native = samples.astype(samples.dtype.newbyteorder("="))
    assert_reads(tmp_path / "lf.npy", native, 8 * samples.dtype.itemsize)
    refuses("contradicts --grid 3x2", tmp_path / "lf.npy", grid=(3, 2))
    np.save(tmp_path / "grey.npy", samples[..., 0])
    assert_reads(tmp_path / "grey.npy", native[..., :1], 8 * samples.dtype.itemsize)


def test_npy_bit_depth(tmp_path):
    samples = noise((1, 2, 4, 5, 3), 10)
    np.save(tmp_path / "lf.npy", samples)
    notes = []
    assert read_light_field(tmp_path / "lf.npy", notes=notes.append).bit_depth == 16
    assert "no sample needs more than 10 bits" in notes[0]
    assert_reads(tmp_path / "lf.npy", samples, 10, bit_depth=10)
    refuses("9 bits hold 0..511", tmp_path / "lf.npy", bit_depth=9)


def test_npy_refused(tmp_path):
    path = tmp_path / "lf.npy"
    for content, message in [
        (np.zeros((4, 5, 6, 3), np.uint8), r"looks like \[n, H, W, C\]"),
        (np.full((1, 1, 4, 5, 3), np.nan), "NaN"),
        (np.zeros((4, 4), np.uint8), "expected \\[V, U, H, W, C\\]"),
        (np.array([None]), "damaged or holds objects"),
    ]:
        np.save(path, content)
        refuses(message, path)
    np.save(path, np.zeros((1, 1, 4, 5, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:-1])
    refuses("damaged", path)
    path.write_bytes(b"")
    refuses("damaged", path)


# Images


@pytest.mark.parametrize("suffix", [".png", ".ppm"])
@pytest.mark.parametrize("bit_depth", range(8, 17))
@pytest.mark.parametrize("channels", [1, 3])
def test_view_round_trip(tmp_path, suffix, bit_depth, channels):
    samples = noise((5, 7, channels), bit_depth)
    samples.flat[:2] = 0, 2**bit_depth - 1
    write_view(tmp_path / f"view{suffix}", samples, bit_depth)
    image = read_image(tmp_path / f"view{suffix}")
    np.testing.assert_array_equal(image.samples, samples)
    assert image.samples.dtype == samples.dtype
    assert image.bit_depth == bit_depth


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
    smooth=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_own_png_equals_pillow(tmp_path_factory, height, width, channels, smooth, seed):
    path = tmp_path_factory.mktemp("png") / "view.png"
    samples = noise((height, width, channels), 8, seed)
    if smooth:
        samples = (np.cumsum(samples & 7, axis=1) & 255).astype(np.uint8)
    write_view(path, samples, 8)
    parsed = image_module.png.parse_png(path.read_bytes())
    np.testing.assert_array_equal(image_module.png.decode_samples(parsed)[0], samples)
    np.testing.assert_array_equal(read_image(path).samples, samples)


def test_png_higher_than_what_is_filtered_at_once(tmp_path):
    samples = np.cumsum(noise((150, 7, 3), 8), axis=0, dtype=np.uint8)
    write_view(tmp_path / "high.png", samples, 8)
    np.testing.assert_array_equal(read_image(tmp_path / "high.png").samples, samples)


def test_all_png_filters_are_undone():
    samples = np.cumsum(noise((10, 6, 6)), axis=1).astype(np.uint8)
    padded = np.pad(samples.astype(np.int16), ((1, 0), (1, 0), (0, 0)))
    predictions = image_module.png._predict(padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1])
    kinds = np.arange(10, dtype=np.uint8) % 5
    filtered = np.stack([samples[y] - predictions[k][y] for y, k in enumerate(kinds)])
    restored = image_module.png._unfilter(filtered.astype(np.uint8), kinds)
    np.testing.assert_array_equal(restored, samples)


def test_grey_16_bit_png_of_pillow(tmp_path):
    samples = noise((5, 7, 1), 16)
    Image.fromarray(samples[..., 0]).save(tmp_path / "view.png")
    image = read_image(tmp_path / "view.png")
    np.testing.assert_array_equal(image.samples, samples)


def test_dishonest_significant_bits_lose_nothing(tmp_path):
    samples = noise((5, 7, 3), 16)
    write_view(tmp_path / "view.png", samples, 16)
    content = (tmp_path / "view.png").read_bytes()
    (tmp_path / "view.png").write_bytes(content[:33] + chunk(b"sBIT", b"\x0a" * 3) + content[33:])
    image = read_image(tmp_path / "view.png")
    assert image.bit_depth == 16
    np.testing.assert_array_equal(image.samples, samples)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(color, depth=8, interlace=0, extra=b"", body=b"\0" * 99):
    header = struct.pack(">IIBBBBB", 4, 3, depth, color, 0, 0, interlace)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + extra + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(6), "alpha channel; remove it"),
        (png(4, 16), "alpha channel; remove it"),
        (png(3, extra=chunk(b"PLTE", b"\0" * 6)), "palette; convert it to RGB"),
        (png(2, extra=chunk(b"tRNS", b"\0" * 6)), "transparent color"),
        (png(0, 1), "1 bits per sample"),
        (png(2, 16, interlace=1), "interlaced"),
        (png(2, 16), "76 bytes of samples, expected 75"),
        (png(2, 16, body=b"\0" * 74), "74 bytes of samples, expected 75"),
        (png(2, 16, body=b"\5" * 75), "filter type 5"),
        (png(2, 16).replace(b"IDAT", b"IDAX"), "chunk IDAX has a wrong CRC"),
        (png(5), "reserved values"),
        (b"", "no image"),
        (b"hello", "no image"),
        (b"P6\n4 3\n255\n" + b"\0" * 35, "35 bytes of samples, expected 36"),
        (b"P6\n4 3\n100\n" + b"\0" * 36, "maximum value is 100"),
        (b"P5\n2 1\n1023\n\x04\x00\x00\x00", "sample is 1024, above the maximum 1023"),
        (b"P5\n2 x\n", "header is damaged"),
    ],
)
def test_refused_image(tmp_path, content, message):
    (tmp_path / "lf.png").write_bytes(content)
    refuses(message, tmp_path / "lf.png", grid=(1, 1))


@pytest.mark.parametrize(
    ("mode", "suffix", "message"),
    [("P", "gif", "palette"), ("CMYK", "jpg", "mode CMYK"), ("1", "bmp", "mode 1"),
     ("RGBA", "tif", "alpha")],
)  # fmt: skip
def test_refused_mode(tmp_path, mode, suffix, message):
    Image.new(mode, (8, 8)).save(tmp_path / f"lf.{suffix}")
    refuses(message, tmp_path / f"lf.{suffix}", grid=(1, 1))


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_truncated_png_at_every_byte(tmp_path, bit_depth):
    path = tmp_path / "lf.png"
    write_mosaic(path, noise((1, 2, 3, 3, 3), bit_depth), (1, 2), bit_depth)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        refuses("truncated|no image", path)


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_flipped_png_bits(tmp_path, bit_depth):
    path = tmp_path / "lf.png"
    write_mosaic(path, noise((1, 2, 3, 3, 3), bit_depth), (1, 2), bit_depth)
    content = path.read_bytes()
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        refuses("PNG|no image", path)


def test_wrong_paths(tmp_path):
    refuses("no such file", tmp_path / "absent.png")
    save(tmp_path / "lf.png", noise((4, 4, 3)))
    refuses("cannot be read from a file", tmp_path / "lf.png", layout="views")
    refuses("cannot be read from a folder", tmp_path, layout="mosaic")
    with pytest.raises(LightFieldError, match="layout 'hexagon' is unknown"):
        read_light_field(tmp_path / "lf.png", layout="hexagon")
    with pytest.raises(LightFieldError, match=r"expected \.png or \.ppm"):
        write_view(tmp_path / "lf.tif", noise((4, 4, 3)), 8)


# Writing


def test_write_replaces_or_leaves_alone(tmp_path):
    path = tmp_path / "lf.sanr"
    write_atomically(path, b"old")
    assert path.read_bytes() == b"old"
    write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"

    def fill_disk(file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(SanrError, match=r"lf\.sanr: cannot write: No space left") as caught:
        write_atomically(path, fill_disk)
    assert "\n" not in str(caught.value)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, lambda file: (_ for _ in ()).throw(KeyboardInterrupt))
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_write_to_impossible_places(tmp_path):
    with pytest.raises(SanrError, match="cannot write: No such file"):
        write_atomically(tmp_path / "absent" / "lf.sanr", b"")
    with pytest.raises(SanrError, match="cannot write"):
        write_atomically(tmp_path, b"")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links and /dev/null")
def test_write_keeps_links_and_devices(tmp_path):
    (tmp_path / "link").symlink_to("target")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"
    write_atomically("/dev/null", b"new")
    assert not Path("/dev/null").is_file()


def test_example_writes_a_readable_mosaic(tmp_path):
    command = [sys.executable, SYNTHETIC, "lf.png", "--grid", "3x4", "--size", "20x24"]
    environment = {**os.environ, "PYTHONPATH": str(SYNTHETIC.parents[1])}
    subprocess.run(command, cwd=tmp_path, check=True, env=environment)
    assert read_light_field(tmp_path / "lf.png").shape == (3, 4, 20, 24, 3)


def test_pillow_is_imported_lazily():
    code = "import sys, sanrcodec.io; sys.exit('PIL' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(SYNTHETIC.parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
