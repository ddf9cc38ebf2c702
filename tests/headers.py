# SPDX-License-Identifier: MIT
"""Headers for tests: one like the default profile's, one without geometry, and any."""

from __future__ import annotations

import dataclasses

from hypothesis import strategies as st

from sanrcodec.bitstream.header import FIELD_RANGES, MAX_SCENE_SAMPLES, StreamHeader
from sanrcodec.lightfield import MAX_VIEWS

HEADER = StreamHeader(
    n_v=9, n_u=5, height=49, width=70, channels=3, bit_depth=10, layers=2, margin_y=5, margin_x=3,
    mirrored=1, axes_reversed=0, transposed=1, gain=16, texture_levels=7, occluded_first=1,
    texture_hidden=24, features=7, color_filter=1, filter_hidden=8, attention=0,
    geometry_first=1, geometry_levels=6, geometry_hidden=12, slope_first=1, slope_levels=5,
    view_depth=1, view_hidden=12, spatial=1, arm_hidden=16, per_view=1, profile=0,
)  # fmt: skip
FLAT = dataclasses.replace(
    HEADER, layers=0, margin_y=0, margin_x=0, attention=1, geometry_first=0, geometry_levels=0,
    geometry_hidden=0, slope_first=0, slope_levels=0, per_view=0,
)  # fmt: skip


@st.composite
def headers(draw: st.DrawFn) -> StreamHeader:
    """Any header that the format allows; what contradicts another field is moved to its limit."""
    values = {name: draw(st.integers(*limits)) for name, limits in FIELD_RANGES.items()}
    values["n_u"] = min(values["n_u"], MAX_VIEWS // values["n_v"])
    values["channels"] = draw(st.sampled_from([1, 3]))
    at_least = {"features": values["channels"], "geometry_levels": 1, "view_hidden": 1}
    values |= {name: max(values[name], least) for name, least in at_least.items()}
    values["occluded_first"] = min(values["occluded_first"], values["texture_levels"] - 1)
    # Margins take at most a quarter of the longer side on each side.
    planes = max(1, values["layers"]) * (values["features"] + 1) + 2 * values["channels"]
    longest = int((MAX_SCENE_SAMPLES / planes) ** 0.5 / 1.6)
    for name in ("height", "width"):
        values[name] = min(values[name], longest)
    limit = max(values["height"], values["width"]) // 4 + 1
    for name in ("margin_y", "margin_x"):
        values[name] = min(values[name], limit)
    return StreamHeader(**values)
