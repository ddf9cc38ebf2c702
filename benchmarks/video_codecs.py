# SPDX-License-Identifier: MIT
"""Video codecs on the views of a light field, by the ffmpeg of the user; fits nothing.

The views are the frames of a video: row by row, every second row backward, so that neighboring
frames are neighboring views. They are converted here, to full-range BT.709, and measured here,
after decoding, as files of this codec are: PSNR-YUV and SSIM of RGB samples.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sanrcodec.color import RGB_FROM_YCC, YCC_FROM_RGB
from sanrcodec.compare import compare_views
from sanrcodec.lightfield import LightField

COLUMNS = (
    "scene", "codec", "setting", "bytes", "bpp", "psnr_yuv", "psnr_y", "psnr_rgb", "ssim_y",
    "psnr_yuv_min", "enc_s", "dec_s",
)  # fmt: skip
# One thread for rows and frames: parallel rows cost bits in small views.
_X265 = "log-level=none:info=0:keyint=-1:scenecut=0:wpp=0:frame-threads=1"


@dataclass(frozen=True, slots=True)
class VideoCodec:
    """How one codec of ffmpeg is used.

    Attributes:
        encoder: As ffmpeg names it.
        suffix: Of its bare stream.
        pixels: Word for chroma and bits in the setting: 444p10, 420p10 or 420p8.
        options: For ffmpeg; ``{q}`` stands for the quality.
        qualities: From good to bad.
        word: What the quality is called in the setting.
    """

    encoder: str
    suffix: str
    pixels: str
    options: tuple[str, ...]
    qualities: tuple[int, ...]
    word: str = "crf"

    @property
    def depth(self) -> int:
        """Bits of a sample."""
        return int(self.pixels.partition("p")[2])

    @property
    def halves_chroma(self) -> bool:
        """Whether chroma has half the rows and columns."""
        return self.pixels.startswith("420")

    @property
    def pixel_format(self) -> str:
        """As ffmpeg names it."""
        return f"yuv{self.pixels[:3]}p{'' if self.depth == 8 else f'{self.depth}le'}"


CODECS = {
    "x265-paper": VideoCodec(
        "libx265", "hevc", "420p8",
        ("-preset", "medium", "-x265-params", f"qp={{q}}:bframes=0:{_X265}"),
        (22, 28, 34, 40, 46), "qp",
    ),
    "x265": VideoCodec(
        "libx265", "hevc", "444p10",
        ("-preset", "veryslow", "-tune", "psnr", "-x265-params", f"crf={{q}}:{_X265}"),
        (18, 23, 28, 33, 38, 44),
    ),
    "aom-av1": VideoCodec(
        "libaom-av1", "obu", "444p10",
        ("-crf", "{q}", "-b:v", "0", "-cpu-used", "2", "-g", "9999"),
        (24, 32, 40, 48, 56, 63),
    ),
    "vvenc": VideoCodec(
        "libvvenc", "vvc", "420p10",
        ("-qp", "{q}", "-preset", "slow", "-qpa", "0",
         "-vvenc-params", "CbQpOffset=-4:CrQpOffset=-4:IntraPeriod=-1"),
        (18, 24, 30, 36, 42), "qp",
    ),
}  # fmt: skip


def find_ffmpeg(path: str | None = None) -> str:
    """Path of ffmpeg: the one given, that of the system, or that of package imageio-ffmpeg.

    Raises:
        FileNotFoundError: there is none.
    """
    found = shutil.which(path or "ffmpeg")
    if found:
        return found
    if path is None:
        try:
            from imageio_ffmpeg import get_ffmpeg_exe

            return str(get_ffmpeg_exe())
        except (ImportError, RuntimeError):
            pass
    raise FileNotFoundError(
        f"{path or 'ffmpeg'} is not found; install ffmpeg or the package imageio-ffmpeg"
    )


def available(ffmpeg: str) -> list[str]:
    """Names of those of `CODECS` that an ffmpeg has."""
    listed = subprocess.run(
        [ffmpeg, "-hide_banner", "-encoders"], check=True, capture_output=True, text=True
    ).stdout.split()
    return [name for name, codec in CODECS.items() if codec.encoder in listed]


def measure_codec(
    ffmpeg: str, scene: str, light_field: LightField, name: str, quality: int
) -> dict[str, str]:
    """Encode and decode all views, and measure them.

    Args:
        ffmpeg: Path.
        scene: Name for the row.
        light_field: RGB with 8 bits.
        name: A key of `CODECS`.
        quality: For this codec; higher means a smaller file.

    Returns:
        A row of anchors.csv, by `COLUMNS`.

    Raises:
        ValueError: the light field has other samples, or views that the codec cannot take.
        RuntimeError: ffmpeg refuses, or gives other frames than were asked for.
    """
    codec = CODECS[name]
    n_v, n_u, height, width, channels = light_field.shape
    if channels != 3 or light_field.bit_depth != 8:
        raise ValueError(f"{scene} is not RGB with 8 bits, which the video codecs are run with")
    if codec.halves_chroma and (height % 2 or width % 2):
        # Crops would leave out what the others code: the last row or column is repeated instead.
        height, width = height + height % 2, width + width % 2
    order = serpentine((n_v, n_u))
    raw = b"".join(_planes(_padded(light_field.view(*at), height, width), codec) for at in order)
    pixels = ["-f", "rawvideo", "-pix_fmt", codec.pixel_format]
    with tempfile.TemporaryDirectory() as folder:
        stream = Path(folder) / f"stream.{codec.suffix}"
        options = [option.format(q=quality) for option in codec.options]
        _, encoding_s = _run(
            [ffmpeg, "-v", "error", "-color_range", "pc", "-colorspace", "bt709", *pixels,
             "-s", f"{width}x{height}", "-r", "25", "-i", "-", "-c:v", codec.encoder, *options,
             "-y", str(stream)],
            raw,
        )  # fmt: skip
        decoded, decoding_s = _run(
            [ffmpeg, "-v", "error", "-i", str(stream), "-fps_mode", "passthrough", *pixels, "-"]
        )
        n_bytes = stream.stat().st_size
    frames = dict(zip(order, _frames(decoded, len(order), (height, width), codec), strict=True))
    views = (
        frames[v, u][: light_field.shape[2], : light_field.shape[3]]
        for v in range(n_v)
        for u in range(n_u)
    )
    found = compare_views(light_field.views(), views, (n_v, n_u), 8)
    n_pixels = int(np.prod(light_field.shape[:4]))
    ssim = "" if found.ssim is None else f"{found.ssim:.6f}"
    values = (
        scene, name, f"{codec.word}={quality} {codec.pixels} serpentine", str(n_bytes),
        f"{8 * n_bytes / n_pixels:.6f}", f"{found.psnr_yuv:.4f}", f"{found.psnr_y:.4f}",
        f"{found.psnr_rgb:.4f}", ssim, f"{found.psnr_yuv_min:.4f}",
        f"{encoding_s:.1f}", f"{decoding_s:.1f}",
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def serpentine(grid: tuple[int, int]) -> list[tuple[int, int]]:
    """Positions row by row, every second row backward."""
    n_v, n_u = grid
    return [(v, u if v % 2 == 0 else n_u - 1 - u) for v in range(n_v) for u in range(n_u)]


def _run(command: Sequence[str], data: bytes | None = None) -> tuple[bytes, float]:
    """What a command writes to stdout, and its seconds."""
    begun = time.perf_counter()
    done = subprocess.run(command, input=data, capture_output=True)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise RuntimeError(f"ffmpeg: {lines[-1] if lines else f'exit code {done.returncode}'}")
    return done.stdout, time.perf_counter() - begun


def _padded(view: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, columns = height - view.shape[0], width - view.shape[1]
    return np.pad(view, ((0, rows), (0, columns), (0, 0)), mode="edge")


def _planes(view: np.ndarray, codec: VideoCodec) -> bytes:
    """A frame as ffmpeg reads it; halved chroma is the mean of 2 x 2 pixels."""
    peak, middle = (1 << codec.depth) - 1, 1 << (codec.depth - 1)
    ycc = np.moveaxis(view / 255.0 @ np.array(YCC_FROM_RGB).T, -1, 0)
    chroma = ycc[1:]
    if codec.halves_chroma:
        _, height, width = chroma.shape
        chroma = chroma.reshape(2, height // 2, 2, width // 2, 2).mean((2, 4))
    kind = np.uint8 if codec.depth == 8 else np.dtype("<u2")
    planes = ycc[0] * peak, chroma * peak + middle
    return b"".join(np.round(p).clip(0, peak).astype(kind).tobytes() for p in planes)


def _frames(
    raw: bytes, count: int, size: tuple[int, int], codec: VideoCodec
) -> Iterator[npt.NDArray[np.uint8]]:
    """RGB views of the frames that ffmpeg wrote; halved chroma is interpolated linearly."""
    (height, width), peak = size, (1 << codec.depth) - 1
    samples = np.frombuffer(raw, np.uint8 if codec.depth == 8 else np.dtype("<u2"))
    small = (height // 2, width // 2) if codec.halves_chroma else (height, width)
    n_luma, n_chroma = height * width, small[0] * small[1]
    if samples.size != count * (n_luma + 2 * n_chroma):
        n_found = samples.size / (n_luma + 2 * n_chroma)
        raise RuntimeError(f"ffmpeg decoded {n_found:g} frames, expected {count}")
    for frame in samples.reshape(count, -1).astype(np.float64):
        luma = frame[:n_luma].reshape(size) / peak
        chroma = (frame[n_luma:].reshape(2, *small) - (1 << (codec.depth - 1))) / peak
        if codec.halves_chroma:
            chroma = _doubled(_doubled(chroma, 1), 2)
        rgb = np.stack([luma, *chroma], -1) @ np.array(RGB_FROM_YCC).T
        yield np.round(255 * rgb).clip(0, 255).astype(np.uint8)


def _doubled(x: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    """Twice the samples along an axis, at a quarter and three quarters of each."""
    x = np.moveaxis(x, axis, 0)
    before, after = np.concatenate([x[:1], x[:-1]]), np.concatenate([x[1:], x[-1:]])
    pairs = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], 1)
    return np.moveaxis(pairs.reshape(-1, *x.shape[1:]), 0, axis)
