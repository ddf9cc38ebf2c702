# SPDX-License-Identifier: MIT
"""What a device runs for :mod:`sanrcodec.encoder.kernels.warp`, in Triton's language.

Each thread has some pixels of one view. Must not call torch.
"""

from __future__ import annotations

import triton
import triton.language as tl

from sanrcodec.encoder.kernels.device.sums import add_row

__all__ = ["backward", "forward", "search"]


@triton.jit
def _base(pose, places, view_width, top, left):
    """Where pixels of a view would see the canvas without parallax."""
    y = (places // view_width).to(tl.float32) + top
    x = (places % view_width).to(tl.float32) + left
    return y + tl.load(pose + 2), x + tl.load(pose + 3)


@triton.jit
def _pixel(q_y, q_x, height, width):
    """The canvas pixel that is nearest to a position."""
    row = tl.clamp(tl.floor(q_y + 0.5), 0.0, (height - 1).to(tl.float32)).to(tl.int32)
    column = tl.clamp(tl.floor(q_x + 0.5), 0.0, (width - 1).to(tl.float32)).to(tl.int32)
    return row * width + column


@triton.jit(
    do_not_specialize=["n_blocks", "n_views", "view_height", "view_width", "height", "width"]
)
def search(
    disparities, nearest, poses, pixels, n_blocks, n_views, view_height, view_width, height, width,
    top, left, n_layers: tl.constexpr, n_lookups: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Which canvas pixel of a layer each pixel of a view sees: ``[n_layers, n_views, pixels]``."""
    n_pixels = view_height * view_width
    for t in range(tl.program_id(0), n_blocks, tl.num_programs(0)):
        # Views of the same pixels follow each other, as they see the same of the canvas.
        layer, view = t % n_layers, t // n_layers % n_views
        places = (t // (n_layers * n_views)) * BLOCK + tl.arange(0, BLOCK)
        pose = poses + 6 * view
        angle_y, angle_x = tl.load(pose), tl.load(pose + 1)
        base_y, base_x = _base(pose, places, view_width, top, left)
        plane = layer * height * width
        pixel = _pixel(base_y, base_x, height, width)
        d = tl.load(nearest + plane + pixel)
        for _ in tl.static_range(n_lookups):
            pixel = _pixel(base_y - angle_y * d, base_x - angle_x * d, height, width)
            d = tl.load(disparities + plane + pixel)
        pixel = _pixel(base_y - angle_y * d, base_x - angle_x * d, height, width)
        at = pixels + (layer * n_views + view).to(tl.int64) * n_pixels + places
        tl.store(at, pixel, mask=places < n_pixels)


@triton.jit
def _position(disparity, pixel, base_y, base_x, angle_y, angle_x, height, width):
    """Upper left one of the four samples around a position, and how near the others are.

    Then the disparity that leads there, and along which axes the position is free to move:
    not beyond the border.
    """
    d = tl.load(disparity + pixel)
    q_y = base_y - angle_y * d
    q_x = base_x - angle_x * d
    last_y, last_x = (height - 1).to(tl.float32), (width - 1).to(tl.float32)
    y = 2 * tl.clamp(q_y, 0.0, last_y)
    x = 2 * tl.clamp(q_x, 0.0, last_x)
    row, column = tl.floor(y), tl.floor(x)
    at = row.to(tl.int32) * (2 * width) + column.to(tl.int32)
    free_y, free_x = (q_y > 0) & (q_y <= last_y), (q_x > 0) & (q_x <= last_x)
    return at, y - row, x - column, d, free_y, free_x


@triton.jit
def _sample(plane, at, f_y, f_x, stride, mask):
    """A bilinear sample, and its derivatives along y and x."""
    a = tl.load(plane + at, mask=mask, other=0.0)
    b = tl.load(plane + at + 1, mask=mask, other=0.0)
    c = tl.load(plane + at + stride, mask=mask, other=0.0)
    d = tl.load(plane + at + stride + 1, mask=mask, other=0.0)
    # Of smooth textures, differences lose the fewest digits where they come first.
    by_y = (c - a) + f_x * ((d - b) - (c - a))
    by_x = (b - a) + f_y * ((d - c) - (b - a))
    return a + f_x * (b - a) + f_y * by_y, by_y, by_x


@triton.jit
def _add_sample(plane, at, f_y, f_x, stride, g, mask):
    """The gradient of :func:`_sample` by what is sampled."""
    lower = f_y * g
    upper = g - lower
    below = plane + at + stride
    tl.atomic_add(plane + at, upper - f_x * upper, mask=mask, sem="relaxed")
    tl.atomic_add(plane + at + 1, f_x * upper, mask=mask, sem="relaxed")
    tl.atomic_add(below, lower - f_x * lower, mask=mask, sem="relaxed")
    tl.atomic_add(below + 1, f_x * lower, mask=mask, sem="relaxed")


@triton.jit
def _layers(
    textures, disparities, pixels, pose, view, places, is_pixel, n_views, n_pixels, view_width,
    height, width, top, left,
    n_layers: tl.constexpr, n_channels: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Of each layer: position, how far the other samples are, and its share of what is seen."""
    angle_y, angle_x = tl.load(pose), tl.load(pose + 1)
    base_y, base_x = _base(pose, places, view_width, top, left)
    n_samples = (4 * height).to(tl.int64) * width
    ats = ()
    below = ()
    beside = ()
    weights = ()
    passed = tl.full((BLOCK,), 1.0, tl.float32)  # by the layers in front
    for i in tl.static_range(n_layers):
        own = pixels + (i * n_views + view).to(tl.int64) * n_pixels + places
        at, f_y, f_x, _, _, _ = _position(
            disparities + i * height * width, tl.load(own, mask=is_pixel, other=0),
            base_y, base_x, angle_y, angle_x, height, width,
        )  # fmt: skip
        weight = passed
        if i < n_layers - 1:
            plane = textures + ((i + 1) * n_channels - 1) * n_samples
            visibility, _, _ = _sample(plane, at, f_y, f_x, 2 * width, is_pixel)
            weight = passed * tl.clamp(visibility, 0.0, 1.0)
            passed -= weight
        ats = ats + (at,)
        below = below + (f_y,)
        beside = beside + (f_x,)
        weights = weights + (weight,)
    return ats, below, beside, weights


@triton.jit(
    do_not_specialize=[
        "n_blocks", "n_views", "view_height", "view_width", "height", "width", "n_features",
        "n_colors",
    ]
)  # fmt: skip
def forward(
    textures, slopes, disparities, pixels, poses, features,
    n_blocks, n_views, view_height, view_width, height, width, n_features, n_colors, top, left,
    n_layers: tl.constexpr, n_channels: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The layers front to back, ``[n_views, n_features, pixels]`` at ``features``."""
    n_pixels = view_height * view_width
    stride = 2 * width
    n_samples = (2 * height).to(tl.int64) * stride
    for t in range(tl.program_id(0), n_blocks, tl.num_programs(0)):
        view = t % n_views
        places = (t // n_views) * BLOCK + tl.arange(0, BLOCK)
        is_pixel = places < n_pixels
        pose = poses + 6 * view
        ats, below, beside, weights = _layers(
            textures, disparities, pixels, pose, view, places, is_pixel, n_views, n_pixels,
            view_width, height, width, top, left, n_layers, n_channels, BLOCK,
        )  # fmt: skip
        own = features + view.to(tl.int64) * n_features * n_pixels + places
        for c in range(n_features):
            shown = tl.zeros((BLOCK,), tl.float32)
            for i in tl.static_range(n_layers):
                plane = textures + (i * n_channels + c) * n_samples
                is_seen = is_pixel & (weights[i] > 0)
                near, _, _ = _sample(plane, ats[i], below[i], beside[i], stride, is_seen)
                shown += weights[i] * near
            if c < n_colors:
                of_y = slopes + c * n_samples
                of_x = of_y + n_colors * n_samples
                slope_y, _, _ = _sample(of_y, ats[0], below[0], beside[0], stride, is_pixel)
                slope_x, _, _ = _sample(of_x, ats[0], below[0], beside[0], stride, is_pixel)
                change = tl.load(pose + 4) * slope_y + tl.load(pose + 5) * slope_x
                shown += weights[0] * change
            tl.store(own + c * n_pixels.to(tl.int64), shown, mask=is_pixel)


@triton.jit(
    do_not_specialize=[
        "n_blocks", "n_views", "view_height", "view_width", "height", "width", "n_features",
        "n_colors", "n_copies",
    ]
)  # fmt: skip
def backward(
    textures, slopes, disparities, pixels, poses, gradient, g_textures, g_slopes, g_disparities,
    sums, n_blocks, n_views, view_height, view_width, height, width, n_features, n_colors,
    n_copies, top, left,
    n_layers: tl.constexpr, n_channels: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Gradients of textures, slopes and disparities added up; of poses in ``sums``."""
    n_pixels = view_height * view_width
    stride = 2 * width
    n_samples = (2 * height).to(tl.int64) * stride
    zero = tl.zeros((BLOCK,), tl.float32)
    for t in range(tl.program_id(0), n_blocks, tl.num_programs(0)):
        view = t % n_views
        places = (t // n_views) * BLOCK + tl.arange(0, BLOCK)
        is_pixel = places < n_pixels
        pose = poses + 6 * view
        ats, below, beside, weights = _layers(
            textures, disparities, pixels, pose, view, places, is_pixel, n_views, n_pixels,
            view_width, height, width, top, left, n_layers, n_channels, BLOCK,
        )  # fmt: skip
        # Of each layer: its product with the gradient, and how that changes along y and x.
        here = ()
        by_y = ()
        by_x = ()
        for _ in tl.static_range(n_layers):
            here = here + (zero,)
            by_y = by_y + (zero,)
            by_x = by_x + (zero,)
        start = gradient + view.to(tl.int64) * n_features * n_pixels + places
        for c in range(n_features):
            g = tl.load(start + c * n_pixels.to(tl.int64), mask=is_pixel, other=0.0)
            more_here = ()
            more_y = ()
            more_x = ()
            for i in tl.static_range(n_layers):
                plane = (i * n_channels + c) * n_samples
                near, dy, dx = _sample(
                    textures + plane, ats[i], below[i], beside[i], stride, is_pixel
                )
                more_here = more_here + (here[i] + g * near,)
                more_y = more_y + (by_y[i] + g * dy,)
                more_x = more_x + (by_x[i] + g * dx,)
                # Most of what is behind the front layer is hidden by it.
                is_seen = is_pixel & (weights[i] > 0)
                _add_sample(
                    g_textures + plane, ats[i], below[i], beside[i], stride, weights[i] * g, is_seen
                )
            here = more_here
            by_y = more_y
            by_x = more_x
        # What slopes add to the front layer.
        place_y, place_x = tl.load(pose + 4), tl.load(pose + 5)
        changed = zero
        changed_y = zero
        changed_x = zero
        of_place_y = zero
        of_place_x = zero
        for c in range(n_colors):
            g = tl.load(start + c * n_pixels.to(tl.int64), mask=is_pixel, other=0.0)
            plane_y = c * n_samples
            plane_x = (n_colors + c) * n_samples
            at, f_y, f_x = ats[0], below[0], beside[0]
            slope_y, y_dy, y_dx = _sample(slopes + plane_y, at, f_y, f_x, stride, is_pixel)
            slope_x, x_dy, x_dx = _sample(slopes + plane_x, at, f_y, f_x, stride, is_pixel)
            changed += g * (place_y * slope_y + place_x * slope_x)
            changed_y += g * (place_y * y_dy + place_x * x_dy)
            changed_x += g * (place_y * y_dx + place_x * x_dx)
            g *= weights[0]
            of_place_y += g * slope_y
            of_place_x += g * slope_x
            is_seen = is_pixel & (weights[0] > 0)
            _add_sample(g_slopes + plane_y, at, f_y, f_x, stride, place_y * g, is_seen)
            _add_sample(g_slopes + plane_x, at, f_y, f_x, stride, place_x * g, is_seen)
        angle_y, angle_x = tl.load(pose), tl.load(pose + 1)
        base_y, base_x = _base(pose, places, view_width, top, left)
        of_angle_y = zero
        of_angle_x = zero
        of_shift_y = zero
        of_shift_x = zero
        behind = zero  # product of the gradient and what is behind a layer
        for i in tl.static_range(n_layers - 1, -1, -1):
            own = pixels + (i * n_views + view).to(tl.int64) * n_pixels + places
            pixel = tl.load(own, mask=is_pixel, other=0)
            disparity = i * height * width + pixel
            _, _, _, d, free_y, free_x = _position(
                disparities + i * height * width, pixel, base_y, base_x, angle_y, angle_x,
                height, width,
            )  # fmt: skip
            product, move_y, move_x = here[i], by_y[i], by_x[i]
            if i == 0:
                product += changed
                move_y += changed_y
                move_x += changed_x
            move_y *= weights[i]
            move_x *= weights[i]
            if i < n_layers - 1:
                # What the layers in front let through, and the share of it that this one takes.
                passed = tl.full((BLOCK,), 1.0, tl.float32)
                for k in tl.static_range(i):
                    passed -= weights[k]
                plane = ((i + 1) * n_channels - 1) * n_samples
                visibility, dy, dx = _sample(
                    textures + plane, ats[i], below[i], beside[i], stride, is_pixel
                )
                clamped = tl.clamp(visibility, 0.0, 1.0)
                g_v = tl.where(visibility == clamped, passed * (product - behind), 0.0)
                move_y += g_v * dy
                move_x += g_v * dx
                behind += clamped * (product - behind)
                is_near = is_pixel & (g_v != 0)
                _add_sample(g_textures + plane, ats[i], below[i], beside[i], stride, g_v, is_near)
            else:
                behind = product
            move_y = tl.where(free_y, 2 * move_y, 0.0)
            move_x = tl.where(free_x, 2 * move_x, 0.0)
            g_d = -(move_y * angle_y + move_x * angle_x)
            tl.atomic_add(g_disparities + disparity, g_d, mask=is_pixel, sem="relaxed")
            of_angle_y -= move_y * d
            of_angle_x -= move_x * d
            of_shift_y += move_y
            of_shift_x += move_x
        row = of_angle_y, of_angle_x, of_shift_y, of_shift_x, of_place_y, of_place_x
        add_row(sums + ((tl.program_id(0) % n_copies) * n_views + view) * 8, row, 6, 8)
