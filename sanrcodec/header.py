# SPDX-License-Identifier: MIT
"""The stream header: a frozen record of everything that fixes the shape of a scene, and its bytes.

Parses and checks before anything is allocated; knows nothing of values.
See format_spec.md section 4.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from sanrcodec.errors import CorruptSectionError, LimitError, TruncatedError

__all__ = ["FIELD_RANGES", "StreamHeader"]

# One row per field, in file order: name -> (minimum, maximum). All are unsigned varints.
FIELD_RANGES: dict[str, tuple[int, int]] = {
    "n_v": (1, 64),
    "n_u": (1, 64),
    "height": (1, 16384),
    "width": (1, 16384),
    "channels": (1, 3),
    "bit_depth": (8, 16),
    "layers": (0, 4),
    "margin_y": (0, 2048),
    "margin_x": (0, 2048),
    "mirrored": (0, 1),
    "reversed": (0, 1),
    "gain": (1, 255),
    "texture_levels": (1, 12),
    "occluded_first": (0, 11),
    "texture_hidden": (0, 128),
    "features": (1, 64),
    "color_filter": (0, 1),
    "filter_hidden": (0, 64),
    "attention": (0, 1),
    "geometry_first": (0, 11),
    "geometry_levels": (0, 12),
    "geometry_hidden": (0, 64),
    "view_depth": (0, 4),
    "view_hidden": (0, 128),
    "spatial": (0, 1),
    "arm_hidden": (1, 64),
    "per_view": (0, 1),
    "profile": (0, 255),
}
MAX_CANVAS_PIXELS = 1 << 28
MAX_SCENE_SAMPLES = 1 << 30


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """Shape of the light field and of its scene model; every field is an integer of the file.

    Attributes:
        n_v, n_u: Angular size (rows, columns of views).
        height, width: Pixels of a view.
        channels: 1 (grey) or 3 (colour, coded as BT.709 YCbCr).
        bit_depth: Bits per sample, 8..16.
        layers: Depth layers L; 0 means no geometry.
        margin_y, margin_x: Pixels of canvas beyond the centre view on each side.
        mirrored: 1 if the u axis runs against the parallax of the v axis.
        reversed: 1 if both run the other way, so that the smallest disparity is the nearest.
        gain: Size of a latent step that the default weights assume, in sixteenths.
        texture_levels: Levels of the texture pyramid.
        occluded_first: Finest level of the texture pyramids behind the front layer.
        texture_hidden, geometry_hidden: Width of the trunks' hidden layer, 0 for a linear trunk.
        features: Channels of a layer; the first ``channels`` are its colour.
        color_filter: 1 if a filter of 3 x 3 pixels corrects the colour of every layer.
        filter_hidden: Its hidden units, besides a linear part.
        attention: 1 if learned gates weigh the scales before the trunk.
        geometry_first, geometry_levels: Finest level and number of levels of the geometry pyramid.
        view_depth, view_hidden: Hidden layers of the view MLP and their width; depth 0 omits it.
        spatial: 1 if the view MLP also sees (y, x).
        arm_hidden: Hidden width of the entropy networks.
        per_view: 1 if the file carries pose and offset corrections per view.
        profile: Informative number of the encoder profile, see presets.
    """

    n_v: int
    n_u: int
    height: int
    width: int
    channels: int
    bit_depth: int
    layers: int
    margin_y: int
    margin_x: int
    mirrored: int
    reversed: int
    gain: int
    texture_levels: int
    occluded_first: int
    texture_hidden: int
    features: int
    color_filter: int
    filter_hidden: int
    attention: int
    geometry_first: int
    geometry_levels: int
    geometry_hidden: int
    view_depth: int
    view_hidden: int
    spatial: int
    arm_hidden: int
    per_view: int
    profile: int

    def __post_init__(self) -> None:
        for name, (low, high) in FIELD_RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise LimitError(f"header field {name} is {value}, allowed are {low}..{high}")
        if self.channels == 2:
            raise LimitError("header field channels is 2, allowed are 1 and 3")
        if self.features < self.channels:
            raise LimitError(
                f"header has {self.features} features for {self.channels} colour channels"
            )
        if self.canvas[0] * self.canvas[1] > MAX_CANVAS_PIXELS:
            raise LimitError(
                f"canvas of {self.canvas[0]} x {self.canvas[1]} pixels exceeds {MAX_CANVAS_PIXELS}"
            )
        limit = max(self.height, self.width) // 4 + 1
        if max(self.margin_y, self.margin_x) > limit:
            raise LimitError(
                f"margins of {self.margin_y} and {self.margin_x} pixels exceed {limit}, "
                "a quarter of a view"
            )
        samples = self.canvas[0] * self.canvas[1] * self.n_textures * (self.features + 1)
        if samples > MAX_SCENE_SAMPLES:
            raise LimitError(f"scene of {samples} samples exceeds {MAX_SCENE_SAMPLES}")
        if self.layers and self.geometry_levels < 1:
            raise LimitError("header has layers but no geometry levels")
        if self.layers > 1 and self.occluded_first >= self.texture_levels:
            raise LimitError("header field occluded_first leaves no level to the occluded layers")
        if self.view_depth and not self.view_hidden:
            raise LimitError("header has a view MLP of width 0")

    @property
    def canvas(self) -> tuple[int, int]:
        """Canonical canvas ``(Hc, Wc)`` in pixels: the centre view plus the margin on each side."""
        return self.height + 2 * self.margin_y, self.width + 2 * self.margin_x

    @property
    def n_textures(self) -> int:
        """Texture pyramids: one per layer, and one where there is no geometry."""
        return max(1, self.layers)

    @property
    def n_coordinates(self) -> int:
        """Coordinates that the view MLP sees: (v, u), and (y, x) where ``spatial``."""
        return 4 if self.spatial else 2

    def pack(self) -> bytes:
        """Serialize to the payload of the HEADER section: one varint per field."""
        out = bytearray()
        for name in FIELD_RANGES:
            value = getattr(self, name)
            while value > 0x7F:
                out.append(value & 0x7F | 0x80)
                value >>= 7
            out.append(value)
        return bytes(out)

    @classmethod
    def unpack(cls, payload: bytes) -> StreamHeader:
        """Parse the payload of the HEADER section.

        Raises:
            TruncatedError: the payload ends inside a field.
            CorruptSectionError: a varint is overlong, or bytes follow the last field.
            LimitError: a field is out of range.
        """
        values: dict[str, int] = {}
        position = 0
        for name in FIELD_RANGES:
            value = 0
            for shift in range(0, 35, 7):
                if position >= len(payload):
                    raise TruncatedError(f"section HEADER ends inside field {name}")
                byte = payload[position]
                position += 1
                value |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
            else:
                raise CorruptSectionError(f"section HEADER: field {name} is longer than 5 bytes")
            if byte == 0 and shift:
                raise CorruptSectionError(
                    f"section HEADER: field {name} is not in its shortest form"
                )
            values[name] = value
        if position != len(payload):
            raise CorruptSectionError(
                f"section HEADER: {len(payload) - position} bytes after the last field"
            )
        return cls(**values)


assert tuple(FIELD_RANGES) == tuple(f.name for f in fields(StreamHeader))
