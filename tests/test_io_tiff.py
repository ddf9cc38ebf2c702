# SPDX-License-Identifier: MIT
"""TIFF of more than pillow reads exactly, and files of many images."""

from __future__ import annotations

import re
import struct
import sys

import numpy as np
import pytest
from io_inputs import assert_reads, noise, refuses, save_views
from PIL import Image

from sanrcodec.errors import LightFieldError
from sanrcodec.io import read_light_field
from sanrcodec.io.image import read_image

tifffile = pytest.importorskip("tifffile")


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7, 1)])
@pytest.mark.parametrize("bit_depth", [8, 16])
def test_exact(tmp_path, byteorder, bigtiff, shape, bit_depth):
    samples = noise(shape, bit_depth)
    tifffile.imwrite(
        tmp_path / "lf.tif", samples if shape[2] == 3 else samples[..., 0],
        byteorder=byteorder, bigtiff=bigtiff, photometric="rgb" if shape[2] == 3 else "minisblack",
    )  # fmt: skip
    image = read_image(tmp_path / "lf.tif")
    np.testing.assert_array_equal(image.samples, samples)
    assert image.bit_depth == bit_depth


@pytest.mark.parametrize("options", [
    {"planarconfig": "separate"}, {"compression": "zlib"}, {"rowsperstrip": 2}, {"tile": (16, 16)},
])  # fmt: skip
def test_rgb_of_16_bits_in_other_forms(tmp_path, options):
    samples = noise((32, 48, 3), 16)
    separate = "planarconfig" in options
    array = samples.transpose(2, 0, 1) if separate else samples
    tifffile.imwrite(tmp_path / "lf.tif", array, photometric="rgb", **options)
    np.testing.assert_array_equal(read_image(tmp_path / "lf.tif").samples, samples)


def test_folder_of_12_bits_in_16(tmp_path):
    samples = noise((2, 2, 16, 24, 3), 12)
    for v, u in np.ndindex(2, 2):
        tifffile.imwrite(tmp_path / f"view_{v}_{u}.tif", samples[v, u], photometric="rgb")
    assert "read as 12 bit" in assert_reads(tmp_path, samples, 12)
    assert_reads(tmp_path, samples, 16, bit_depth=16)


def test_alpha_of_16_bits(tmp_path):
    samples = noise((5, 7, 4), 16)
    samples[..., 3] = 65535
    path = tmp_path / "lf.tif"
    tifffile.imwrite(path, samples, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_image(path).samples, samples[..., :3])
    samples[0, 0, 3] = 65534
    tifffile.imwrite(path, samples, photometric="rgb", extrasamples=["unassalpha"])
    refuses("1 pixel is transparent", path, grid=(1, 1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_16_bits(tmp_path, orientation):
    samples = noise((4, 6, 3), 16)
    tag = (274, "H", 1, orientation, True)
    tifffile.imwrite(tmp_path / "lf.tif", samples, photometric="rgb", extratags=[tag])
    small = (samples >> 8).astype(np.uint8)
    tifffile.imwrite(tmp_path / "lf8.tif", small, photometric="rgb", extratags=[tag])
    read, by_pillow = (read_image(tmp_path / name).samples for name in ("lf.tif", "lf8.tif"))
    np.testing.assert_array_equal(read >> 8, by_pillow)


def test_packed_12_bits(tmp_path):
    # Two samples in three bytes.
    values = noise((2, 4), 12).astype(int)
    bits = "".join(f"{value:012b}" for value in values.ravel())
    body = int(bits, 2).to_bytes(len(bits) // 8, "big")
    tags = [(256, 4), (257, 2), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 2),
            (279, len(body))]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(body)) + body
    path = tmp_path / "lf.tif"
    path.write_bytes(head + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0))
    image = read_image(path)
    assert image.bit_depth == 12
    np.testing.assert_array_equal(image.samples[..., 0], values)


@pytest.mark.parametrize("dtype", ["f4", "i2", "u4"])
def test_other_samples_are_refused(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "lf.tif", np.zeros((5, 7, 3), dtype), photometric="rgb")
    refuses("mode|expected 8 to 16 unsigned bits", tmp_path / "lf.tif", grid=(1, 1))


def test_missing_package_names_the_extra(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "lf.tif", noise((5, 7, 3), 16), photometric="rgb")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    refuses(
        'holds 3 channels of 16 bits, which needs tifffile: pip install tifffile',
        tmp_path / "lf.tif", grid=(1, 1),
    )  # fmt: skip


def test_truncated(tmp_path):
    tifffile.imwrite(tmp_path / "lf.tif", noise((64, 64, 3), 16), photometric="rgb")
    content = (tmp_path / "lf.tif").read_bytes()
    for length in (4, 10, 200, len(content) // 2, len(content) - 1):
        (tmp_path / "lf.tif").write_bytes(content[:length])
        refuses("damaged|no image|cannot read", tmp_path / "lf.tif", grid=(1, 1))


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_sizes_that_a_small_file_only_claims(tmp_path, bit_depth):
    path = tmp_path / "lf.tif"
    tifffile.imwrite(path, noise((16, 16, 3), bit_depth), photometric="rgb", compression="zlib")
    content = path.read_bytes()
    for tag in (256, 257, 278):  # width, height, rows of a strip
        size = re.search(struct.pack("<H", tag) + rb"[\x03\x04]\0\x01\0\0\0", content).end()
        content = content[:size] + struct.pack("<I", 12288) + content[size + 4 :]
        content = content[: size - 6] + b"\x04" + content[size - 5 :]
    path.write_bytes(content)
    refuses(f"lf.tif: {len(content)} bytes claim {54 * bit_depth} MiB of samples", path)


def test_missing_parts_are_not_black(tmp_path):
    path = tmp_path / "lf.tif"
    options = {"photometric": "rgb", "compression": "zlib", "rowsperstrip": 8}
    tifffile.imwrite(path, noise((16, 16, 3), 16), **options)
    with tifffile.TiffFile(path, mode="r+b") as file:
        tag = file.pages[0].tags["StripByteCounts"]
        tag.overwrite((tag.value[0], 0))
    refuses("parts of its images are missing", path, grid=(1, 1))


def test_missing_planes_are_not_black(tmp_path):
    samples = noise((6, 8, 9, 3))
    path = tmp_path / "lf.ome.tif"
    tifffile.imwrite(path, samples, photometric="rgb", metadata={"axes": "ZYXS"})
    path.write_bytes(path.read_bytes().replace(b'SizeZ="6"', b'SizeZ="9"'))
    refuses("parts of its images are missing", path, grid=(3, 3))


# Stacks


@pytest.mark.parametrize("kind", ["pages", "imagej", "ome", "imagej gray", "ome channels"])
@pytest.mark.parametrize("bit_depth", [8, 16])
def test_stacks(tmp_path, kind, bit_depth):
    gray = kind in ("imagej gray",)
    samples = noise((2, 3, 8, 9, 1 if gray else 3), bit_depth)
    path = tmp_path / ("lf.ome.tif" if "ome" in kind else "lf.tif")
    frames = samples.reshape(6, 8, 9, -1)
    if kind == "pages":
        tifffile.imwrite(path, frames, photometric="rgb")
    elif kind == "imagej":  # composite: channels lie in images of their own
        array = frames.transpose(0, 3, 1, 2)
        tifffile.imwrite(path, array, imagej=True, metadata={"axes": "ZCYX"})
    elif kind == "imagej gray":
        tifffile.imwrite(path, frames[..., 0], imagej=True, metadata={"axes": "TYX"})
    elif kind == "ome":
        tifffile.imwrite(path, frames, photometric="rgb", metadata={"axes": "ZYXS"})
    else:
        array = samples.transpose(0, 1, 4, 2, 3)
        tifffile.imwrite(path, array, photometric="minisblack", metadata={"axes": "TZCYX"})
    refuses("holds 6 images and does not tell their grid; add --grid VxU", path)
    refuses("holds 6 images, but --grid 3x3 needs 9", path, grid=(3, 3))
    assert_reads(path, samples, bit_depth, grid=(2, 3))
    by_column = frames.reshape(3, 2, 8, 9, -1).swapaxes(0, 1)
    assert_reads(path, by_column, bit_depth, grid=(2, 3), order="columns")


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_of_an_array_tells_the_grid(tmp_path, bit_depth, channels):
    """As tifffile writes it into the description."""
    samples, path = noise((2, 3, 8, 9, channels), bit_depth), tmp_path / "lf.tif"
    photometric = "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite(path, samples[..., 0] if channels == 1 else samples, photometric=photometric)
    assert assert_reads(path, samples, bit_depth) == ""
    assert_reads(path, samples, bit_depth, grid=(2, 3))
    refuses("description says 2x3 views, which contradicts --grid 3x2", path, grid=(3, 2))
    refuses("description says 2x3 views, which contradicts --grid 1x6", path, grid=(1, 6))
    assert_reads(path, samples.swapaxes(0, 1), bit_depth, order="columns")
    tifffile.imwrite(path, samples.reshape(6, 8, 9, channels), photometric=photometric)
    refuses("holds 6 images and does not tell their grid", path)
    frames = (
        samples.reshape(6, 8, 9, channels)[..., 0] if channels == 1 else samples.reshape(6, 8, 9, 3)
    )
    for odd in ("{", '{"shape": 3}', '{"shape": [1e999]}', "[" * 100000, '{"shape": [3, 2, 9, 8]}'):
        options = {"photometric": photometric, "metadata": None, "description": odd}
        tifffile.imwrite(path, frames, **options)
        refuses("holds 6 images and does not tell their grid|the TIFF is damaged", path)


def test_pages_of_different_sizes(tmp_path):
    Image.new("RGB", (8, 8)).save(
        tmp_path / "lf.tif", save_all=True, append_images=[Image.new("RGB", (9, 8))]
    )
    refuses("its 2 images differ in size or depth", tmp_path / "lf.tif", grid=(1, 2))
    refuses("its 2 images differ in size or depth", tmp_path / "lf.tif")


@pytest.mark.parametrize("suffix", ["png", "webp", "gif"])
def test_animations(tmp_path, suffix):
    colors = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (9, 9, 9)]
    images = [Image.new("RGB", (16, 12), color) for color in colors]
    options = {"lossless": True} if suffix == "webp" else {}
    images[0].save(tmp_path / f"lf.{suffix}", save_all=True, append_images=images[1:], **options)
    samples = np.stack([np.asarray(image) for image in images]).reshape(2, 2, 12, 16, 3)
    assert_reads(tmp_path / f"lf.{suffix}", samples, grid=(2, 2))


def test_stack_in_a_folder_of_views(tmp_path):
    save_views(tmp_path, noise((1, 2, 8, 8, 3)), "view_{v}_{u}.png")
    frames = [Image.fromarray(noise((8, 8, 3), seed=n)) for n in range(2)]
    frames[0].save(tmp_path / "view_0_1.png", save_all=True, append_images=frames[1:])
    with pytest.raises(LightFieldError, match=r"view_0_1\.png: .* 2 images, expected one"):
        read_light_field(tmp_path)
