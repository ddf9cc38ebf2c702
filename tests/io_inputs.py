# SPDX-License-Identifier: MIT
"""Inputs that the tests of the readers make, and what they assert of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import load_example
from PIL import Image

from sanrcodec.errors import LightFieldError
from sanrcodec.io import read_light_field, write_view

SHAPES = [(2, 3, 5, 7, 3), (3, 2, 8, 6, 1), (1, 4, 3, 9, 3), (1, 1, 5, 4, 3), (2, 2, 1, 1, 1)]


def noise(shape, bit_depth=8, seed=0):
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    samples = np.random.default_rng(seed).integers(0, 2**bit_depth, shape).astype(dtype)
    samples.flat[0] = 2**bit_depth - 1  # so that all bits are needed
    return samples


def render(grid, size, **options):
    return load_example("synthetic").render(grid, size, **options)


def tile(samples):
    """Mosaic of views ``[V, U, H, W, C]``."""
    n_v, n_u, height, width, channels = samples.shape
    return samples.transpose(0, 2, 1, 3, 4).reshape(n_v * height, n_u * width, channels)


def interleave(samples):
    """Lenslet image of views ``[V, U, H, W, C]``."""
    n_v, n_u, height, width, channels = samples.shape
    return samples.transpose(2, 0, 3, 1, 4).reshape(height * n_v, width * n_u, channels)


def save(path, samples, **options):
    """Save 8-bit samples by pillow, as a user's tool would."""
    Image.fromarray(samples[..., 0] if samples.shape[-1] == 1 else samples).save(path, **options)


def save_views(folder, samples, name):
    """Write views, ``name`` with ``{v}``, ``{u}`` and the number ``{n}``; folders are made."""
    for number, (v, u) in enumerate(np.ndindex(*samples.shape[:2])):
        path = folder / name.format(v=v, u=u, n=number)
        path.parent.mkdir(exist_ok=True, parents=True)
        if path.suffix.lower() in (".png", ".ppm", ".pgm"):
            write_view(path, samples[v, u], 8 * samples.itemsize)
        else:
            save(path, samples[v, u])


def assert_reads(path, samples, expected_depth=8, **options):
    """The input reads as these samples; returns what was noted."""
    notes = []
    light_field = read_light_field(path, notes=notes.append, **options)
    assert light_field.samples.dtype == samples.dtype
    np.testing.assert_array_equal(light_field.samples, samples)
    assert light_field.bit_depth == expected_depth
    assert all("\n" not in note and Path(path).name in note for note in notes)
    return " | ".join(notes)


def refuses(message, path, **options):
    with pytest.raises(LightFieldError, match=message) as caught:
        read_light_field(path, **options)
    assert "\n" not in str(caught.value)
    assert Path(path).name in str(caught.value)
