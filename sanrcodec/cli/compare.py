# SPDX-License-Identifier: MIT
"""``sanr compare``; never imports torch itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from sanrcodec.bitstream.container import SIGNATURE
from sanrcodec.cli.counter import counted
from sanrcodec.cli.input_options import original_options, read_source
from sanrcodec.cli.messages import note, result
from sanrcodec.cli.options import PATH, force_option
from sanrcodec.cli.outputs import check_image
from sanrcodec.compare import Comparison, compare_views, heat_map
from sanrcodec.decoder import SanrFile
from sanrcodec.errors import LightFieldError
from sanrcodec.io import read_input, write_view
from sanrcodec.lightfield import LightField, format_grid

__all__ = ["command"]


@click.command("compare", short_help="Measure decoded views against the original.")
@click.argument("decoded", metavar="DECODED", type=PATH)
@original_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--map", "picture", type=PATH, metavar="OUT.png",
    help="Draw every view in its place and in it the PSNR-YUV of every block, the worst white.",
)  # fmt: skip
@click.option("--device", help="Decode a .sanr file with PyTorch, on cuda for example.")
@force_option
def command(
    decoded: Path, source: Path, as_json: bool, picture: Path | None, device: str | None,
    force: bool, **options: Any,
) -> None:  # fmt: skip
    """Measure DECODED, a .sanr file or decoded views in any layout, against ORIGINAL.

    The options about the input are those of ORIGINAL, as `sanr encode` takes them; give those that
    the encoding had. Decoded views that are no .sanr file are read in the grid and with the bit
    depth of ORIGINAL.

    \b
    bpp        All bits of the .sanr file over V * U * H * W.
    PSNR       10 log10(peak^2 / mean squared error), peak = 2^bits - 1; 100 dB if equal.
    PSNR-YUV   (6 Y + Cb + Cr) / 8 of the PSNR of each plane of one view, as full-range
               BT.709 YCbCr 4:4:4 that is not rounded; the mean over the views.
    PSNR-Y     The PSNR of Y of one view; the mean over the views.
    PSNR-RGB   Of the mean squared error of all samples of all views at once.
    SSIM       Of luma, 11 x 11 Gaussian window of sigma 1.5 inside the view, K = 0.01 and
               0.03 (Wang et al., 2004); the mean over the views.
    worst      The view of least PSNR-YUV, and the block of 16 x 16 pixels whose PSNR-YUV is
               the furthest below that of its own view. Blocks start at every 16th row and
               column; the last ones are moved to lie inside.
    """  # noqa: D301 - the escape is meant, click keeps the lines after it as they are
    if picture is not None:
        check_image(picture, (".png",), force, decoded, source)
    tell = (lambda line: None) if as_json else note
    original = read_source(source, options, tell).light_field
    opened: SanrFile | LightField
    if _is_sanr(decoded):
        opened = SanrFile(decoded, device=device)
    elif device is not None:
        raise click.UsageError(f"--device: {decoded} is no .sanr file")
    else:
        opened = _read_views(decoded, original)
    found = _compare(opened, original, str(decoded))
    size = (opened.n_bytes, opened.bpp) if isinstance(opened, SanrFile) else None
    summary = _summarize(found, str(decoded), str(source), original, size)
    if picture is not None:
        drawn, best, worst = heat_map(found)
        write_view(picture, drawn, 8)
        summary["map"] = {"file": str(picture), "black_db": best, "white_db": worst}
    lines = json.dumps(summary, indent=2).splitlines() if as_json else _describe(summary)
    result(*lines)


def _compare(opened: SanrFile | LightField, original: LightField, name: str) -> Comparison:
    """Compare all views, with a bar of progress.

    Raises:
        LightFieldError: the two have not the same views.
    """
    if (opened.shape, opened.bit_depth) != (original.shape, original.bit_depth):
        raise LightFieldError(
            f"{name}: {_form(opened)}, but the original is {_form(original)}; give the options "
            "about the input that the encoding had"
        )
    with counted("compare") as progress:
        return compare_views(
            original.views(), opened.views(), original.grid, original.bit_depth, progress
        )


def _is_sanr(path: Path) -> bool:
    """By the name or the first bytes; and what is no regular file can be nothing else."""
    if path.suffix.lower() == ".sanr":
        return not path.is_dir()
    if not path.is_file():
        return path.exists() and not path.is_dir()
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def _read_views(path: Path, original: LightField) -> LightField:
    """Decoded views in any layout, in the grid of the original where theirs is not told."""
    try:
        return read_input(path, original.grid, bit_depth=original.bit_depth).light_field
    except LightFieldError:  # an array tells its own grid, and another grid is told as such
        return read_input(path, bit_depth=original.bit_depth).light_field


def _form(light_field: SanrFile | LightField) -> str:
    n_v, n_u, height, width, channels = light_field.shape
    color = "gray" if channels == 1 else "RGB"
    return f"{n_v} x {n_u} views of {width} x {height}, {color}, {light_field.bit_depth} bit"


def _summarize(
    found: Comparison,
    decoded: str,
    source: str,
    original: LightField,
    size: tuple[int, float] | None,
) -> dict[str, Any]:
    """Everything that ``sanr compare`` tells, ready for JSON.

    Args:
        found: Figures.
        decoded: Its name.
        source: Name of the original.
        original: Its form.
        size: Bytes and bits per pixel of a .sanr file, None for views of another codec.
    """
    n_v, n_u, height, width, channels = original.shape
    n_bytes, bpp = size or (None, None)
    return {
        "decoded": decoded,
        "original": source,
        "grid": format_grid((n_v, n_u)),
        "height": height,
        "width": width,
        "channels": channels,
        "bit_depth": original.bit_depth,
        "n_bytes": n_bytes,
        "bpp": bpp,
        "psnr_yuv": found.psnr_yuv,
        "psnr_yuv_min": found.psnr_yuv_min,
        "psnr_y": found.psnr_y,
        "psnr_rgb": found.psnr_rgb,
        "ssim": found.ssim,
        "worst_view": list(found.worst_view),
        "worst_block": found.worst_block._asdict(),
        "psnr_yuv_of_views": found.views.tolist(),
    }


def _describe(summary: dict[str, Any]) -> list[str]:
    block = summary["worst_block"]
    color = "gray" if summary["channels"] == 1 else "RGB"
    rows = {
        "views": f"{summary['grid'].replace('x', ' x ')} (V x U) of {summary['width']} x "
        f"{summary['height']} pixels, {color}, {summary['bit_depth']} bit",
    }
    if summary["bpp"] is not None:
        rows["size"] = f"{summary['n_bytes']} bytes, {summary['bpp']:.5f} bpp"
    rows["PSNR-YUV"] = (
        f"{summary['psnr_yuv']:.2f} dB, worst view {_position(summary['worst_view'])} "
        f"{summary['psnr_yuv_min']:.2f} dB"
    )
    rows["PSNR-Y"] = f"{summary['psnr_y']:.2f} dB"
    rows["PSNR-RGB"] = f"{summary['psnr_rgb']:.2f} dB"
    if summary["ssim"] is not None:
        rows["SSIM"] = f"{summary['ssim']:.4f}"
    rows["worst"] = (
        f"block of {block['width']} x {block['height']} at row {block['y']}, column {block['x']} "
        f"of view {_position(block['view'])}: {block['psnr_yuv']:.2f} dB, "
        f"{block['below_db']:.2f} dB below its view"
    )
    if "map" in summary:
        drawn = summary["map"]
        rows["map"] = (
            f"{drawn['file']}, black {drawn['black_db']:.2f} dB to white {drawn['white_db']:.2f} dB"
        )
    title = f"{summary['decoded']} against {summary['original']}"
    return [title, *(f"  {name:<10}{text}" for name, text in rows.items())]


def _position(view: tuple[int, int] | list[int]) -> str:
    return f"{view[0]},{view[1]}"
