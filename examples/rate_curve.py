#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rate curve: the same light field at several weights of the rate.

Usage: python examples/rate_curve.py
"""

from __future__ import annotations

from sample import sample_light_field

import sanrcodec

light_field = sample_light_field()
print("lmbda   bytes      bpp  PSNR-YUV")
for lmbda in (2, 8, 30, 100):
    result = sanrcodec.encode(light_field, preset="fast", steps=240, lmbda=lmbda)
    print(f"{lmbda:5} {len(result.content):7} {result.bpp:8.5f} {result.psnr_yuv:6.2f} dB")
