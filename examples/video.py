#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Video: a way around the middle of the grid, as an animated picture.

Usage: python examples/video.py [FILE.sanr]   (without a file, a small one is made)
"""

from __future__ import annotations

import sys

from sample import sample_file

import sanrcodec
from sanrcodec.io import write_animation
from sanrcodec.rendering.paths import orbit

opened = sanrcodec.open(sample_file(sys.argv[1:]))
places = orbit(opened.grid, 48)
n = write_animation("orbit.webp", (opened.view(*place) for place in places), opened.bit_depth)
print(f"orbit.webp: {n} frames")
