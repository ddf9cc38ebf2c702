# SPDX-License-Identifier: MIT
"""The methods of an opened file for all but its views; the work is done by the other modules."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple, SupportsFloat

import numpy as np
import numpy.typing as npt

from sanrcodec.array_interface import ViewArray
from sanrcodec.errors import LightFieldError
from sanrcodec.rendering import pictures, refocus
from sanrcodec.rendering.source import Progress
from sanrcodec.scene.formats import ANGULAR_BITS, FEATURE_BITS, POSITION_BITS
from sanrcodec.scene.scene import Scene
from sanrcodec.scene.warp import DISPARITY_BITS

__all__ = ["LayerDisparities", "Renderings"]


class LayerDisparities(NamedTuple):
    """What the pixels of a view see in each layer, front to back.

    Attributes:
        disparity: float32 ``[L, H, W]``, pixels per view.
        share: float32 ``[L, H, W]``, how much of the pixel is of that layer; they sum to 1.
    """

    disparity: npt.NDArray[np.float32]
    share: npt.NDArray[np.float32]


class Renderings(ViewArray):
    """Geometry of a file, and pictures made of several of its views."""

    name: str

    @property
    @abstractmethod
    def bit_depth(self) -> int:
        """Bits per sample."""

    @abstractmethod
    def scene_at(self, scale: float | Fraction | str) -> Scene:
        """The canonical scene for views of a scale."""

    @abstractmethod
    def position(self, v: SupportsFloat, u: SupportsFloat) -> tuple[float, float]:
        """The place of a view as two numbers; refuses one outside the grid."""

    @abstractmethod
    def view(
        self,
        v: SupportsFloat,
        u: SupportsFloat,
        *,
        region: tuple[int, int, int, int] | tuple[slice, slice] | None = None,
        scale: float | Fraction | str = 1,
    ) -> npt.NDArray[Any]:
        """Decode one view."""

    def offset(self, v: SupportsFloat, u: SupportsFloat) -> tuple[float, float, float, float]:
        """How a view stands to the middle of the grid.

        What the canvas has at ``(y, x)`` with disparity ``d`` is in the view at
        ``(y + dy - a_v * d, x + dx - a_u * d)``.

        Args:
            v: Row of the view, integer or fractional.
            u: Column of the view, likewise.

        Returns:
            ``(a_v, a_u, dy, dx)``: distance in views, as the camera moves down and to the right,
            corrections of single views included; and the shift of the image in pixels.
        """
        v, u = self.position(v, u)
        pose = self.scene_at(1).poses(v, u)
        a_v, a_u = (a / (1 << ANGULAR_BITS) for a in pose.angular)
        dy, dx = (-s / (1 << POSITION_BITS) for s in pose.shift)
        return a_v, a_u, dy, dx

    def layer_disparities(
        self, v: SupportsFloat, u: SupportsFloat, *, scale: float | Fraction | str = 1
    ) -> LayerDisparities:
        """Disparity of every layer in a view, and what the layers share of its pixels.

        Args:
            v: Row of the view, integer or fractional.
            u: Column of the view, likewise.
            scale: 1, 1/2, 1/4 or 1/8, as for :meth:`view`. Disparities stay in pixels of the whole.

        Raises:
            LightFieldError: the file has no geometry, or the view is outside the light field.
        """
        v, u = self.position(v, u)
        scene = self.scene_at(scale)
        found = scene.depths(v, u)
        if found is None:
            raise LightFieldError(
                f"{self.name}: this file has no geometry (profile sanr), so no disparity either"
            )
        # In the file the nearest has the smallest disparity.
        disparity = scene.ops.to_numpy(found[0]).astype(np.float32) * np.float32(
            -(2.0**-DISPARITY_BITS)
        )
        visibility = scene.ops.to_numpy(found[1]) * np.float32(2.0**-FEATURE_BITS)
        share, rest = [], np.ones(disparity.shape[1:], np.float32)
        for front in visibility:
            share.append(rest * front)
            rest = rest * (1 - front)
        return LayerDisparities(disparity, np.stack([*share, rest]))

    def disparity(
        self, v: SupportsFloat, u: SupportsFloat, *, scale: float | Fraction | str = 1
    ) -> npt.NDArray[np.float32]:
        """Disparity of a view: how many pixels its content moves from one view to the next.

        The sign is that of the HCI 4D light field benchmark (Honauer et al., ACCV 2016): the
        higher, the nearer; what has disparity ``d`` moves by ``-d`` pixels when the camera moves
        by one view to the right, or down.

        Args:
            v: Row of the view, integer or fractional.
            u: Column of the view, likewise.
            scale: 1, 1/2, 1/4 or 1/8, as for :meth:`view`. Disparities stay in pixels of the whole.

        Returns:
            float32 ``[H, W]``, of the layer of which a pixel shows most.

        Raises:
            LightFieldError: the file has no geometry, or the view is outside the light field.
        """
        layers = self.layer_disparities(v, u, scale=scale)
        most = layers.share.argmax(0)[None]
        seen: npt.NDArray[np.float32] = np.take_along_axis(layers.disparity, most, 0)[0]
        return seen

    def refocus(
        self,
        disparity: float,
        *,
        aperture: float | None = None,
        shape: str = "disk",
        center: tuple[float, float] | None = None,
        progress: Progress | None = None,
    ) -> npt.NDArray[Any]:
        """The scene through a large lens; see :func:`sanrcodec.rendering.refocus.refocus`."""
        return refocus.refocus(
            self, disparity, aperture=aperture, shape=shape, center=center, progress=progress
        )

    def focal_stack(self, n: int, **options: Any) -> Iterator[npt.NDArray[Any]]:
        """Images focused from far to near; see :func:`sanrcodec.rendering.refocus.focal_stack`."""
        return refocus.focal_stack(self, n, **options)

    def all_in_focus(self, **options: Any) -> npt.NDArray[Any]:
        """A sharp view of less noise; see :func:`sanrcodec.rendering.refocus.all_in_focus`."""
        return refocus.all_in_focus(self, **options)

    def epi(self, **options: Any) -> npt.NDArray[Any]:
        """An epipolar-plane image; see :func:`sanrcodec.rendering.pictures.epi`."""
        return pictures.epi(self, **options)
