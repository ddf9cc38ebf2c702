# SPDX-License-Identifier: MIT
"""Files <-> light fields; holds no codec, and imports pillow only while a file is read."""

from sanrcodec.io.atomic import write_atomically
from sanrcodec.io.image import write_view
from sanrcodec.io.mosaic import write_mosaic
from sanrcodec.io.registry import LAYOUTS, read_light_field

__all__ = ["LAYOUTS", "read_light_field", "write_atomically", "write_mosaic", "write_view"]
