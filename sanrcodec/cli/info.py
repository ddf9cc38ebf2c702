# SPDX-License-Identifier: MIT
"""``sanr info``; decodes nothing."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sanrcodec.bitstream.container import SectionType
from sanrcodec.bitstream.grids import n_latents
from sanrcodec.cli.messages import result
from sanrcodec.cli.options import PATH
from sanrcodec.decoder import SanrFile
from sanrcodec.presets import PROFILES
from sanrcodec.scene.parts import mac_per_pixel, n_weights

__all__ = ["command"]


@click.command("info", short_help="Describe a file.")
@click.argument("file", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(file: Path, as_json: bool) -> None:
    """Describe the .sanr file FILE from its header and section table; decodes nothing."""
    summary = _summarize(SanrFile(file))
    tell = _to_json if as_json else _describe
    try:
        lines = tell(summary)
    except RecursionError:  # metadata of a stranger, nested as deeply as could just be read
        lines = tell({**summary, "metadata": None})
    result(*lines)


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
    names = {values["profile"]: name for name, values in PROFILES.items()}
    return {
        "file": opened.name,
        "n_bytes": opened.n_bytes,
        "bpp": opened.bpp,
        "format_version": ".".join(map(str, opened.format_version)),
        "profile": names.get(header.profile, f"number {header.profile}"),
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
        # Python would take and give numbers that JSON does not have: NaN, Infinity, and 1e999.
        return section and json.loads(
            section.payload, parse_constant=lambda name: None, parse_float=_finite
        )
    except (ValueError, RecursionError):
        return None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _to_json(summary: dict[str, Any]) -> list[str]:
    return json.dumps(summary, indent=2, allow_nan=False).splitlines()


def _describe(summary: dict[str, Any]) -> list[str]:
    h, mac = summary["header"], summary["mac_per_pixel"]
    color = "gray" if h["channels"] == 1 else "RGB"
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
    if isinstance(summary["metadata"], dict) and summary["metadata"].get("finished") is False:
        rows["fit"] = f"ended early, after {summary['metadata'].get('steps')} steps"
    if summary["metadata"] is not None:
        rows["metadata"] = json.dumps(summary["metadata"])
    return [summary["file"], *(f"  {name:<10}{text}" for name, text in rows.items())]
