# SPDX-License-Identifier: MIT
"""Metrics against values derived by hand or by independent implementations."""

from __future__ import annotations

import numpy as np
import pytest

from sanrcodec.errors import LightFieldError
from sanrcodec.metrics import PSNR_CAP, bpp, light_field_psnr_yuv, psnr_yuv, ssim


def views(n=2, channels=3, seed=0, shape=(24, 20)):
    return np.random.default_rng(seed).integers(5, 250, (n, *shape, channels)).astype(np.uint8)


def test_gray_error_of_rgb_is_only_in_luma():
    reference = views(1)[0]
    luma = 10 * np.log10(255**2 / 4)
    assert psnr_yuv(reference, reference + 2) == pytest.approx((6 * luma + 2 * PSNR_CAP) / 8)


def test_blue_error_by_hand():
    reference = views(1)[0]
    decoded = reference.copy()
    decoded[..., 2] += 4
    y = 0.0722 * 4
    errors = [y, (4 - y) / 1.8556, -y / 1.5748]
    planes = [10 * np.log10(255**2 / error**2) for error in errors]
    expected = (6 * planes[0] + planes[1] + planes[2]) / 8
    assert psnr_yuv(reference, decoded) == pytest.approx(expected)


def test_gray_and_deep_views():
    reference = views(1, channels=1)[0].astype(np.uint16)
    expected = 10 * np.log10(1023**2 / 9)
    assert psnr_yuv(reference, reference + 3, 10) == pytest.approx(expected)
    assert psnr_yuv(reference, reference, 10) == PSNR_CAP


def test_light_field_is_streamed():
    reference = views(3)
    decoded = reference + np.array([1, 2, 3], np.uint8)[:, None, None, None]
    each = [psnr_yuv(r, d) for r, d in zip(reference, decoded, strict=True)]
    result = light_field_psnr_yuv(iter(reference), iter(decoded))
    assert result.mean == pytest.approx(np.mean(each))
    assert result.minimum == each[2]
    with pytest.raises(LightFieldError, match="differ: the first light field has more than 2"):
        light_field_psnr_yuv(reference, decoded[:2])
    with pytest.raises(LightFieldError, match="differ: the second light field has more than 1"):
        light_field_psnr_yuv(iter(reference[:1]), iter(decoded))
    with pytest.raises(LightFieldError, match="no views"):
        light_field_psnr_yuv([], [])


def test_unlike_views_are_refused():
    with pytest.raises(LightFieldError, match="cannot compare"):
        psnr_yuv(views(1)[0], views(1, 1)[0])
    with pytest.raises(LightFieldError, match="cannot compare"):
        psnr_yuv(views(1)[0], views(1)[0].astype(np.uint16))


def test_bpp():
    assert bpp(100, (2, 5, 4, 10, 3)) == 2.0


def test_ssim():
    reference = views(1)[0]
    assert ssim(reference, reference) == pytest.approx(1)
    noisy = reference // 2
    assert 0 < ssim(reference, noisy) < 0.9
    # Constant views: only the luminance term is left.
    first, second = np.full((2, 11, 11, 1), 0, np.uint8)
    second = second + np.uint8(10)
    assert ssim(first, second) == pytest.approx(6.5025 / (100 + 6.5025))
    with pytest.raises(LightFieldError, match="a view has 10 x 20 pixels, SSIM needs at least 11"):
        ssim(reference[:10], reference[:10])
