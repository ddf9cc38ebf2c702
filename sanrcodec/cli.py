# SPDX-License-Identifier: MIT
"""The command ``sanr``; imports the encoder only inside ``sanr encode``.

Results go to stdout, progress and notes to stderr. Exit codes: 0 done, 1 bad data, 2 usage.
"""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from sanrcodec import __version__
from sanrcodec.complexity import mac_per_pixel, n_weights
from sanrcodec.container import SectionType
from sanrcodec.decoder import SCALES, SanrFile, n_workers
from sanrcodec.errors import LightFieldError, SanrError
from sanrcodec.io import read_light_field, write_atomically, write_mosaic, write_view
from sanrcodec.lightfield import parse_grid
from sanrcodec.modelspec import n_latents

if TYPE_CHECKING:
    from sanrcodec.encoder import FitProgress

__all__ = ["main"]

# The encoder's own names and default, repeated here because importing it needs torch.
PRESETS = ("fast", "medium", "slow")
PROFILES = ("default", "sanr")  # in the order of their numbers
DEFAULT_LMBDA = 8.0

_LINE_INTERVAL_S, _TERMINAL_INTERVAL_S = 5.0, 0.1


class _Group(click.Group):
    """Turns the errors of bad data into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SanrError, OSError, MemoryError) as error:
            if ctx.params.get("debug") or getattr(error, "errno", None) == errno.EPIPE:
                raise
            click.echo(f"Error: {_describe(error)}", err=True)
            ctx.exit(1)


class _Grid(click.ParamType):
    name = "VxU"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return parse_grid(value)
        except LightFieldError as error:
            self.fail(str(error), param, ctx)


class _ViewPosition(click.ParamType):
    name = "V,U"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            v, u = (float(part) for part in value.split(","))
        except ValueError:
            v = u = math.nan
        if not (math.isfinite(v) and math.isfinite(u)):
            self.fail(f"view {value!r} has the wrong form, expected V,U such as 4,4", param, ctx)
        return v, u


class _Scale(click.ParamType):
    name = "SCALE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        with suppress(ValueError, ZeroDivisionError):
            if Fraction(value) in SCALES:
                return Fraction(value)
        self.fail(f"scale {value!r} is not among {', '.join(map(str, SCALES))}", param, ctx)


_PATH = click.Path(path_type=Path)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sanr", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, hidden=True, help="Show tracebacks.")
def main(debug: bool) -> None:
    """Compress light fields to .sanr files, and decode views of them."""


@main.command(short_help="Compress a light field.")
@click.argument("source", metavar="INPUT", type=_PATH)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True,
    metavar="OUT.sanr", help="File to write.",
)  # fmt: skip
@click.option(
    "--grid", type=_Grid(), metavar="VxU",
    help="Number of views, rows first, if the input does not tell it.",
)  # fmt: skip
@click.option(
    "--layout", type=click.Choice(["mosaic", "lenslet", "views"]),
    help="How the views lie in the input.  [default: views for a folder, else mosaic]",
)  # fmt: skip
@click.option(
    "--bit-depth", type=click.IntRange(8, 16),
    help="Significant bits of a sample, if the input does not tell them.",
)  # fmt: skip
@click.option(
    "--lmbda", type=click.FloatRange(min=0, min_open=True), default=DEFAULT_LMBDA,
    show_default=True, help="Weight of the rate; higher gives smaller files.",
)  # fmt: skip
@click.option(
    "--preset", type=click.Choice(PRESETS), default="medium", show_default=True,
    help="Effort of the fit.",
)  # fmt: skip
@click.option(
    "--profile", type=click.Choice(PROFILES), default="default", show_default=True,
    help="Scene model: with depth layers, or SANR as published.",
)  # fmt: skip
@click.option(
    "--steps", type=click.IntRange(min=1), help="Steps of the fit, instead of those of the preset."
)
@click.option(
    "--time-budget", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
    help="Time that the fit may take; its schedule shrinks to fit.",
)  # fmt: skip
@click.option(
    "--checkpoint", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Keep the state of the fit here; if FILE exists, go on from it.",
)  # fmt: skip
@click.option(
    "--checkpoint-every", "checkpoint_seconds", type=click.FloatRange(min=0), default=60.0,
    show_default=True, metavar="SECONDS", help="Time between two states.",
)  # fmt: skip
@click.option("--device", help="Such as cpu or cuda:0.  [default: a CUDA device if there is one]")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Of the fit."
)
@click.option(
    "--metadata/--no-metadata", default=False, show_default=True,
    help="Keep options and versions in the file.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite the output.")
@click.option("--quiet", is_flag=True, help="No progress, no notes.")
def encode(
    source: Path,
    output: Path,
    grid: tuple[int, int] | None,
    layout: str | None,
    bit_depth: int | None,
    checkpoint: Path | None,
    force: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Compress the light field INPUT: a folder of views, one image of all views, or a .npy file.

    Ctrl-C ends the fit early and still writes the file; a second Ctrl-C aborts. A checkpoint is
    removed once the file of a finished fit is written, and kept otherwise.
    """
    begun = time.monotonic()
    _check_output(output, force)
    if output.exists() and source.exists() and output.samefile(source):
        raise click.UsageError(f"{output} is the input; choose another output")
    if checkpoint is not None:
        _check_output(checkpoint, force=True)
        if checkpoint.resolve() in (output.resolve(), source.resolve()):
            raise click.UsageError(f"{checkpoint} is the input or the output; choose another file")
    rank = _rank()
    quiet = quiet or rank > 0
    note = (lambda line: None) if quiet else _note
    light_field = read_light_field(source, grid, layout, bit_depth, note)

    # PyTorch then asks for huge pages: page by page, new tensors take a tenth of a step on a CPU.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from sanrcodec import encoder

    progress = None if quiet else _ProgressLine()
    with _stop_at_interrupt() as should_stop:
        try:
            result = encoder.encode(
                light_field,
                checkpoint=checkpoint,
                **options,
                progress=progress,
                should_stop=should_stop,
            )
        except SanrError:
            if rank:  # rank 0 tells it
                raise click.exceptions.Exit(1) from None
            raise
        finally:
            if progress:
                progress.close()
        if not result.steps:
            raise SanrError("interrupted before the first step of the fit; nothing is written")
        if rank:
            return
        write_atomically(output, result.content)
        if checkpoint is not None and result.finished:
            checkpoint.unlink(missing_ok=True)
        elif checkpoint is not None:
            note(f"{checkpoint}: kept; the same command with --force goes on with the fit")
    n_bytes = len(result.content)
    click.echo(
        f"{output}: {n_bytes} bytes  {result.bpp:.5f} bpp  PSNR-YUV {result.psnr_yuv:.2f} dB "
        f"(worst view {result.psnr_yuv_min:.2f})  "
        f"estimate off by {100 * (result.estimated_bytes / n_bytes - 1):+.1f} %  "
        f"encoded in {time.monotonic() - begun:.1f} s on {result.device}"
    )


@main.command(short_help="Decode one view or all views.")
@click.argument("file", type=_PATH)
@click.option(
    "--view", "position", type=_ViewPosition(),
    help="One view, row and column from 0; fractions lie in between.",
)  # fmt: skip
@click.option("--all", "all_views", is_flag=True, help="All views, as view_VV_UU.png in a folder.")
@click.option("--mosaic", is_flag=True, help="All views, tiled in one PNG.")
@click.option(
    "--scale", type=_Scale(), default="1", show_default=True,
    help="Size of the views: 1, 1/2, 1/4 or 1/8. Smaller ones are decoded much faster.",
)  # fmt: skip
@click.option("--device", help="Decode with PyTorch, on cuda for example; the same samples.")
@click.option(
    "-o", "--output", type=_PATH, metavar="PATH",
    help="Image, or folder for --all.  [default for --view: FILE_vVV_uUU.png]",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite existing images.")
def decode(
    file: Path,
    position: tuple[float, float] | None,
    all_views: bool,
    mosaic: bool,
    scale: Fraction,
    device: str | None,
    output: Path | None,
    force: bool,
) -> None:
    """Decode views of the .sanr file FILE; give one of --view, --all and --mosaic."""
    if (position is not None) + all_views + mosaic != 1:
        raise click.UsageError("give exactly one of --view V,U, --all and --mosaic")
    if output is None and position is None:
        wanted = "--all -o FOLDER" if all_views else "--mosaic -o FILE.png"
        raise click.UsageError(f"the output is missing: {wanted}")
    begun = time.monotonic()
    if position is not None:
        v, u = position
        small = "" if scale == 1 else f"_1of{scale.denominator}"
        output = output or Path(f"{file.stem}_v{_two_digits(v)}_u{_two_digits(u)}{small}.png")
        _check_image(output, (".png", ".ppm", ".pgm"), force)
        opened = SanrFile(file, device=device)
        view = opened.view(v, u, scale=scale)
        write_view(output, view, opened.bit_depth)
        what = f"view {v:g},{u:g}"
    elif mosaic:
        assert output is not None
        _check_image(output, (".png",), force)
        opened = SanrFile(file, device=device)
        n_v, n_u = opened.grid
        views = opened.views(scale=scale)
        rows = (np.stack(list(islice(views, n_u))) for _ in range(n_v))
        write_mosaic(output, rows, opened.grid, opened.bit_depth)
        what = f"{n_v} x {n_u} views"
    else:
        assert output is not None
        opened = SanrFile(file, device=device)
        _write_all(opened, output, scale, force)
        what = f"{opened.grid[0] * opened.grid[1]} views"
    what += f" of {_size(opened, scale)}"
    click.echo(f"{output}: {what}  decoded in {time.monotonic() - begun:.2f} s")


@main.command(short_help="Describe a file.")
@click.argument("file", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(file: Path, as_json: bool) -> None:
    """Describe the .sanr file FILE from its header and section table; decodes nothing."""
    summary = _summarize(SanrFile(file))
    click.echo(json.dumps(summary, indent=2) if as_json else _describe_summary(summary))


@main.command(short_help="Check a file by decoding all of it.")
@click.argument("file", type=_PATH)
def verify(file: Path) -> None:
    """Check the checksums of the .sanr file FILE, and decode its weights, latents and views."""
    begun = time.monotonic()
    opened = SanrFile(file)
    n_values = sum(w.size for w in opened.weights.values()), sum(g.size for g in opened.latents)
    _for_each_view(opened, lambda v, u: opened.view(v, u))
    click.echo(
        f"{file}: ok  {len(opened.sections)} sections, {n_values[0]} weights, "
        f"{n_values[1]} latents and {opened.grid[0] * opened.grid[1]} views  "
        f"decoded in {time.monotonic() - begun:.2f} s"
    )


class _ProgressLine:
    """State of the fit on stderr: one line kept up to date on a terminal, else a line at times."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._interval = _TERMINAL_INTERVAL_S if self._is_terminal else _LINE_INTERVAL_S
        self._shown_at = -math.inf
        self._width = 0

    def __call__(self, state: FitProgress) -> None:
        now = time.monotonic()
        if now - self._shown_at < self._interval and state.step < state.steps:
            return
        self._shown_at = now
        minutes, seconds = divmod(max(0, round(state.seconds_left)), 60)
        line = (
            f"step {state.step}/{state.steps}  {state.bpp:.5f} bpp  "
            f"PSNR-YUV {state.psnr_yuv:.2f} dB  {minutes}:{seconds:02d} left"
        )
        if self._is_terminal:
            click.echo("\r" + line.ljust(self._width), err=True, nl=False)
            self._width = len(line)
        else:
            click.echo(line, err=True)

    def close(self) -> None:
        """End the line that is kept up to date."""
        if self._width:
            click.echo(err=True)
            self._width = 0


@contextmanager
def _stop_at_interrupt() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether Ctrl-C was pressed; the second press aborts."""
    interrupted = False

    def handle(signum: int, frame: Any) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True
        with suppress(OSError):  # not through sys.stderr, which may be in use right now
            if _rank() == 0:
                os.write(2, b"\nstopping; the state reached is written. Ctrl-C again aborts\n")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: interrupted
    finally:
        signal.signal(signal.SIGINT, previous)


def _rank() -> int:
    """Number of this process among those of torchrun; 0 writes, and speaks for all."""
    return int(os.environ["RANK"]) if "TORCHELASTIC_RUN_ID" in os.environ else 0


def _note(line: str) -> None:
    click.echo(line, err=True)


def _check_output(path: Path, force: bool) -> None:
    """Refuse, before any work is done, an output that cannot or must not be written."""
    if path.is_file():
        if not force:
            raise click.UsageError(f"{path} exists; add --force to overwrite it")
    elif path.is_dir():
        raise click.UsageError(f"{path} is a folder, expected a file")
    elif path.exists():
        return  # a device or pipe, which is written in place
    if not path.parent.is_dir():
        raise click.UsageError(f"{path.parent}: no such folder; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise click.UsageError(f"{path.parent}: no permission to write to this folder")


def _check_image(path: Path, suffixes: tuple[str, ...], force: bool) -> None:
    if path.suffix.lower() not in suffixes:
        raise click.UsageError(f"{path} must end in {' or '.join(suffixes)}")
    _check_output(path, force)


def _write_all(opened: SanrFile, folder: Path, scale: Fraction, force: bool) -> None:
    """Write every view as ``view_VV_UU.png``; the folder may exist."""
    if folder.exists() and not folder.is_dir():
        raise click.UsageError(f"{folder} is a file, expected a folder")
    paths = {vu: folder / "view_{:02d}_{:02d}.png".format(*vu) for vu in np.ndindex(opened.grid)}
    existing = [path for path in paths.values() if path.exists()]
    if existing and not force:
        raise click.UsageError(f"{existing[0]} exists; add --force to overwrite it")
    folder.mkdir(parents=True, exist_ok=True)

    def write(v: int, u: int) -> None:
        write_view(paths[v, u], opened.view(v, u, scale=scale), opened.bit_depth)

    _for_each_view(opened, write)


def _for_each_view(opened: SanrFile, task: Callable[[int, int], object]) -> None:
    """Call ``task(v, u)`` for every view, from several threads; numpy and zlib run in parallel."""
    with ThreadPoolExecutor(n_workers()) as pool:
        # Each worker holds one view at most, so that memory does not grow with their number.
        futures = [
            pool.submit(lambda vu: (task(*vu), None)[1], vu) for vu in np.ndindex(opened.grid)
        ]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _summarize(opened: SanrFile) -> dict[str, Any]:
    """Everything that ``sanr info`` tells, ready for JSON."""
    header = opened.header
    sections: list[dict[str, Any]] = [
        {
            "type": section.type,
            "name": SectionType(section.type).name if section.type in set(SectionType) else None,
            "offset": section.offset,
            "payload_bytes": len(section.payload),
        }
        for section in opened.sections.values()
    ]
    known = header.profile < len(PROFILES)
    return {
        "file": opened.name,
        "n_bytes": opened.n_bytes,
        "bpp": opened.bpp,
        "format_version": ".".join(map(str, opened.format_version)),
        "profile": PROFILES[header.profile] if known else f"number {header.profile}",
        "header": asdict(header),
        "canvas": list(header.canvas),
        "sections": sections,
        "framing_bytes": opened.n_bytes - sum(s["payload_bytes"] for s in sections),
        "n_weights": n_weights(header),
        "n_latents": n_latents(header),
        "mac_per_pixel": mac_per_pixel(header),
        "metadata": _metadata(opened),
    }


def _metadata(opened: SanrFile) -> Any:
    """The METADATA section as JSON; None if absent or damaged, since nothing depends on it."""
    section = opened.sections.get(SectionType.METADATA)
    try:
        return json.loads(section.payload) if section else None
    except (ValueError, RecursionError):
        return None


def _describe_summary(summary: dict[str, Any]) -> str:
    h, mac = summary["header"], summary["mac_per_pixel"]
    color = "grey" if h["channels"] == 1 else "RGB"
    layers = f"{h['layers']} depth layers" if h["layers"] else "no geometry"
    sizes = [
        f"{s['name'] or 'type 0x{:02x}'.format(s['type'])} {s['payload_bytes']}"
        for s in summary["sections"]
    ]
    parts = [
        f"{name} {cost:.0f}" for k in ("scene", "view") for name, cost in mac[k].items() if cost
    ]
    rows = {
        "format": f"SANR {summary['format_version']}, profile {summary['profile']}",
        "size": f"{summary['n_bytes']} bytes, {summary['bpp']:.5f} bpp",
        "views": f"{h['n_v']} x {h['n_u']} (V x U) of {h['width']} x {h['height']} pixels, "
        f"{color}, {h['bit_depth']} bit",
        "scene": f"{layers}, canvas {summary['canvas'][1]} x {summary['canvas'][0]} pixels",
        "sections": f"{', '.join(sizes)} bytes; framing {summary['framing_bytes']}",
        "weights": f"{summary['n_weights']}",
        "latents": f"{summary['n_latents']}",
        "cost": f"{mac['total_per_pixel']:.0f} MAC per pixel for all views, "
        f"{mac['single_view_per_pixel']:.0f} for one view",
        "": f"{mac['scene_per_canvas_pixel']:.0f} per canvas pixel, once; "
        f"{mac['view_per_pixel']:.0f} per pixel of a view ({', '.join(parts)})",
    }
    if summary["metadata"] is not None:
        rows["metadata"] = json.dumps(summary["metadata"])  # escapes control characters
    return "\n".join([summary["file"]] + [f"  {name:<10}{text}" for name, text in rows.items()])


def _size(opened: SanrFile, scale: Fraction) -> str:
    width, height = (math.ceil(n * scale) for n in (opened.header.width, opened.header.height))
    return f"{width} x {height} pixels"


def _two_digits(position: float) -> str:
    """``4.0`` -> ``04``, ``3.5`` -> ``03.5``."""
    whole, _, fraction = f"{position:.4f}".partition(".")
    fraction = fraction.rstrip("0")
    return whole.zfill(2) + (f".{fraction}" if fraction else "")


def _describe(error: BaseException) -> str:
    """Tell an error in one line."""
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
