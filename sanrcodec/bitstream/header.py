# SPDX-License-Identifier: MIT
"""The stream header: a frozen record of everything that fixes the shape of a scene, and its bytes.

Parses and checks before anything is allocated; knows nothing of values.
See format_spec.md section 4.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from sanrcodec.bitstream.varint import pack_varint, unpack_varint
from sanrcodec.errors import CorruptSectionError, LimitError
from sanrcodec.lightfield import MAX_GRID, MAX_SIZE, MAX_VIEWS

__all__ = [
    "FIELD_RANGES",
    "MAX_CANVAS_PIXELS",
    "MAX_SCENE_SAMPLES",
    "StreamHeader",
    "margin_limit",
]

MAX_CANVAS_PIXELS = 1 << 28
MAX_SCENE_SAMPLES = 1 << 30


def _field(low: int, high: int, meaning: str) -> int:
    """A field of the header: an unsigned varint in ``low..high``, in the order of the class."""
    declared: int = field(metadata={"range": (low, high), "meaning": meaning})
    return declared


def margin_limit(height: int, width: int) -> int:
    """The largest margin of views of so many pixels."""
    return max(height, width) // 4 + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHeader:
    """Shape of the light field and of its scene model; every field is an integer of the file.

    Raises:
        LimitError: on construction, where a field or what follows from the fields is not allowed.
    """

    n_v: int = _field(1, MAX_GRID, "rows of views")
    n_u: int = _field(1, MAX_GRID, "columns of views")
    height: int = _field(1, MAX_SIZE, "rows of pixels of a view")
    width: int = _field(1, MAX_SIZE, "columns of pixels of a view")
    channels: int = _field(1, 3, "1 (gray) or 3 (color, coded as BT.709 YCbCr)")
    bit_depth: int = _field(8, 16, "bits per sample")
    layers: int = _field(0, 4, "depth layers L; 0 means no geometry")
    margin_y: int = _field(0, 2048, "rows of canvas beyond the center view, on each side")
    margin_x: int = _field(0, 2048, "columns of canvas beyond the center view, on each side")
    mirrored: int = _field(0, 1, "1 if the u axis runs against the parallax of the v axis")
    axes_reversed: int = _field(
        0, 1, "1 if both axes run the other way, so that the smallest disparity is the nearest"
    )
    transposed: int = _field(0, 1, "1 if the rows of views move along x, and the columns along y")
    gain: int = _field(
        1, 255, "size of a latent step that the default weights assume, in sixteenths"
    )
    texture_levels: int = _field(1, 12, "levels of the texture pyramids")
    occluded_first: int = _field(0, 11, "finest level of the pyramids behind the front layer")
    texture_hidden: int = _field(
        0, 128, "width of the texture trunk's hidden layer, 0 for a linear trunk"
    )
    features: int = _field(1, 64, "channels of a layer; the first ones are its color")
    color_filter: int = _field(
        0, 1, "1 if a filter on the pixels around corrects the color of every layer"
    )
    filter_hidden: int = _field(0, 64, "hidden units of that filter, besides a linear part")
    attention: int = _field(0, 1, "1 if learned gates weigh the scales before the trunk")
    geometry_first: int = _field(0, 11, "finest level of the geometry pyramid")
    geometry_levels: int = _field(0, 12, "levels of the geometry pyramid")
    geometry_hidden: int = _field(
        0, 64, "width of the geometry trunk's hidden layer, 0 for a linear trunk"
    )
    slope_first: int = _field(0, 11, "finest level of the pyramids of color slopes")
    slope_levels: int = _field(0, 12, "levels of these pyramids; 0 omits them")
    view_depth: int = _field(0, 4, "hidden layers of the view network; 0 omits it")
    view_hidden: int = _field(0, 128, "width of these layers")
    spatial: int = _field(0, 1, "1 if the view network also sees (y, x)")
    arm_hidden: int = _field(1, 64, "hidden width of the entropy networks")
    per_view: int = _field(
        0, 1, "1 if the file carries corrections of pose and offset for each view"
    )
    profile: int = _field(
        0, 255, "informative number of the encoder's profile, see sanrcodec.presets"
    )

    def __post_init__(self) -> None:
        for name, (low, high) in FIELD_RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise LimitError(f"header field {name} is {value}, allowed are {low}..{high}")
        if self.n_v * self.n_u > MAX_VIEWS:
            raise LimitError(f"{self.n_v} x {self.n_u} views, allowed are {MAX_VIEWS} in all")
        if self.channels == 2:
            raise LimitError("header field channels is 2, allowed are 1 and 3")
        if self.features < self.channels:
            raise LimitError(
                f"header has {self.features} features for {self.channels} color channels"
            )
        if self.canvas[0] * self.canvas[1] > MAX_CANVAS_PIXELS:
            raise LimitError(
                f"canvas of {self.canvas[0]} x {self.canvas[1]} pixels exceeds {MAX_CANVAS_PIXELS}"
            )
        limit = margin_limit(self.height, self.width)
        if max(self.margin_y, self.margin_x) > limit:
            raise LimitError(
                f"margins of {self.margin_y} and {self.margin_x} pixels exceed {limit}, "
                "a quarter of a view"
            )
        planes = self.n_textures * (self.features + 1) + self.n_slopes
        samples = self.canvas[0] * self.canvas[1] * planes
        if samples > MAX_SCENE_SAMPLES:
            raise LimitError(f"scene of {samples} samples exceeds {MAX_SCENE_SAMPLES}")
        if self.layers and self.geometry_levels < 1:
            raise LimitError("header has layers but no geometry levels")
        if self.layers > 1 and self.occluded_first >= self.texture_levels:
            raise LimitError("header field occluded_first leaves no level to the occluded layers")
        if self.view_depth and not self.view_hidden:
            raise LimitError("header has a view network of width 0")

    @property
    def canvas(self) -> tuple[int, int]:
        """Canonical canvas ``(Hc, Wc)`` in pixels: the center view plus the margin on each side."""
        return self.height + 2 * self.margin_y, self.width + 2 * self.margin_x

    @property
    def reversed(self) -> bool:
        """Whether both axes run the other way, as :attr:`axes_reversed` has it."""
        return bool(self.axes_reversed)

    @property
    def has_slopes(self) -> bool:
        """Whether the color of the front layer changes linearly with the place of a view."""
        return self.layers > 0 and self.slope_levels > 0

    @property
    def n_slopes(self) -> int:
        """Planes of color slopes: of each color along y, then along x."""
        return 2 * self.channels if self.has_slopes else 0

    @property
    def n_textures(self) -> int:
        """Texture pyramids: one per layer, and one where there is no geometry."""
        return max(1, self.layers)

    @property
    def n_coordinates(self) -> int:
        """Coordinates that the view network sees: (v, u), and (y, x) where ``spatial``."""
        return 4 if self.spatial else 2

    def pack(self) -> bytes:
        """Serialize to the payload of the HEADER section: one varint per field."""
        return b"".join(pack_varint(getattr(self, name)) for name in FIELD_RANGES)

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
            values[name], position = unpack_varint(payload, position, f"field {name}")
        if position != len(payload):
            raise CorruptSectionError(f"{len(payload) - position} bytes after the last field")
        return cls(**values)


# Name -> (minimum, maximum), in file order.
FIELD_RANGES: dict[str, tuple[int, int]] = {
    f.name: f.metadata["range"] for f in fields(StreamHeader)
}

# The fields tell of themselves, so that help() has each but once.
StreamHeader.__doc__ = (
    f"{StreamHeader.__doc__}".rstrip()
    + "\n\n    Attributes:"
    + "".join(
        f"\n        {f.name}: {f.metadata['meaning']} ({f.metadata['range'][0]}.."
        f"{f.metadata['range'][1]})."
        for f in fields(StreamHeader)
    )
)
