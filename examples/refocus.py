#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Refocus: a picture that is sharp at one place, and a stack from far to near.

Usage: python examples/refocus.py [FILE.sanr]   (without a file, a small one is made)
"""

from __future__ import annotations

import sys

from sample import sample_file

import sanrcodec
from sanrcodec.io import write_animation, write_view
from sanrcodec.rendering.refocus import disparity_at

opened = sanrcodec.open(sample_file(sys.argv[1:]))
height, width = opened.shape[2:4]
disparity = disparity_at(opened, height // 2, width // 2)
write_view("refocused.png", opened.refocus(disparity), opened.bit_depth)
n = write_animation("stack.webp", opened.focal_stack(12), opened.bit_depth, 10)
print(
    f"refocused.png is sharp at a disparity of {disparity:.2f} pixels per view, stack.webp has {n}"
)
