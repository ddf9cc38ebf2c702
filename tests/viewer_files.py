# SPDX-License-Identifier: MIT
"""Random and faulty files for the tests of the viewer's decoder; must not decode any of them."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from random_vectors import TABLES, random_residuals

from sanrcodec.bitstream import container
from sanrcodec.bitstream.container import SectionType
from sanrcodec.bitstream.grids import grids
from sanrcodec.bitstream.header import FIELD_RANGES, StreamHeader
from sanrcodec.bitstream.latents import pack_latents
from sanrcodec.bitstream.residuals import pack_residuals
from sanrcodec.bitstream.weights import pack_weights
from sanrcodec.errors import LimitError
from sanrcodec.scene.parts import bounded_weights, default_weights

# Fields whose whole range would make large or slow files.
_SMALL = {
    "n_v": 4, "n_u": 4, "height": 36, "width": 36, "margin_y": 8, "margin_x": 8,
    "texture_levels": 7, "occluded_first": 3, "texture_hidden": 11, "features": 10,
    "filter_hidden": 7, "geometry_first": 3, "geometry_levels": 6, "geometry_hidden": 9,
    "slope_first": 1, "slope_levels": 4,
    "view_depth": 3, "view_hidden": 13, "arm_hidden": 9,
}  # fmt: skip


def random_header(random: np.random.Generator) -> StreamHeader:
    """A valid header of a small light field."""
    while True:
        values = {
            name: int(random.integers(low, min(high, _SMALL.get(name, high)) + 1))
            for name, (low, high) in FIELD_RANGES.items()
        }
        try:
            return StreamHeader(**values)
        except LimitError:
            continue


def random_file(seed: int) -> bytes:
    """A file of a random header, weights, latents and residuals, small and large ones."""
    random = np.random.default_rng(seed)
    header = random_header(random)
    defaults = default_weights(header)
    # The largest differences make sums that 32 bits do not hold.
    spread = int(random.choice([3, 20, 20, 300, 32767]))
    weights = {
        name: default + random.integers(-spread, spread + 1, default.shape).astype(np.int32)
        for name, default in defaults.items()
    }
    weights = bounded_weights(header, weights)
    # Half a scale of luma, so that samples do not all saturate.
    weights["texture.output.bias"][0] = 512
    scale = float(random.choice([0.1, 3, 60]))
    latents = [
        np.clip(np.rint(random.laplace(0, scale, g.shape)), -511, 511).astype(np.int32)
        for g in grids(header)
    ]
    views = random_residuals(random, header, float(random.choice([0.0, 0.1, 0.9])))
    return container.pack(
        [
            (SectionType.HEADER, header.pack()),
            (SectionType.WEIGHTS, pack_weights(defaults, weights)),
            (SectionType.LATENTS, pack_latents(header, weights, latents)),
            (SectionType.RESIDUALS, pack_residuals(header, TABLES, views)),
        ]
    )


# Disparities of the two halves of `two_planes_file`, in pixels per view, Q9.
TWO_PLANES = (-768, 768)


def two_planes_file() -> bytes:
    """5 x 5 views of random texture: the left half moves one way, the right half the other."""
    random = np.random.default_rng(3)
    values = dict.fromkeys(FIELD_RANGES, 0) | {
        "n_v": 5, "n_u": 5, "height": 64, "width": 96, "channels": 3, "bit_depth": 8, "layers": 1,
        "margin_y": 5, "margin_x": 5, "gain": 16, "texture_levels": 4, "features": 3,
        "geometry_first": 3, "geometry_levels": 1, "arm_hidden": 1,
    }  # fmt: skip
    header = StreamHeader(**values)
    defaults = default_weights(header)
    weights = {name: np.zeros_like(default) for name, default in defaults.items()}
    weights["arm.texture.grid_bias"] = defaults["arm.texture.grid_bias"]
    weights["arm.geometry.grid_bias"] = defaults["arm.geometry.grid_bias"]
    weights["texture.output.weight"][0] = 100  # luma, all levels
    weights["texture.output.bias"][0] = 512
    weights["geometry.output.weight"][:] = 32  # a latent counts as 64 / 512 pixels per view
    latents = [np.rint(random.laplace(0, 3, g.shape)).astype(np.int32) for g in grids(header)]
    for grid, samples in zip(grids(header), latents, strict=True):
        if grid.level == 3 and grid.group < 0:
            half = samples.shape[1] // 2
            samples[:, :half], samples[:, half:] = (d // 64 for d in TWO_PLANES)
    return container.pack(
        [
            (SectionType.HEADER, header.pack()),
            (SectionType.WEIGHTS, pack_weights(defaults, weights)),
            (SectionType.LATENTS, pack_latents(header, weights, latents)),
        ]
    )


def rebuilt(content: bytes, replaced: SectionType, payload: bytes) -> bytes:
    """The file with another payload of a section, its checksum right."""
    sections = container.unpack(content).sections.values()
    return container.pack(
        [(s.type, payload if s.type == replaced else s.payload) for s in sections]
    )


def faulty_files(content: bytes) -> dict[str, bytes]:
    """Broken files by what is wrong with them."""
    random = np.random.default_rng(5)
    files = {f"cut at {n}": content[:n] for n in range(0, len(content), 7)}
    for n in (*range(14), len(content) - 1):
        files[f"cut at {n}"] = content[:n]
    for place in (*range(8 * 48), *random.integers(8 * 48, 8 * len(content), 100).tolist()):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        files[f"bit {place} flipped"] = bytes(damaged)

    header = container.unpack(content).sections[SectionType.HEADER].payload
    values = asdict(StreamHeader.unpack(header))
    # Each field out of range, as well as the rules that tie fields together.
    for i, (name, (low, high)) in enumerate(FIELD_RANGES.items()):
        for value in {low, high, high + 1, max(low - 1, 0), 2**35 - 1}:
            packed = b"".join(
                _varint(value if j == i else values[other]) for j, other in enumerate(FIELD_RANGES)
            )
            if value in (low, high) and name in ("height", "width", "margin_y", "margin_x"):
                continue  # a valid header of a huge canvas
            files[f"{name} {value}"] = rebuilt(content, SectionType.HEADER, packed)
    files["header too short"] = rebuilt(content, SectionType.HEADER, header[:-1])
    files["header too long"] = rebuilt(content, SectionType.HEADER, header + b"\0")

    coded = SectionType.WEIGHTS, SectionType.LATENTS, SectionType.RESIDUALS
    for section in coded:
        if section not in container.unpack(content).sections:
            continue
        payload = container.unpack(content).sections[section].payload
        cuts = {"nothing": b"", "a word": payload[:4], "no words": payload[:-1]}
        cuts |= {"too few": payload[:-4], "too many": payload + bytes(4)}
        for label, part in cuts.items():
            files[f"{section.name}: {label}"] = rebuilt(content, section, part)
        for number in range(30):
            damaged = bytearray(payload)
            damaged[random.integers(len(payload))] ^= 1 << int(random.integers(8))
            files[f"{section.name}: damage {number}"] = rebuilt(content, section, bytes(damaged))

    parts = [(s.type, s.payload) for s in container.unpack(content).sections.values()]
    files["unknown critical section"] = _with_section(content, _framed(0x7F, b"critical"))
    files["unknown ancillary section"] = _with_section(content, _framed(0xFE, b"ancillary"))
    files["section twice"] = _with_section(content, _framed(*parts[-1]))
    files["section that is not counted"] = content + _framed(0xFE, b"ancillary")
    files["section that is not there"] = _with_section(content, b"")
    files["weights first"] = content[:11] + b"\1" + _framed(*parts[1])
    files["no sections"] = content[:11] + b"\0"
    files["no latents"] = content[:11] + b"\2" + b"".join(_framed(*part) for part in parts[:2])
    files["overlong length"] = _with_section(content, b"\xfe" + b"\x80" * 5 + b"\0")
    files["needless zero of a length"] = _with_section(content, b"\xfe\x80\x00")
    return files


def _with_section(content: bytes, framed: bytes) -> bytes:
    """The file with one more section, counted in byte 11."""
    return content[:11] + bytes([content[11] + 1]) + content[12:] + framed


def _framed(section_type: int, payload: bytes) -> bytes:
    """A section as stored, its checksum right; also one that breaks a rule of the whole file."""
    header = (SectionType.HEADER, b"")
    alone = container.pack([header])
    if section_type == SectionType.HEADER:
        return container.pack([(section_type, payload)])[12:]
    return container.pack([header, (section_type, payload)])[len(alone) :]


def _varint(value: int) -> bytes:
    packed = bytearray()
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*packed, value])
