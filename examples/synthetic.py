#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Render a textured light field with depth edges and occlusion, by code alone.

Usage: python examples/synthetic.py lf.png --grid 9x9 --size 128x128

A slanted background and several layers, each with its own disparity, are composited from back to
front. Textures are functions of continuous coordinates, so that sub-pixel shifts are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Texture = Callable[[Field, Field], Field]  # coordinates y, x in pixels -> RGB [..., 3] in 0..1


class Layer(NamedTuple):
    """One object: an ellipse or a regular polygon with soft edges.

    Attributes:
        disparity: Shift in pixels from a view to its neighbor, larger is nearer.
        center: ``(y, x)`` in pixels of the center view.
        radii: Half axes ``(y, x)`` in pixels.
        angle: Rotation in radians.
        n_corners: Corners of a polygon, 0 for an ellipse.
        texture: Maps coordinates ``y, x`` in pixels to RGB ``[..., 3]`` in 0..1.
    """

    disparity: float
    center: tuple[float, float]
    radii: tuple[float, float]
    angle: float
    n_corners: int
    texture: Texture

    def coverage(self, y: Field, x: Field) -> Field:
        """Opacity in 0..1 with an edge about one pixel wide."""
        dy, dx = y - self.center[0], x - self.center[1]
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        p, q = (cos * dy + sin * dx) / self.radii[0], (cos * dx - sin * dy) / self.radii[1]
        distance = np.hypot(p, q)
        if self.n_corners:
            sector = 2 * np.pi / self.n_corners
            within = np.mod(np.arctan2(q, p), sector) - sector / 2
            distance = distance * np.cos(within) / np.cos(sector / 2)
        return np.clip((1 - distance) * min(self.radii) + 0.5, 0, 1)


def procedural_texture(rng: np.random.Generator, scale: float) -> Texture:
    """Make a texture of two colors: octaves of smooth value noise, and stripes that they bend.

    Args:
        rng: Source of the lattice values, colors and stripes.
        scale: Size in pixels of the coarsest structure; the finest is 2 pixels or more.
    """
    n_octaves = int(np.clip(np.log2(scale / 2) + 1, 1, 5))
    lattices = rng.random((n_octaves, 64, 64), dtype=np.float32) - np.float32(0.5)
    dark, bright = rng.uniform(0, 0.35, 3), rng.uniform(0.6, 1, 3)
    dark, step = dark.astype(np.float32), (bright - dark).astype(np.float32)
    direction = rng.uniform(0, np.pi)
    wave = np.float32(2 * np.pi / max(5.0, 0.7 * scale))
    along_y, along_x = (wave * np.float32(f(direction)) for f in (np.sin, np.cos))

    def texture(y: Field, x: Field) -> Field:
        noise = np.zeros_like(y)
        for octave, lattice in enumerate(lattices):
            zoom = np.float32(2**octave / scale)
            noise += np.float32(0.7**octave) * _value_noise(lattice, y * zoom, x * zoom)
        stripes = np.sin(along_y * y + along_x * x + 4 * noise)
        blend = np.clip(0.5 + 0.45 * noise + 0.15 * stripes, 0, 1)
        return dark + blend[..., None] * step

    return texture


def render(
    grid: tuple[int, int] = (9, 9),
    size: tuple[int, int] = (128, 128),
    seed: int = 0,
    disparity: tuple[float, float] = (-1.5, 2.0),
    make_texture: Callable[[np.random.Generator, float], Texture] = procedural_texture,
) -> npt.NDArray[np.uint8]:
    """Render a light field.

    Args:
        grid: Number of views ``(V, U)``.
        size: Size ``(H, W)`` of a view in pixels.
        seed: Chooses the scene.
        disparity: Of the farthest and of the nearest layer, in pixels from view to view. The
            background lies at the far end and tilts toward the viewer from left to right.
        make_texture: Makes the texture of each object, from a source of random numbers and the size
            in pixels of its coarsest structure.

    Returns:
        uint8 array ``[V, U, H, W, 3]``.
    """
    rng = np.random.default_rng(seed)
    far, near = disparity
    (n_v, n_u), (height, width) = grid, size
    background = make_texture(rng, max(6.0, min(size) / 4))
    slant = 0.35 * (near - far) / width
    layers = [_layer(rng, size, d, make_texture) for d in _disparities(far, near)]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    samples = np.empty((n_v, n_u, height, width, 3), np.uint8)
    for v, u in np.ndindex(n_v, n_u):
        dv, du = np.float32(v - (n_v - 1) / 2), np.float32(u - (n_u - 1) / 2)
        # A scene point x of the plane with disparity d(x) = far + slant * x appears at x + du * d.
        x = (columns - du * np.float32(far)) / (1 + du * np.float32(slant))
        depth = np.float32(far) + np.float32(slant) * x
        image = background(rows - dv * depth, x)
        for layer in layers:
            shift = np.float32(layer.disparity)
            y, x = rows - dv * shift, columns - du * shift
            coverage = layer.coverage(y, x)
            seen = coverage > 0
            if seen.any():
                color = layer.texture(y[seen], x[seen])
                image[seen] += coverage[seen][:, None] * (color - image[seen])
        samples[v, u] = np.rint(255 * np.clip(image, 0, 1))
    return samples


def true_disparity(
    size: tuple[int, int] = (128, 128),
    seed: int = 0,
    disparity: tuple[float, float] = (-1.5, 2.0),
) -> Field:
    """Disparity of the middle view of what :func:`render` makes of the same arguments.

    Returns:
        float32 ``[H, W]``, pixels from view to view; of what covers more than half of a pixel.
    """
    far, near = disparity
    rng = np.random.default_rng(seed)
    procedural_texture(
        rng, max(6.0, min(size) / 4)
    )  # as the background, for the same random numbers
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    seen = np.float32(far) + np.float32(0.35 * (near - far) / size[1]) * columns
    for d in _disparities(far, near):
        layer = _layer(rng, size, d, procedural_texture)
        seen[layer.coverage(rows, columns) > 0.5] = d
    return seen


def _disparities(far: float, near: float) -> list[float]:
    """Of the layers, from back to front."""
    disparities: list[float] = np.linspace(far + 0.4 * (near - far), near, 6).tolist()
    return disparities


def _layer(
    rng: np.random.Generator,
    size: tuple[int, int],
    disparity: float,
    make_texture: Callable[[np.random.Generator, float], Texture],
) -> Layer:
    """Draw one object of random place, shape and texture."""
    extent = min(size)
    return Layer(
        disparity=float(disparity),
        center=(rng.uniform(0.15, 0.85) * size[0], rng.uniform(0.15, 0.85) * size[1]),
        radii=(rng.uniform(0.1, 0.24) * extent, rng.uniform(0.1, 0.24) * extent),
        angle=rng.uniform(0, np.pi),
        n_corners=int(rng.choice([0, 3, 4, 5])),
        texture=make_texture(rng, max(4.0, extent / 8)),
    )


def _value_noise(lattice: Field, y: Field, x: Field) -> Field:
    """Interpolate a periodic square lattice smoothly at continuous coordinates."""
    y0, x0 = np.floor(y), np.floor(x)
    fy, fx = y - y0, x - x0
    fy, fx = fy * fy * (3 - 2 * fy), fx * fx * (3 - 2 * fx)
    n = len(lattice)
    i, j = y0.astype(np.intp) % n, x0.astype(np.intp) % n
    below, right = (i + 1) % n, (j + 1) % n
    top = lattice[i, j] + fx * (lattice[i, right] - lattice[i, j])
    bottom = lattice[below, j] + fx * (lattice[below, right] - lattice[below, j])
    return top + fy * (bottom - top)


@click.command()
@click.argument("output", type=click.Path(dir_okay=False))
@click.option("--grid", default="9x9", show_default=True, help="Number of views, VxU.")
@click.option("--size", default="128x128", show_default=True, help="Pixels of a view, HxW.")
@click.option("--seed", default=0, show_default=True, help="Chooses the scene.")
@click.option("--disparity", help="Also write the true disparity of the middle view, as .pfm.")
def main(output: str, grid: str, size: str, seed: int, disparity: str | None) -> None:
    """Write a synthetic light field as mosaic PNG to OUTPUT."""
    from sanrcodec.errors import SanrError
    from sanrcodec.io import write_mosaic
    from sanrcodec.io.float_map import write_float_map
    from sanrcodec.lightfield import parse_grid

    try:
        n_v, n_u = parse_grid(grid)
        height, width = (int(part) for part in size.lower().split("x"))
        if min(height, width) < 1:
            raise ValueError("no pixels")
        write_mosaic(output, render((n_v, n_u), (height, width), seed), (n_v, n_u))
        if disparity is not None:
            write_float_map(disparity, true_disparity((height, width), seed))
    except SanrError as error:
        raise click.ClickException(str(error)) from None
    except ValueError:
        raise click.UsageError(f"size {size!r} has the wrong form, expected HxW") from None


if __name__ == "__main__":
    main()
