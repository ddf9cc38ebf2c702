#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Residuals of single views for a file that has none, without another fit (extra `encoder`).

Usage: python benchmarks/add_residuals.py FILE LIGHTFIELD --lmbda LMBDA -o OUT

Prints, before and after, the bytes, the PSNR-YUV of mean and worst view, J = D + lmbda * R, and how
many blocks of 16 x 16 pixels are more than 12 dB below their view.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from sanrcodec.compare import BLOCK_SIZE, compare_views
from sanrcodec.decoder import SanrFile
from sanrcodec.encoder.exposure import measure_exposure
from sanrcodec.encoder.quality import measure_quality
from sanrcodec.encoder.settle import Written
from sanrcodec.encoder.supplement import hidden_pixels, supplemented
from sanrcodec.errors import SanrError
from sanrcodec.io import read_light_field
from sanrcodec.lightfield import LightField

_FALLEN_DB = 12.0


def figures(light_field: LightField, opened: SanrFile, lmbda: float) -> str:
    """One line about a file.

    Args:
        light_field: The original, of three channels or one.
        opened: The file.
        lmbda: Weight of the rate.
    """
    found = compare_views(
        light_field.views(), opened.views(), light_field.grid, light_field.bit_depth
    )
    rows, columns = (n // BLOCK_SIZE for n in light_field.shape[2:4])
    whole = found.blocks[..., :rows, :columns]  # without those that are moved to lie inside
    n_fallen = int((whole < found.views[..., None, None] - _FALLEN_DB).sum())
    distortion = 255.0**2 * np.mean(10.0 ** (-found.views / 10))
    rate = 8 * opened.n_bytes / (light_field.shape[2] * light_field.shape[3])
    return (
        f"{opened.n_bytes} bytes, PSNR-YUV {found.psnr_yuv:.3f} dB "
        f"(worst {found.psnr_yuv_min:.2f}), "
        f"J {distortion + lmbda * rate:.4f}, fallen blocks {n_fallen}"
    )


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("light_field", type=click.Path(exists=True, path_type=Path))
@click.option("--lmbda", type=float, required=True, help="Weight of the rate.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True)
def main(file: Path, light_field: Path, lmbda: float, output: Path) -> None:
    """Add residuals to FILE, which codes LIGHT_FIELD."""
    try:
        original, opened = read_light_field(light_field), SanrFile(file)
        quality = measure_quality(original.views(), opened.views(), original.bit_depth)
        written = Written(opened.content, opened.n_bytes, opened, quality)
        hidden = hidden_pixels(original, {}, measure_exposure(original))
        found = supplemented(written, original, lmbda, hidden=hidden)
    except SanrError as error:
        raise click.ClickException(str(error)) from None
    print(f"before: {figures(original, opened, lmbda)}")
    print(f"after:  {figures(original, found.decoded, lmbda)}")
    output.write_bytes(found.content)


if __name__ == "__main__":
    main()
