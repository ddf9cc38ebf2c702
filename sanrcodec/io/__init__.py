# SPDX-License-Identifier: MIT
"""Files <-> light fields; holds no codec, and imports pillow only while a file is read."""

from sanrcodec.io.animation import ANIMATION_SUFFIXES, check_animation, write_animation
from sanrcodec.io.atomic import write_atomically
from sanrcodec.io.contact import contact_sheet, shown_places
from sanrcodec.io.float_map import FLOAT_MAP_SUFFIXES, write_float_map
from sanrcodec.io.image import encode_view, write_view
from sanrcodec.io.likeness import looker
from sanrcodec.io.misplaced import find_misplaced, find_twins
from sanrcodec.io.mosaic import write_mosaic
from sanrcodec.io.quilt import choose_tiles, quilt_path, write_quilt
from sanrcodec.io.reading import ORDERS
from sanrcodec.io.reduced import reduce_light_field
from sanrcodec.io.registry import LAYOUTS, Input, read_input, read_light_field
from sanrcodec.io.scan_order import ORDERS_IN_WORDS, find_order
from sanrcodec.io.selection import Selection, parse_every, parse_ranges, select

__all__ = [
    "ANIMATION_SUFFIXES",
    "FLOAT_MAP_SUFFIXES",
    "LAYOUTS",
    "ORDERS",
    "ORDERS_IN_WORDS",
    "Input",
    "Selection",
    "check_animation",
    "choose_tiles",
    "contact_sheet",
    "encode_view",
    "find_misplaced",
    "find_order",
    "find_twins",
    "looker",
    "parse_every",
    "parse_ranges",
    "quilt_path",
    "read_input",
    "read_light_field",
    "reduce_light_field",
    "select",
    "shown_places",
    "write_animation",
    "write_atomically",
    "write_float_map",
    "write_mosaic",
    "write_quilt",
    "write_view",
]
