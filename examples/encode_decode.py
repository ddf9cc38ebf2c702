#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Encode a light field made by code, decode it, and tell size and quality.

Usage: python examples/encode_decode.py
"""

from __future__ import annotations

import numpy as np
from sample import sample_light_field

import sanrcodec
from sanrcodec.metrics import light_field_psnr_yuv

light_field = sample_light_field()
result = sanrcodec.encode(light_field, preset="fast", steps=150, lmbda=4)
result.save("sample.sanr")
print(result)

opened = sanrcodec.open("sample.sanr")
quality = light_field_psnr_yuv(light_field.views(), opened.views())
print(f"{opened}: PSNR-YUV {quality.mean:.2f} dB, worst view {quality.minimum:.2f} dB")

# Between the views, too, and any part of one.
between = opened.view(1.5, 2.25, region=np.s_[0:32, 0:48])
print(f"a view between others: {between.shape}, mean {between.mean():.1f}")
