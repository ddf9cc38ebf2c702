# SPDX-License-Identifier: MIT
"""One image: every format and depth, as a viewer shows it; what is refused, and how."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from io_inputs import assert_reads, noise, refuses
from PIL import Image, ImageCms

from sanrcodec.errors import LightFieldError
from sanrcodec.io import bombs, write_mosaic, write_view
from sanrcodec.io import image as image_module
from sanrcodec.io.image import read_image


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


@settings(max_examples=40)
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


def test_gray_16_bit_png_of_pillow(tmp_path):
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
        (png(6), "12 pixels are transparent"),
        (png(4, 16), "samples, expected 51"),
        (png(4, 16, body=b"\0" * 51), "12 pixels are transparent"),
        (png(2, extra=chunk(b"tRNS", b"\0" * 6)), "transparent"),
        (png(2, 16, extra=chunk(b"tRNS", b"\0" * 6), body=b"\0" * 75), "transparent color"),
        (png(0, 3), "3 bits per sample of color 0"),
        (png(2, 4), "4 bits per sample of color 2"),
        (png(2, 16, interlace=1), "79 bytes of samples, expected 78"),
        (png(2, 16), "76 bytes of samples, expected 75"),
        (png(2, 16, body=b"\0" * 74), "74 bytes of samples, expected 75"),
        (png(2, 16, body=b"\5" * 75), "filter type 5"),
        (png(2, 16).replace(b"IDAT", b"IDAX"), "chunk IDAX has a wrong CRC"),
        (png(5), "reserved values"),
        (b"", "the file is empty, expected an image"),
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


# The pass in which each pixel of 8 x 8 comes.
ADAM7 = """
16462646 77777777 56565656 77777777 36463646 77777777 56565656 77777777
""".split()


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (4, 9), (5, 5), (9, 16), (17, 23)])
@pytest.mark.parametrize("channels", [1, 3])
def test_interlaced_png(tmp_path, size, channels):
    samples = noise((*size, channels), 16)
    passes = np.array([[int(n) for n in row] for row in ADAM7])
    passes = np.tile(passes, (3, 3))[: size[0], : size[1]]
    path = tmp_path / "view.png"
    for bit_depth, stored in [(8, (samples >> 8).astype(np.uint8)), (16, samples.astype(">u2"))]:
        body = b""
        for number in range(1, 8):
            for row, chosen in zip(stored, passes == number, strict=True):
                body += b"\0" + row[chosen].tobytes() if chosen.any() else b""
        header = struct.pack(">IIBBBBB", *size[::-1], bit_depth, channels - 1, 0, 0, 1)
        start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
        path.write_bytes(start + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b""))
        if bit_depth == 8:  # by pillow, so that what the test writes is right
            np.testing.assert_array_equal(read_image(path).samples, stored)
    np.testing.assert_array_equal(read_image(path).samples, samples)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("CMYK", "jpg"), ("I", "tif"), ("F", "tif"), ("LAB", "tif")]
)
def test_refused_mode(tmp_path, mode, suffix):
    Image.new(mode, (8, 8)).save(tmp_path / f"lf.{suffix}")
    refuses(f"mode {mode}; convert it", tmp_path / f"lf.{suffix}", grid=(1, 1))


# What viewers show


def reads(path, expected, bit_depth=8):
    image = read_image(path)
    np.testing.assert_array_equal(image.samples, expected)
    assert (image.bit_depth, image.samples.dtype) == (bit_depth, expected.dtype)
    return image


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "avif", "jp2"])
def test_opaque_alpha_is_dropped_and_transparency_refused(tmp_path, suffix):
    path = tmp_path / f"lf.{suffix}"
    samples = np.full((16, 16, 4), 255, np.uint8)
    samples[..., :3] = [200, 100, 0]
    options = {"webp": {"lossless": True}, "jp2": {"irreversible": False}}.get(suffix, {})
    save_or_skip(Image.fromarray(samples), path, **options)
    read = read_image(path).samples
    assert np.abs(read.astype(int) - samples[..., :3]).max() <= (3 if suffix == "avif" else 0)
    samples[:4, :4, 3] = 0
    save_or_skip(Image.fromarray(samples), path, **options)
    refuses("pixels are transparent; views are opaque", path, grid=(1, 1))


def save_or_skip(image, path, **options):
    """Save in a format for which pillow may be built without the library."""
    try:
        image.save(path, **options)
    except (OSError, ValueError, KeyError) as error:
        pytest.skip(f"pillow cannot write {path.suffix}: {error}")


def test_opaque_alpha_of_16_bits(tmp_path):
    samples = noise((3, 4, 3), 16)
    body = np.concatenate([samples, np.full((3, 4, 1), 65535, np.uint16)], axis=2).astype(">u2")
    lines = b"".join(b"\0" + row.tobytes() for row in body)
    (tmp_path / "lf.png").write_bytes(png(6, 16, body=lines))
    reads(tmp_path / "lf.png", samples, 16)


@pytest.mark.parametrize("suffix", ["png", "gif", "bmp", "tif"])
def test_palette(tmp_path, suffix):
    samples = noise((5, 7, 1)) % 5
    image = Image.fromarray(samples[..., 0]).convert("P")
    colors = noise((256, 3))
    image.putpalette(colors.tobytes())
    image.save(tmp_path / f"lf.{suffix}")
    reads(tmp_path / f"lf.{suffix}", colors[np.asarray(image)])


@pytest.mark.parametrize("index", [0, 7])
def test_palette_with_a_transparent_entry(tmp_path, index):
    image = Image.fromarray(noise((5, 7)) % 5).convert("P")
    image.save(tmp_path / "lf.png", transparency=index)
    if index:  # no pixel has it
        assert read_image(tmp_path / "lf.png").samples.shape == (5, 7, 3)
    else:
        refuses("pixels are transparent", tmp_path / "lf.png", grid=(1, 1))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_one_bit(tmp_path, suffix):
    samples = noise((5, 7)) > 127
    Image.fromarray(samples).save(tmp_path / f"lf.{suffix}")
    reads(tmp_path / f"lf.{suffix}", 255 * samples[..., None].astype(np.uint8))


@pytest.mark.parametrize(("suffix", "lossless"), [("avif", False), ("jp2", True), ("webp", True)])
def test_further_formats(tmp_path, suffix, lossless):
    samples = np.kron(noise((4, 6, 3)) // 2 + 64, np.ones((16, 16, 1), np.uint8))
    options = {"quality": 95} if suffix == "avif" else {"lossless": True}
    path = tmp_path / f"lf.{suffix.upper()}"
    save_or_skip(Image.fromarray(samples), path, **(options if suffix != "jp2" else {}))
    error = np.abs(read_image(path).samples.astype(int) - samples).mean()
    assert error == 0 if lossless else error < 4


def test_16_bit_gray_jpeg_2000(tmp_path):
    samples = noise((32, 32, 1), 16)
    save_or_skip(Image.fromarray(samples[..., 0]), tmp_path / "lf.jp2")
    reads(tmp_path / "lf.jp2", samples, 16)


@pytest.mark.parametrize(("suffix", "bits"), [("jp2", 12), ("avif", 10)])
def test_color_of_more_than_8_bits_that_pillow_would_cut(tmp_path, suffix, bits):
    path = tmp_path / f"lf.{suffix}"
    save_or_skip(Image.fromarray(noise((32, 32, 3))), path)
    content = bytearray(path.read_bytes())
    if suffix == "jp2":  # Ssiz of each component
        place = content.index(b"\x03\x07\x01\x01\x07\x01\x01\x07\x01\x01") + 1
        content[place : place + 7 : 3] = bytes([bits - 1] * 3)
    else:
        content[content.index(b"av1C") + 6] |= 0x40  # high_bitdepth
        place = content.index(b"pixi") + 9
        content[place : place + 3] = bytes([bits] * 3)
    path.write_bytes(content)
    tool = {"jp2": "opj_decompress -i", "avif": "avifdec --depth 16"}[suffix]
    refuses(f"{bits} bits per sample, of which pillow .* example: {tool}", path, grid=(1, 1))


TURNED = [  # by orientation: where the first row and the first column are shown
    lambda a: a,  # top, left
    lambda a: a[:, ::-1],  # top, right
    lambda a: np.rot90(a, 2),  # bottom, right
    lambda a: a[::-1],  # bottom, left
    lambda a: a.swapaxes(0, 1),  # left, top
    lambda a: np.rot90(a, -1),  # right, top
    lambda a: np.rot90(a, 2).swapaxes(0, 1),  # right, bottom
    lambda a: np.rot90(a),  # left, bottom
]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "png of 16 bit"])
def test_orientation(tmp_path, orientation, kind):
    suffix = kind[:3]
    path = tmp_path / f"lf.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    samples = np.kron(noise((2, 3, 1)), np.ones((16, 16, 1), np.uint8)).repeat(3, 2)
    Image.fromarray(samples).save(path, exif=exif)
    shown = TURNED[orientation - 1](samples)
    if suffix == "jpg":  # is not exact
        with Image.open(path) as image:
            shown = TURNED[orientation - 1](np.asarray(image))
    if kind == "png of 16 bit":
        samples = samples.astype(np.uint16) * 257
        shown = shown.astype(np.uint16) * 257
        write_view(path, samples, 16)
        content = path.read_bytes()
        path.write_bytes(content[:33] + chunk(b"eXIf", exif.tobytes()[6:]) + content[33:])
    np.testing.assert_array_equal(read_image(path).samples, shown)
    assert shown.shape[:2] == ((32, 48) if orientation < 5 else (48, 32))


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_white_is_zero(tmp_path, bit_depth):
    samples = noise((5, 7, 1), bit_depth)
    path = tmp_path / "lf.tif"
    Image.fromarray(samples[..., 0]).save(path)
    content = path.read_bytes()
    black_is_zero = struct.pack("<HHII", 262, 3, 1, 1)
    assert content.count(black_is_zero) == 1
    path.write_bytes(content.replace(black_is_zero, struct.pack("<HHII", 262, 3, 1, 0)))
    reads(path, (2**bit_depth - 1 - samples.astype(int)).astype(samples.dtype), bit_depth)


def test_text_of_any_size(tmp_path):
    samples = noise((3, 4, 3))
    lines = b"".join(b"\0" + row.tobytes() for row in samples)
    long = chunk(b"zTXt", b"long\0\0" + zlib.compress(bytes(2**24)))
    long += chunk(b"tEXt", b"comment\0" + b"x" * 2**22)
    (tmp_path / "lf.png").write_bytes(png(2, extra=long, body=lines))
    image = reads(tmp_path / "lf.png", samples)
    assert len(image.text["comment"]) == 2**22


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (chunk(b"gAMA", (100000).to_bytes(4, "big")), "gamma 1 is not kept"),
        (chunk(b"gAMA", (45455).to_bytes(4, "big")), ""),
        (chunk(b"sRGB", b"\0") + chunk(b"gAMA", (100000).to_bytes(4, "big")), ""),
        (chunk(b"cICP", b"\x09\x10\0\x01"), "color space cICP 9, 16 is not kept"),
        (chunk(b"cICP", b"\x01\x0d\0\x01"), ""),
    ],
)
@pytest.mark.parametrize("depth", [8, 16])
def test_color_space_of_png_is_said(tmp_path, extra, said, depth):
    rows = b"".join(b"\0" + b"\xff" * (3 * 4 * depth // 8) for _ in range(3))
    (tmp_path / "lf.png").write_bytes(png(2, depth, extra=extra, body=rows))
    samples = np.full((1, 1, 3, 4, 3), 2**depth - 1, np.uint8 if depth == 8 else np.uint16)
    notes = assert_reads(tmp_path / "lf.png", samples, depth, grid=(1, 1))
    assert notes == (f"{tmp_path / 'lf.png'}: {said}" if said else "")


def test_color_profile_is_said(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.fromarray(noise((5, 7, 3))).save(tmp_path / "lf.jpg", icc_profile=profile)
    assert "is not kept" in read_image(tmp_path / "lf.jpg").remarks[0]
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(noise((5, 7, 3))).save(tmp_path / "lf.jpg", icc_profile=profile)
    assert read_image(tmp_path / "lf.jpg").remarks == ()


def test_several_pictures_in_a_jpeg_file(tmp_path):
    samples = np.full((16, 16, 3), 77, np.uint8)
    Image.fromarray(samples).save(
        tmp_path / "lf.jpg", format="MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))]
    )
    image = reads(tmp_path / "lf.jpg", samples)
    assert "another picture in the JPEG file is left out" in image.remarks[0]


# Damage


@pytest.mark.parametrize(
    "suffix", ["png", "16 bit.png", "tif", "16 bit.tif", "gif", "webp", "avif", "jp2", "jpg", "tga"]
)
def test_small_files_that_claim_much_are_refused(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"lf.{suffix}"
    options = {"jpg": {"progressive": True}, "tga": {"compression": "tga_rle"}}.get(suffix, {})
    options |= {"compression": "tiff_deflate"} if suffix.endswith("tif") else {}
    if suffix == "16 bit.png":
        write_view(path, np.zeros((1024, 1024, 3), np.uint16), 16)
    elif suffix == "16 bit.tif":
        tifffile = pytest.importorskip("tifffile")
        black = np.zeros((1024, 1024, 3), np.uint16)
        tifffile.imwrite(path, black, photometric="rgb", compression="zlib")
    else:
        save_or_skip(Image.new("RGB", (1024, 1024)), path, **options)
    assert read_image(path).samples.max() < 3  # so small a picture may be black
    monkeypatch.setattr(bombs, "_FREE_BYTES", 2**20 - 1)
    if suffix == "tga":  # whose runs are short
        monkeypatch.setattr(bombs, "_MOST_RATIO", 50)
    n_bytes = path.stat().st_size
    refuses(f"{n_bytes} bytes claim [1-9] MiB of samples, more than .* file of its own", path)


def test_many_frames_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(bombs, "_FREE_BYTES", 2**20)
    frames = [Image.new("L", (600, 600), n % 2) for n in range(30)]
    frames[0].save(tmp_path / "lf.gif", save_all=True, append_images=frames[1:])
    refuses("bytes claim [0-9]+ MiB of samples", tmp_path / "lf.gif")


def damaged(content, rng):
    """Some bytes changed, cut off or put in."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        place = int(rng.integers(len(content)))
        kind = rng.integers(3)
        if kind == 0:
            content[place] = rng.integers(256)
        elif kind == 1:
            del content[place + 1 :]
        else:
            content[place:place] = rng.bytes(4)
    return bytes(content)


@pytest.mark.parametrize(
    "suffix", ["png", "tif", "gif", "bmp", "webp", "avif", "jp2", "jpg", "ppm"]
)
def test_damaged_files_give_one_line_or_an_image(tmp_path, capfd, suffix):
    path = tmp_path / f"lf.{suffix}"
    save_or_skip(Image.fromarray(noise((8, 9, 3))), path)
    content, rng = path.read_bytes(), np.random.default_rng(1)
    messages = []
    for number in range(60):
        path = tmp_path / f"{number}.{suffix}"
        path.write_bytes(damaged(content, rng))
        try:
            assert read_image(path).samples.ndim == 3
        except LightFieldError as error:
            messages.append(str(error))
    assert messages
    assert not any("\n" in message for message in messages)
    assert capfd.readouterr().err == ""


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
