#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Disparity: what the file knows of depth, compared with what two views show.

Usage: python examples/disparity.py [FILE.sanr]   (without a file, a small one is made)
"""

from __future__ import annotations

import sys

import numpy as np
from sample import sample_file

import sanrcodec
from sanrcodec.io import write_float_map
from sanrcodec.rendering.resample import sampled

opened = sanrcodec.open(sample_file(sys.argv[1:]))
v, u = (n // 2 for n in opened.grid)
disparity = opened.disparity(v, u)
print("disparity.png:", write_float_map("disparity.png", disparity))

# What has disparity d moves by -d pixels when the camera moves by one view to the right. Not in
# every array is the next column to the right, nor exactly one view away.
way = opened.offset(v, u + 1)[1] - opened.offset(v, u)[1]
rows, columns = np.mgrid[: disparity.shape[0], : disparity.shape[1]]
moved = sampled(opened.view(v, u + 1), rows, columns - way * disparity)
for name, image in (("moved by the disparity", moved), ("as it is", opened.view(v, u + 1))):
    difference = np.abs(image - opened.view(v, u).astype(float)).mean()
    print(f"the next view, {name}, differs by {difference:.2f} levels")
