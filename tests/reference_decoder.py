# SPDX-License-Identifier: MIT
"""A whole decoder in plain integers, slow, written from format_spec.md alone.

Must not import sanrcodec: it is the second opinion on it. Arrays are int64 and scalars are Python
ints. Sections in brackets are those of format_spec.md. The header table and the decays are parsed
from the text, so that these cannot differ from it.
"""

from __future__ import annotations

import copy
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from reference_range_decoder import RangeDecoder

Array = npt.NDArray[np.int64]
Header = dict[str, int]
Weights = dict[str, Array]

SPEC = Path(__file__).resolve().parents[1] / "format_spec.md"
SPEC_TEXT = SPEC.read_text(encoding="utf-8")

# Section 4: name, lowest and highest value of every header field, in order.
HEADER_FIELDS = [
    (name, int(low), int(high))
    for name, low, high in re.findall(r"^\| `(\w+)` \| (\d+)\.\.(\d+) \|", SPEC_TEXT, re.MULTILINE)
]
# Section 6.4: one decay per scale.
DECAYS = [
    int(digits)
    for digits in re.findall(r"\d+", SPEC_TEXT.split("`DECAY_Q30`):")[1].split("```")[1])
]

SIGNATURE = bytes.fromhex("8b 53 41 4e 52 0d 0a 1a 0a")
VERSION = bytes([0, 9])
HEADER, WEIGHTS, LATENTS, RESIDUALS, METADATA = 0x01, 0x02, 0x03, 0x04, 0x81

GEOMETRY_GROUP = -1
SLOPE_GROUPS = (-2, -3)  # along y, x
BASE, DIAGONAL, HORIZONTAL, VERTICAL = range(4)  # kinds of passes, section 5.3

N_CONTEXTS = 17
N_ARM_INPUTS = 2 * N_CONTEXTS
# Section 6.2, contexts 0..11: (dy, dx) and the kinds of passes in which that sample is known.
NEIGHBORS: list[tuple[int, int, tuple[int, ...]]] = [
    *((dy, dx, (DIAGONAL, VERTICAL)) for dy, dx in ((-1, -1), (-1, 1), (1, -1), (1, 1))),
    *((dy, dx, (HORIZONTAL, VERTICAL)) for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0))),
    *((dy, dx, (HORIZONTAL, VERTICAL)) for dy, dx in ((0, -3), (0, 3), (-3, 0), (3, 0))),
]

N_RESIDUALS = 65
MAX_RESIDUAL = 32
ESCAPE = 65
BIT_TABLE = (1 << 23, 1 << 23)
WIDTH_SCALE, SHIFT_SCALE = 24, 20

UPSAMPLING_TAPS = (8, 8, -3, 73, 30, -2, 10, 4)
SMOOTHING_TAPS = (146, 27, 6, 18, 4)
HALF_SAMPLE_TAPS = (-1, 4, -11, 40, 40, -11, 4, -1)

# Section 8.4, Q12: RGB from YCbCr.
COLOR_MATRIX = np.array([[4096, 0, 6450], [4096, -767, -1917], [4096, 7601, 0]], np.int64)


# Section 6.6: what the head's integers are expected to be.
RESIDUAL_HEAD = [28, *4 * [2, 2], 14, *14 * [-1], *15 * [0]]
RESIDUAL_HEAD_SCALE = 18
# Section 8.6.
TRANSFORM = np.array(
    [
        [64, 64, 64, 64, 64, 64, 64, 64],
        [89, 75, 50, 18, -18, -50, -75, -89],
        [83, 36, -36, -83, -83, -36, 36, 83],
        [75, -18, -89, -50, 50, 89, 18, -75],
        [64, -64, -64, 64, 64, -64, -64, 64],
        [50, -89, 18, 75, -75, -18, 89, -50],
        [36, -83, 83, -36, -36, 83, -83, 36],
        [18, -50, 75, -89, 89, -75, 50, -18],
    ],
    np.int64,
)


class Grid(NamedTuple):
    """A latent grid, section 5.1."""

    group: int
    level: int
    height: int
    width: int


class Pass(NamedTuple):
    """The samples ``[y0::stride, x0::stride]`` of a grid, section 5.3."""

    kind: int
    y0: int
    x0: int
    stride: int


class Tensor(NamedTuple):
    """A row of the table of section 5.4; ``amplitude`` is its column A."""

    name: str
    shape: tuple[int, ...]
    amplitude: int = 0


class Pose(NamedTuple):
    """What section 8.1 derives from a position."""

    av: int
    au: int
    shift_y: int
    shift_x: int
    offset: int
    gain: int


def require(condition: bool, message: str) -> None:
    """Reject the file unless `condition` holds (section 10)."""
    if not condition:
        raise ValueError(message)


# Section 2.1: notation


def round_shift(x: Array, n: int) -> Array:
    """``rshift`` of section 2.1."""
    return (x + (1 << (n - 1))) >> n


def clip(x: int, low: int, high: int) -> int:
    """``clip`` of section 2.1, for Python ints."""
    return min(max(x, low), high)


def ceil_div(a: int, b: int) -> int:
    """``ceil(a / b)`` of section 2.1."""
    return -(-a // b)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the varint (section 2.1) at `position`, and the position after it."""
    value = 0
    for n_bytes in range(5):
        require(position + n_bytes < len(data), "varint ends early")
        byte = data[position + n_bytes]
        value |= (byte & 0x7F) << (7 * n_bytes)
        if byte < 0x80:
            require(byte != 0 or n_bytes == 0, "varint longer than needed")
            return value, position + n_bytes + 1
    raise ValueError("varint of more than 5 bytes")


# Sections 3 and 4: container and header


def read_sections(data: bytes) -> dict[int, bytes]:
    """Check signature, version and every CRC (section 3); return the payloads by type."""
    start = SIGNATURE + VERSION
    require(data.startswith(start), "wrong signature or version")
    sections: dict[int, bytes] = {}
    require(len(data) > len(start), "no number of sections")
    n_sections = data[len(start)]
    position = len(start) + 1
    for _ in range(n_sections):
        require(position < len(data), "fewer sections than stated")
        section_type = data[position]
        length, payload_start = read_varint(data, position + 1)
        payload_end = payload_start + length
        require(payload_end + 4 <= len(data), "section ends early")
        stored_crc = int.from_bytes(data[payload_end : payload_end + 4], "little")
        require(zlib.crc32(data[position:payload_end]) == stored_crc, "wrong CRC")
        require(section_type not in sections, "section occurs twice")
        require(bool(sections) or section_type == HEADER, "HEADER is not first")
        known = section_type in (HEADER, WEIGHTS, LATENTS, RESIDUALS)
        require(known or section_type >= 0x80, "unknown critical section")
        sections[section_type] = data[payload_start:payload_end]
        position = payload_end + 4
    require(position == len(data), "bytes after the last section")
    require({HEADER, WEIGHTS, LATENTS} <= set(sections), "missing section")
    return sections


def read_header(payload: bytes) -> Header:
    """Return the fields of HEADER after the checks of section 4."""
    header: Header = {}
    position = 0
    for name, low, high in HEADER_FIELDS:
        header[name], position = read_varint(payload, position)
        require(low <= header[name] <= high, f"{name} out of range")
    require(position == len(payload), "bytes after the last header field")

    rows, columns = canvas_size(header)
    n_slopes = 2 * header["channels"] if has_slopes(header) else 0
    n_samples = rows * columns * (n_textures(header) * (header["features"] + 1) + n_slopes)
    max_margin = max(header["height"], header["width"]) // 4 + 1
    layers = header["layers"]
    require(header["n_v"] * header["n_u"] <= 4096, "rule 7")
    require(header["channels"] in (1, 3), "rule 1: channels")
    require(header["features"] >= header["channels"], "rule 1: features")
    require(rows * columns <= 1 << 28 and n_samples <= 1 << 30, "rule 2")
    require(max(header["margin_y"], header["margin_x"]) <= max_margin, "rule 3")
    require(layers < 1 or header["geometry_levels"] >= 1, "rule 4")
    require(layers < 2 or header["occluded_first"] < header["texture_levels"], "rule 5")
    require(header["view_depth"] < 1 or header["view_hidden"] >= 1, "rule 6")
    return header


def canvas_size(header: Header) -> tuple[int, int]:
    """``Hc, Wc`` of section 4."""
    rows = header["height"] + 2 * header["margin_y"]
    columns = header["width"] + 2 * header["margin_x"]
    return rows, columns


def n_textures(header: Header) -> int:
    """``T`` of section 4."""
    return max(1, header["layers"])


def has_slopes(header: Header) -> bool:
    """Whether there are slope pyramids (section 5.1)."""
    return header["layers"] >= 1 and header["slope_levels"] >= 1


# Section 5: derived geometry


def level_size(header: Header, level: int) -> tuple[int, int]:
    """Height and width of a grid at `level` (section 5.1)."""
    rows, columns = canvas_size(header)
    return ceil_div(rows, 1 << level), ceil_div(columns, 1 << level)


def group_levels(header: Header) -> dict[int, range]:
    """Levels of every group that is present (section 5.1), in the order of section 5.2."""
    levels = {}
    if header["layers"] >= 1:
        first = header["geometry_first"]
        levels[GEOMETRY_GROUP] = range(first, first + header["geometry_levels"])
    levels[0] = range(header["texture_levels"])
    for group in range(1, n_textures(header)):
        levels[group] = range(header["occluded_first"], header["texture_levels"])
    if has_slopes(header):
        first = header["slope_first"]
        for group in SLOPE_GROUPS:
            levels[group] = range(first, first + header["slope_levels"])
    return levels


def coding_order(header: Header) -> list[Grid]:
    """All grids in the order of section 5.2."""
    groups = group_levels(header)
    coarsest = max(max(levels) for levels in groups.values())
    return [
        Grid(group, level, *level_size(header, level))
        for level in range(coarsest, -1, -1)
        for group, levels in groups.items()
        if level in levels
    ]


def passes(grid: Grid) -> Iterator[Pass]:
    """The passes of a grid, section 5.3."""
    yield Pass(BASE, 0, 0, 8)
    for stride in (8, 4, 2):
        half = stride // 2
        for kind, y0, x0 in ((DIAGONAL, half, half), (HORIZONTAL, 0, half), (VERTICAL, half, 0)):
            if y0 < grid.height and x0 < grid.width:
                yield Pass(kind, y0, x0, stride)


def dense_tensors(name: str, n_inputs: int, n_outputs: int, amplitude: int) -> list[Tensor]:
    """Weight and bias of a dense layer, as section 5.4 lists them."""
    return [
        Tensor(f"{name}.weight", (n_outputs, n_inputs), amplitude),
        Tensor(f"{name}.bias", (n_outputs,)),
    ]


def trunk_tensors(
    name: str, n_planes: int, n_hidden: int, n_outputs: int, attention: bool
) -> list[Tensor]:
    """The tensors of the texture or geometry trunk (section 5.4)."""
    tensors = []
    if attention:
        tensors += dense_tensors(f"{name}.attention", n_planes, n_planes, 0)
    if n_hidden:
        tensors += dense_tensors(f"{name}.hidden", n_planes, n_hidden, 128)
    return tensors + dense_tensors(f"{name}.output", n_planes + n_hidden, n_outputs, 25)


def filter_tensors(n_colors: int, n_features: int, n_hidden: int) -> list[Tensor]:
    """The tensors of the color filter (section 5.4)."""
    tensors = [Tensor("color_filter.linear", (n_colors, n_features, 3, 3))]
    if n_hidden:
        tensors += [
            Tensor("color_filter.hidden.weight", (n_hidden, n_features, 3, 3), 19),
            Tensor("color_filter.hidden.bias", (n_hidden,)),
            Tensor("color_filter.output", (n_colors, n_hidden, 3, 3)),
        ]
    return tensors


def arm_tensors(name: str, n_hidden: int, n_grids: int) -> list[Tensor]:
    """The tensors of an entropy network (section 5.4)."""
    return [
        Tensor(f"arm.{name}.hidden", (4, n_hidden, N_ARM_INPUTS), 32),
        Tensor(f"arm.{name}.hidden_bias", (4, n_hidden)),
        Tensor(f"arm.{name}.output", (4, 2, n_hidden), 12),
        Tensor(f"arm.{name}.shortcut", (4, 2, N_ARM_INPUTS)),
        Tensor(f"arm.{name}.pass_bias", (4, 2)),
        Tensor(f"arm.{name}.grid_bias", (n_grids, 2)),
    ]


def all_tensors(header: Header) -> list[Tensor]:
    """All tensors of a file, in the order of section 5.4."""
    layers, features, view_hidden = header["layers"], header["features"], header["view_hidden"]
    attention = bool(header["attention"])
    tensors = trunk_tensors(
        "texture", header["texture_levels"], header["texture_hidden"], features, attention
    )
    if header["color_filter"]:
        tensors += filter_tensors(header["channels"], features, header["filter_hidden"])
    if layers:
        tensors += trunk_tensors(
            "geometry",
            header["geometry_levels"],
            header["geometry_hidden"],
            2 * layers - 1,
            attention,
        )
    if has_slopes(header):
        tensors += dense_tensors("slope.output", header["slope_levels"], header["channels"], 0)
    n_inputs = features + (4 if header["spatial"] else 2)
    for depth in range(header["view_depth"]):
        tensors += dense_tensors(f"view.hidden{depth}", n_inputs, view_hidden, 64)
        n_inputs = view_hidden
    if header["view_depth"]:
        tensors += dense_tensors("view.output", view_hidden, header["channels"], 0)
    networks = [arm_name(grid) for grid in coding_order(header)]
    tensors += arm_tensors("texture", header["arm_hidden"], networks.count("texture"))
    if layers:
        tensors += arm_tensors("geometry", header["arm_hidden"], networks.count("geometry"))
    if has_slopes(header):
        tensors += arm_tensors("slope", header["arm_hidden"], networks.count("slope"))
    if header["per_view"]:
        tensors.append(Tensor("per_view", (header["n_v"] * header["n_u"], 5)))
        tensors.append(Tensor("view_gain", (header["n_v"] * header["n_u"], 1)))
    return tensors


@cache
def default_table() -> dict[str, Array]:
    """The table that section 5.4 makes a part of the specification."""
    text = (SPEC.parent / "sanrcodec" / "bitstream" / "default_weights.json").read_text(
        encoding="ascii"
    )
    return {name: np.array(values, np.int64) for name, values in json.loads(text).items()}


def default_weights(header: Header, tensor: Tensor, number: int) -> Array:
    """Default weights of the tensor with this number (section 5.4)."""
    trained = default_table().get(tensor.name)
    if trained is not None and all(np.array(trained.shape) >= tensor.shape):
        default = trained[tuple(slice(n) for n in tensor.shape)]
    else:
        default = untrained_weights(tensor, number)
    trunk, _, layer = tensor.name.partition(".")
    if trunk in ("texture", "geometry", "slope") and layer.endswith(".weight"):
        n_latents = header[f"{trunk}_levels"]
        default = default.copy()
        default[:, :n_latents] = round_shift(default[:, :n_latents] * header["gain"], 4)
    return default


def untrained_weights(tensor: Tensor, number: int) -> Array:
    """Default weights that are not in the table (section 5.4)."""
    if tensor.name.endswith(".grid_bias"):
        return np.tile(np.array([0, 512], np.int64), (tensor.shape[0], 1))
    if tensor.amplitude == 0:
        return np.zeros(tensor.shape, np.int64)
    values = []
    for element in range(int(np.prod(tensor.shape))):
        bits = 65536 * number + 1 + element
        bits ^= bits >> 16
        bits = bits * 0x7FEB352D % (1 << 32)
        bits ^= bits >> 16
        bits = bits * 0x846CA68B % (1 << 32)
        bits ^= bits >> 15
        values.append((bits * (2 * tensor.amplitude + 1) >> 32) - tensor.amplitude)
    return np.array(values, np.int64).reshape(tensor.shape)


# Section 6: coded sections


@cache
def frequency_table(scale: int, fraction: int) -> tuple[int, ...]:
    """The 66 weights of a table (section 6.4)."""
    powers = [1 << 30]
    for _ in range(264):
        powers.append(powers[-1] * DECAYS[scale] >> 30)

    def cumulative(x: int) -> int:
        return (1 << 31) - powers[x] if x >= 0 else powers[-x]

    start = -260 - fraction
    masses = [
        cumulative(start + 8 * symbol + 8) - cumulative(start + 8 * symbol)
        for symbol in range(N_RESIDUALS)
    ]
    masses.append(cumulative(start) + (1 << 31) - cumulative(start + 520))
    weights = [1 + (mass * ((1 << 24) - 66) >> 31) for mass in masses]
    weights[weights.index(max(weights))] += (1 << 24) - sum(weights)
    return tuple(weights)


class SymbolDecoder:
    """The integers of a range-coded payload, sections 6.3 and 6.5."""

    def __init__(self, payload: bytes) -> None:
        require(len(payload) % 4 == 0, "payload is not made of words")
        words = [
            int.from_bytes(payload[start : start + 4], "little")
            for start in range(0, len(payload), 4)
        ]
        self.range_decoder = RangeDecoder(words)

    def call(self, locations: Sequence[int], scales: Sequence[int]) -> list[int]:
        """Decode one call (section 6.5)."""
        nearest = [(location + 4) >> 3 for location in locations]
        fractions = [((location + 4) & 7) - 4 for location in locations]
        tables = [8 * scale + f + 4 for scale, f in zip(scales, fractions, strict=True)]
        coded_order = sorted(range(len(tables)), key=tables.__getitem__)  # stable
        symbols = [0] * len(tables)
        for index in coded_order:
            table = frequency_table(scales[index], fractions[index])
            symbols[index] = self.range_decoder.decode(table)
        residuals = [symbol - MAX_RESIDUAL for symbol in symbols]
        for index in coded_order:
            if symbols[index] == ESCAPE:
                residuals[index] = self._escaped_residual()
        return [near + residual for near, residual in zip(nearest, residuals, strict=True)]

    def finish(self) -> None:
        """Check the end of the stream (section 6.3)."""
        require(self.range_decoder.is_exhausted(), "the stream does not end where it should")

    def _escaped_residual(self) -> int:
        """Sign, prefix and suffix of an escape (section 6.5)."""
        negative = self._bit()
        n_bits = 0
        while self._bit():
            n_bits += 1
            require(n_bits <= 20, "escape too long")
        excess = 1
        for _ in range(n_bits):
            excess = 2 * excess + self._bit()
        return -(excess + MAX_RESIDUAL) if negative else excess + MAX_RESIDUAL

    def _bit(self) -> int:
        return self.range_decoder.decode(BIT_TABLE)


def read_weights(header: Header, payload: bytes) -> Weights:
    """Decode WEIGHTS (section 6.1)."""
    decoder = SymbolDecoder(payload)
    weights = {}
    width = shift = 0
    for number, tensor in enumerate(all_tensors(header)):
        width += decoder.call([0], [WIDTH_SCALE])[0]
        require(0 <= width <= 39, "width out of range")
        shift += decoder.call([0], [SHIFT_SCALE])[0]
        require(0 <= shift <= 8, "shift out of range")
        size = int(np.prod(tensor.shape))
        differences = [d << shift for d in decoder.call([0] * size, [width] * size)]
        require(all(abs(d) <= 32767 for d in differences), "difference out of range")
        default = default_weights(header, tensor, number)
        weights[tensor.name] = default + np.array(differences, np.int64).reshape(tensor.shape)
    decoder.finish()
    check_row_sums(header, weights)
    return weights


def check_row_sums(header: Header, weights: Weights) -> None:
    """The bound of section 7.1 on every row of the layers after entropy decoding."""

    def check(weight: Array, bias: Array, in_max: int, in_bits: int, out_bits: int) -> None:
        rows = np.abs(weight.reshape(len(weight), -1)).sum(axis=1)
        sums = rows * in_max + (np.abs(bias) << (in_bits - 3)) + (1 << (6 + in_bits - out_bits))
        require(bool((sums < 1 << 31).all()), "rows of weights add up to too much")

    for name in weights:
        layer, _, kind = name.rpartition(".")
        if kind != "weight":
            continue
        bias = weights[f"{layer}.bias"]
        if layer.startswith(("texture.", "geometry.", "slope.")):
            out_bits = {"attention": 8, "hidden": 11, "output": 12}[layer.partition(".")[2]]
            check(weights[name], bias, 65535, 11, out_bits)
        else:
            check(weights[name], bias, 32767, 12, 12)
    if header["color_filter"]:
        last = weights["color_filter.linear"]
        if header["filter_hidden"]:
            last = np.concatenate([last, weights["color_filter.output"]], axis=1)
        check(last, np.zeros(len(last), np.int64), 32767, 12, 12)


def arm_name(grid: Grid) -> str:
    """Which entropy network codes this grid (section 6.2)."""
    names = {GEOMETRY_GROUP: "geometry", **dict.fromkeys(SLOPE_GROUPS, "slope")}
    return names.get(grid.group, "texture")


class References(NamedTuple):
    """The reference grids of section 5.2; None if absent."""

    parent: Array | None
    grandparent: Array | None
    cross: Array | None


def context(samples: Array, references: References, coded: Pass, y: int, x: int) -> list[int]:
    """The 17 contexts of sample ``(y, x)``, section 6.2."""
    height, width = samples.shape
    half = coded.stride // 2
    values = []
    for dy, dx, known_in in NEIGHBORS:
        row, column = y + dy * half, x + dx * half
        known = coded.kind in known_in and 0 <= row < height and 0 <= column < width
        values.append(int(samples[row, column]) if known else 0)

    parent, grandparent, cross = references
    if parent is None:
        values += [0, 0, 0]
    else:
        row, column = y >> 1, x >> 1
        other_row = clip(row + 2 * (y & 1) - 1, 0, parent.shape[0] - 1)
        other_column = clip(column + 2 * (x & 1) - 1, 0, parent.shape[1] - 1)
        values.append(int(parent[row, column]))
        values.append(int(parent[other_row, column]))
        values.append(int(parent[row, other_column]))
    values.append(0 if grandparent is None else int(grandparent[y >> 2, x >> 2]))
    values.append(0 if cross is None else int(cross[y, x]))
    return values


def arm_inputs(contexts: Sequence[int]) -> list[int]:
    """``X`` of section 6.2, Q3: clipped contexts, then their rounded logarithms."""
    clipped = [clip(value, -127, 127) for value in contexts]
    logarithms = [((1 + abs(value)) ** 16).bit_length() // 2 for value in clipped]
    return [8 * value for value in clipped] + logarithms


def run_arm(
    weights: Weights, name: str, kind: int, grid_number: int, inputs: Array
) -> tuple[list[int], list[int]]:
    """Locations and scales of a pass from its ``[n, 34]`` inputs (section 6.2)."""

    def tensor(part: str) -> Array:
        return weights[f"arm.{name}.{part}"]

    hidden = inputs @ tensor("hidden")[kind].T + (tensor("hidden_bias")[kind] << 3)
    hidden = np.clip(round_shift(hidden, 4), 0, 4095)
    sums = hidden @ tensor("output")[kind].T + (inputs @ tensor("shortcut")[kind].T << 3)
    sums += (tensor("pass_bias")[kind] << 6) + (tensor("grid_bias")[grid_number] << 6)
    locations = np.clip(round_shift(sums[:, 0], 10), -4088, 4088)
    scales = np.clip(round_shift(sums[:, 1], 11), 0, 39)
    return locations.tolist(), scales.tolist()


def read_latents(header: Header, weights: Weights, payload: bytes) -> dict[Grid, Array]:
    """Decode LATENTS (section 6.2); the grids are in coding order."""
    decoder = SymbolDecoder(payload)
    latents: dict[Grid, Array] = {}
    by_level: dict[tuple[int, int], Array] = {}  # the same arrays by group and level
    n_coded = {"texture": 0, "geometry": 0, "slope": 0}
    previous: Grid | None = None
    for grid in coding_order(header):
        samples = np.zeros((grid.height, grid.width), np.int64)
        has_cross = previous is not None and previous.level == grid.level
        cross = latents[previous] if previous is not None and has_cross else None
        if grid.group in SLOPE_GROUPS:
            cross = by_level.get((0, grid.level))
        references = References(
            parent=by_level.get((grid.group, grid.level + 1)),
            grandparent=by_level.get((grid.group, grid.level + 2)),
            cross=cross,
        )
        name = arm_name(grid)
        for coded in passes(grid):
            positions = [
                (y, x)
                for y in range(coded.y0, grid.height, coded.stride)
                for x in range(coded.x0, grid.width, coded.stride)
            ]
            inputs = [arm_inputs(context(samples, references, coded, y, x)) for y, x in positions]
            locations, scales = run_arm(
                weights, name, coded.kind, n_coded[name], np.array(inputs, np.int64)
            )
            values = decoder.call(locations, scales)
            require(all(abs(value) <= 511 for value in values), "latent out of range")
            for (y, x), value in zip(positions, values, strict=True):
                samples[y, x] = value
        latents[grid] = by_level[grid.group, grid.level] = samples
        n_coded[name] += 1
        previous = grid
    decoder.finish()
    return latents


# Section 7: the canonical scene


def dense(
    weights: Weights, name: str, x: Array, bits: tuple[int, int], limits: tuple[int, int]
) -> Array:
    """A dense layer on ``[n, inputs]``; `bits` are ``i, o`` and `limits` ``lo, hi`` (7.1)."""
    bits_in, bits_out = bits
    sums = x @ weights[f"{name}.weight"].T + (weights[f"{name}.bias"] << (7 + bits_in - 10))
    return np.clip(round_shift(sums, 7 + bits_in - bits_out), *limits)


def leaky(x: Array) -> Array:
    """What follows a hidden layer of a trunk or of the view network (section 7.1)."""
    return np.maximum(x, x >> 3)


def neighbor_rows(plane: Array, distance: int) -> Array:
    """``in[i + distance]`` for all rows ``i``, with clipped indices (7.2, 7.3)."""
    n_rows = len(plane)
    return plane[np.clip(np.arange(n_rows) + distance, 0, n_rows - 1)]


def interleave_rows(even: Array, odd: Array) -> Array:
    """Rows ``2i`` and ``2i + 1`` of a doubled plane."""
    return np.stack([even, odd], axis=1).reshape(2 * len(even), *even.shape[1:])


def upsample_rows(plane: Array) -> Array:
    """Double a plane along its first axis (section 7.2)."""
    even = sum(
        tap * neighbor_rows(plane, distance)
        for tap, distance in zip(UPSAMPLING_TAPS, (3, 2, 1, 0, -1, -2, -3, -4), strict=True)
    )
    odd = sum(
        tap * neighbor_rows(plane, distance)
        for tap, distance in zip(UPSAMPLING_TAPS, (-3, -2, -1, 0, 1, 2, 3, 4), strict=True)
    )
    doubled = interleave_rows(np.asarray(even), np.asarray(odd))
    return np.clip(round_shift(doubled, 7), -65535, 65535)


def smooth_rows(plane: Array) -> Array:
    """Smooth a plane along its first axis (section 8.5)."""
    total = SMOOTHING_TAPS[0] * plane
    for distance, tap in enumerate(SMOOTHING_TAPS[1:], start=1):
        total = total + tap * (neighbor_rows(plane, -distance) + neighbor_rows(plane, distance))
    return np.clip(round_shift(total, 8), -65535, 65535)


def upsample(header: Header, latent: Array, level: int, k: int) -> Array:
    """Bring a grid of `level` to the canvas of level `k` (sections 7.2 and 8.5)."""
    rows, columns = level_size(header, k)
    if level < k // 2:
        return np.zeros((rows, columns), np.int64)
    if level < k:
        size = 1 << (k - level)
        total = np.zeros((rows, columns), np.int64)
        for i, j in np.ndindex(size, size):
            row = np.minimum(size * np.arange(rows) + i, latent.shape[0] - 1)
            column = np.minimum(size * np.arange(columns) + j, latent.shape[1] - 1)
            total += latent[np.ix_(row, column)]
        return total << (7 - 2 * (k - level))
    plane = latent << 7
    for finer in range(level - 1, k - 1, -1):
        height, width = level_size(header, finer)
        plane = upsample_rows(plane)[:height]
        plane = upsample_rows(plane.T)[:width].T
    return smooth_rows(smooth_rows(plane).T).T if k else plane


def run_trunk(
    header: Header, weights: Weights, name: str, planes: dict[int, Array], k: int
) -> Array:
    """Outputs ``[Hc, Wc, n]`` of a trunk from its planes by level (sections 7.3 and 8.5)."""
    rows, columns = level_size(header, k)
    coarsest_first = sorted(planes, reverse=True)
    upsampled = [upsample(header, planes[level], level, k) for level in coarsest_first]
    x = np.stack(upsampled, axis=-1).reshape(rows * columns, len(upsampled))
    if f"{name}.attention.weight" in weights:
        attention = dense(weights, f"{name}.attention", x, (11, 8), (-256, 256))
        x = round_shift(x * np.clip(attention + 256, 0, 256), 8)
    if f"{name}.hidden.weight" in weights:
        hidden = dense(weights, f"{name}.hidden", x, (11, 11), (-65535, 65535))
        x = np.concatenate([x, leaky(hidden)], axis=1)
    output = dense(weights, f"{name}.output", x, (11, 12), (-32767, 32767))
    return output.reshape(rows, columns, -1)


def texture_planes(header: Header, latents: dict[Grid, Array]) -> list[dict[int, Array]]:
    """``S_i`` of section 7.3 by level, for every layer."""
    sums: list[dict[int, Array]] = []
    for group in range(n_textures(header)):
        own = {grid.level: samples for grid, samples in latents.items() if grid.group == group}
        if group == 0:
            sums.append(own)
            continue
        planes = dict(sums[-1])
        for level, samples in own.items():
            planes[level] = np.clip(planes[level] + samples, -511, 511)
        sums.append(planes)
    return sums


def weigh_neighbors(planes: Array, weight: Array, k: int) -> Array:
    """``[Hc, Wc, n]`` -> ``[Hc, Wc, m]``, sums over 3 x 3 pixels (sections 7.3 and 8.5)."""
    total = np.zeros((*planes.shape[:2], len(weight)), np.int64)
    for i, j in np.ndindex(3, 3):
        near = planes
        if k == 0:
            near = neighbor_rows(near, i - 1)
            near = neighbor_rows(near.swapaxes(0, 1), j - 1).swapaxes(0, 1)
        total += near @ weight[:, :, i, j].T
    return total


def correct_colors(features: Array, weights: Weights, k: int) -> Array:
    """``[Hc, Wc, features]`` after the color filter (sections 7.3 and 8.5)."""
    linear = weights["color_filter.linear"]
    total = weigh_neighbors(features, linear, k)
    if "color_filter.output" in weights:
        hidden = weigh_neighbors(features, weights["color_filter.hidden.weight"], k)
        hidden = round_shift(hidden + (weights["color_filter.hidden.bias"] << 9), 7)
        hidden = leaky(np.clip(hidden, -32767, 32767))
        total += weigh_neighbors(hidden, weights["color_filter.output"], k)
    corrected = features.copy()
    colors = corrected[..., : len(linear)]
    colors += np.clip(round_shift(total, 7), -32767, 32767)
    corrected[..., : len(linear)] = np.clip(colors, -32767, 32767)
    return corrected


def double_rows(plane: Array) -> Array:
    """Half samples along the first axis (section 7.3)."""
    odd = sum(
        tap * neighbor_rows(plane, distance)
        for tap, distance in zip(HALF_SAMPLE_TAPS, range(-3, 5), strict=True)
    )
    return interleave_rows(plane, np.clip(round_shift(np.asarray(odd), 6), -32767, 32767))


def half_samples(planes: Array) -> Array:
    """Half samples of ``[Hc, Wc, n]`` along y, then along x (section 7.3)."""
    along_y = double_rows(planes)
    return double_rows(along_y.swapaxes(0, 1)).swapaxes(0, 1)


# Section 8: views


def sample_bilinear(planes: Array, qy: Array, qx: Array) -> Array:
    """Sample half-sample planes ``[.., .., n]`` at Q5 positions of pixels (section 8.2)."""
    row, column = qy >> 4, qx >> 4
    fy, fx = (qy & 15)[..., None], (qx & 15)[..., None]
    total = (16 - fy) * (16 - fx) * planes[row, column]
    total += (16 - fy) * fx * planes[row, column + 1]
    total += fy * (16 - fx) * planes[row + 1, column]
    total += fy * fx * planes[row + 1, column + 1]
    return round_shift(total, 8)


def least_around(plane: Array, axis: int, reach: int) -> Array:
    """Least sample at most `reach` away along an axis, indices clipped (section 8.2)."""
    n = plane.shape[axis]
    index = np.arange(n)
    shifted = [np.take(plane, np.clip(index + j, 0, n - 1), axis) for j in range(-reach, reach + 1)]
    least: Array = np.min(shifted, axis=0)
    return least


# By view and by block, its residual [8, 8, C], Q12.
Residuals = dict[tuple[int, int], dict[tuple[int, int], Array]]


def read_residuals(header: Header, payload: bytes) -> Residuals:
    """Decode RESIDUALS (section 6.6), and transform all blocks (section 8.6)."""
    decoder = SymbolDecoder(payload)
    head = decoder.call([8 * n for n in RESIDUAL_HEAD], 39 * [RESIDUAL_HEAD_SCALE])
    step_index, tables = head[0], [(head[i], head[i + 1]) for i in (1, 3, 5, 7)]
    luma = [sum(head[9 : 10 + d]) for d in range(15)]
    chroma = [luma[d] + head[24 + d] for d in range(15)]
    require(0 <= step_index <= 47, "step out of range")
    require(all(-4 <= location <= 3 for location, _ in tables), "location out of range")
    scales = [*(scale for _, scale in tables), *luma, *chroma]
    require(all(0 <= scale <= 39 for scale in scales), "scale out of range")

    rows, columns = ceil_div(header["height"], 8), ceil_div(header["width"], 8)
    blocks = list(np.ndindex(rows, columns))
    found: Residuals = {}
    n_blocks = 0
    for v, u in np.ndindex(header["n_v"], header["n_u"]):
        before = [found[place] for place in ((v, u - 1), (v - 1, u)) if place in found]
        classes = [residual_class(before, y, x) for y, x in blocks]
        flags = decoder.call([tables[k][0] for k in classes], [tables[k][1] for k in classes])
        require(all(abs(flag) <= 3 for flag in flags), "flag out of range")
        require(header["channels"] == 3 or min(flags) >= 0, "chroma of a gray view")
        coded = [(block, flag) for block, flag in zip(blocks, flags, strict=True) if flag]
        n_blocks += len(coded)
        require(n_blocks <= 2 * len(payload), "too many blocks")
        planes = []
        for _, flag in coded:
            planes += [(flag, luma), *(2 * [(flag, chroma)] if flag < 0 else [])]
        scales = [
            min(39, of_diagonal[j // 8 + j % 8] + 4 * (abs(flag) - 1))
            for flag, of_diagonal in planes
            for j in range(64)
        ]
        levels = np.array(decoder.call([0] * len(scales), scales), np.int64).reshape(-1, 8, 8)
        require(bool((np.abs(levels) <= 2047).all()), "level out of range")
        own = iter(levels)
        found[v, u] = {}
        for block, flag in coded:
            step = ((4 + (step_index & 3)) << (step_index >> 2)) >> (abs(flag) - 1)
            residual = np.zeros((8, 8, header["channels"]), np.int64)
            for channel in range(3 if flag < 0 else 1):
                residual[..., channel] = transformed(next(own) * step)
            found[v, u][block] = residual
    decoder.finish()
    return found


def residual_class(before: list[dict[tuple[int, int], Array]], y: int, x: int) -> int:
    """Class of a block's flag, from the blocks of the views before (section 6.6)."""
    count = 0
    for blocks in before:
        count += sum((y + i, x + j) in blocks for i in (-1, 0, 1) for j in (-1, 0, 1))
        count += 2 * ((y, x) in blocks)
    return min(3, count)


def transformed(coefficients: Array) -> Array:
    """The inverse transform of a block, Q12 (section 8.6)."""
    bounded = np.clip(coefficients, -65535, 65535)
    columns = round_shift(TRANSFORM.T @ bounded, 7)
    return np.clip(round_shift(columns @ TRANSFORM, 8), -8191, 8191)


class ReferenceDecoder:
    """A decoded file: `header`, `weights`, `latents` by grid, and views at any position."""

    def __init__(self, data: bytes) -> None:
        sections = read_sections(data)
        self.header = read_header(sections[HEADER])
        self.weights = read_weights(self.header, sections[WEIGHTS])
        self.latents = read_latents(self.header, self.weights, sections[LATENTS])
        self.residuals: Residuals = {}
        if RESIDUALS in sections:
            self.residuals = read_residuals(self.header, sections[RESIDUALS])
        self._synthesize(0)

    def smaller(self, k: int) -> ReferenceDecoder:
        """The same file, whose views are smaller by ``2^k`` (section 8.5)."""
        other = copy.copy(self)
        other._synthesize(k)
        return other

    def _synthesize(self, k: int) -> None:
        """The canonical scene (section 7), in the size of level `k`."""
        self.k = k
        # Section 7.3: with geometry, the features are at half samples, followed by alpha.
        self.disparity: list[Array] = []
        self.layers = [
            run_trunk(self.header, self.weights, "texture", planes, k)
            for planes in texture_planes(self.header, self.latents)
        ]
        if self.header["color_filter"]:
            self.layers = [correct_colors(features, self.weights, k) for features in self.layers]
        if self.header["layers"]:
            self._add_geometry()

    def _size(self) -> tuple[int, int]:
        """Height and width of the views."""
        side = 1 << self.k
        return ceil_div(self.header["height"], side), ceil_div(self.header["width"], side)

    def view(self, vq: int, uq: int) -> Array:
        """Samples ``[H, W, C]`` of the view at ``(vq, uq)``, Q8 (section 8)."""
        pose = self.pose(vq, uq)
        samples = self._to_samples(self._colors(pose, self._composite(pose)))
        if self.k == 0 and vq % 256 == 0 and uq % 256 == 0:
            self._add_residuals(samples, vq // 256, uq // 256)
        return samples

    def _add_residuals(self, samples: Array, v: int, u: int) -> None:
        """Add the residuals of a view of the grid to its samples, in place (section 8.6)."""
        height, width = self._size()
        peak = (1 << self.header["bit_depth"]) - 1
        for (row, column), residual in self.residuals.get((v, u), {}).items():
            y, x = 8 * row, 8 * column
            change = residual[: height - y, : width - x]
            if self.header["channels"] == 1:
                change = round_shift(change * peak, 12)
            else:
                change = round_shift((change @ COLOR_MATRIX.T) * peak, 24)
            block = samples[y : y + 8, x : x + 8]
            block[:] = np.clip(block + change, 0, peak)

    def pose(self, vq: int, uq: int) -> Pose:
        """Angles, shifts and offset of a view (section 8.1)."""
        corrections = self._corrections(vq, uq)
        av = vq - 128 * (self.header["n_v"] - 1)
        au = uq - 128 * (self.header["n_u"] - 1)
        if self.header["transposed"]:
            av, au = au, av
        if self.header["mirrored"]:
            au = -au
        if self.header["axes_reversed"]:
            av, au = -av, -au
        return Pose(
            av=clip(av + corrections[0], -131071, 131071),
            au=clip(au + corrections[1], -131071, 131071),
            shift_y=corrections[2],
            shift_x=corrections[3],
            offset=4 * corrections[4],
            gain=min(max(1024 + corrections[5], 0), 4095),
        )

    def _add_geometry(self) -> None:
        """Disparity, alpha and half samples (section 7.3)."""
        n_layers = self.header["layers"]
        planes = {g.level: s for g, s in self.latents.items() if g.group == GEOMETRY_GROUP}
        outputs = run_trunk(self.header, self.weights, "geometry", planes, self.k)
        most = 32767 if max(self.header["n_v"], self.header["n_u"]) <= 256 else 16383
        for layer in range(n_layers):
            self.disparity.append(np.clip(outputs[..., layer], -most, most))
        for layer in range(n_layers - 1):
            output = outputs[..., n_layers + layer, None]
            alpha = np.clip(output + 2048, 0, 4096)
            self.layers[layer] = np.concatenate([self.layers[layer], alpha], axis=-1)
        if has_slopes(self.header):
            for group in SLOPE_GROUPS:
                planes = {g.level: s for g, s in self.latents.items() if g.group == group}
                slopes = run_trunk(self.header, self.weights, "slope", planes, self.k)
                self.layers[0] = np.concatenate([self.layers[0], slopes], axis=-1)
        self.layers = [half_samples(planes) for planes in self.layers]

    def _corrections(self, vq: int, uq: int) -> list[int]:
        """``E`` of section 8.1."""
        if not self.header["per_view"]:
            return [0] * 6
        n_v, n_u = self.header["n_v"], self.header["n_u"]
        v0 = min(vq >> 8, max(n_v - 2, 0))
        u0 = min(uq >> 8, max(n_u - 2, 0))
        fv, fu = vq - 256 * v0, uq - 256 * u0
        total = np.zeros(6, np.int64)
        for v, v_weight in ((v0, 256 - fv), (v0 + 1, fv)):
            for u, u_weight in ((u0, 256 - fu), (u0 + 1, fu)):
                if v < n_v and u < n_u:
                    weight, row = v_weight * u_weight, v * n_u + u
                    total[:5] += weight * self.weights["per_view"][row]
                    total[5] += weight * int(self.weights["view_gain"][row, 0])
        return [int(value) for value in round_shift(total, 16)]

    def _composite(self, pose: Pose) -> Array:
        """Features ``[H, W, features]`` of a view, back to front (section 8.2)."""
        height, width = self._size()
        y, x = np.mgrid[:height, :width]
        margin_y, margin_x, k = self.header["margin_y"], self.header["margin_x"], self.k
        if not self.header["layers"]:
            top, left = ((2 * margin + 2**k) >> (k + 1) for margin in (margin_y, margin_x))
            plain: Array = self.layers[0][y + top, x + left]
            return plain
        base_y = 32 * y + ((32 * margin_y + pose.shift_y + 2**k // 2) >> k)
        base_x = 32 * x + ((32 * margin_x + pose.shift_x + 2**k // 2) >> k)
        back = self.header["layers"] - 1
        n_features = self.header["features"]
        features = self._sample_layer(back, pose, base_y, base_x)[..., :n_features]
        for layer in range(back - 1, -1, -1):
            sampled = self._sample_layer(layer, pose, base_y, base_x)
            front, alpha = sampled[..., :n_features], sampled[..., n_features : n_features + 1]
            visibility = np.clip((alpha + 8) >> 4, 0, 256)
            features = features + round_shift(visibility * (front - features), 8)
        return features

    def _sample_layer(self, layer: int, pose: Pose, base_y: Array, base_x: Array) -> Array:
        """Features and alpha of a layer, as seen from `pose` (section 8.2)."""
        rows, columns = level_size(self.header, self.k)
        qy, qx = base_y, base_x
        side = 1 << self.k
        nearest = least_around(self.disparity[layer], 0, ceil_div(self.header["margin_y"], side))
        nearest = least_around(nearest, 1, ceil_div(self.header["margin_x"], side))
        for plane in (nearest, *3 * [self.disparity[layer]]):
            row = np.clip((qy + 16) >> 5, 0, rows - 1)
            column = np.clip((qx + 16) >> 5, 0, columns - 1)
            disparity = plane[row, column]
            qy = base_y - round_shift(pose.av * disparity, 12 + self.k)
            qx = base_x - round_shift(pose.au * disparity, 12 + self.k)
        qy = np.clip(qy, 0, 16 * (2 * rows - 2))
        qx = np.clip(qx, 0, 16 * (2 * columns - 2))
        sampled = sample_bilinear(self.layers[layer], qy, qx)
        if layer == 0 and has_slopes(self.header):
            self._add_slopes(pose, sampled)
        return sampled

    def _add_slopes(self, pose: Pose, sampled: Array) -> None:
        """Change the colors of the front layer by the place of the view, in place (section 8.2)."""
        n = self.header["channels"]
        span = max(self.header["n_v"] - 1, self.header["n_u"] - 1, 1)
        wy, wx = ((clip(32 * angle // span, -8192, 8192) + 16) >> 5 for angle in (pose.av, pose.au))
        along_y, along_x = sampled[..., -2 * n : -n], sampled[..., -n:]
        change = round_shift(wy * along_y + wx * along_x, 7)
        sampled[..., :n] = np.clip(sampled[..., :n] + change, -32767, 32767)

    def _colors(self, pose: Pose, features: Array) -> Array:
        """``C`` of section 8.3, Q12."""
        colors = features[..., : self.header["channels"]].copy()
        depth = self.header["view_depth"]
        if depth:
            x = self._view_inputs(pose, features)
            for layer in range(depth):
                x = leaky(dense(self.weights, f"view.hidden{layer}", x, (12, 12), (-32767, 32767)))
            output = dense(self.weights, "view.output", x, (12, 12), (-32767, 32767))
            colors += output.reshape(colors.shape)
        colors = np.clip(round_shift(pose.gain * colors, 10), -65534, 65534)
        colors[..., 0] += pose.offset
        return colors

    def _view_inputs(self, pose: Pose, features: Array) -> Array:
        """Inputs ``[H * W, n]`` of the view network, Q12 (section 8.3)."""
        height, width = self._size()
        span = max(self.header["n_v"] - 1, self.header["n_u"] - 1, 1)
        y, x = np.mgrid[:height, :width]
        planes = list(np.moveaxis(np.clip(features, -32767, 32767), -1, 0))
        for angle in (pose.av, pose.au):
            planes.append(np.full((height, width), clip(32 * angle // span, -8192, 8192), np.int64))
        if self.header["spatial"]:
            for p, size in ((y, self.header["height"]), (x, self.header["width"])):
                planes.append(np.clip(((2 * p + 1) << (12 + self.k)) // size - 4096, -4096, 4095))
        return np.stack(planes, axis=-1).reshape(height * width, len(planes))

    def _to_samples(self, colors: Array) -> Array:
        """Samples from colors (section 8.4)."""
        peak = (1 << self.header["bit_depth"]) - 1
        if self.header["channels"] == 1:
            return np.clip(round_shift(colors * peak, 12), 0, peak)
        rgb: Array = (colors @ COLOR_MATRIX.T) * peak
        return np.clip(round_shift(rgb, 24), 0, peak)
