# SPDX-License-Identifier: MIT
"""The swept disparity as a guide for the scene's geometry at the start of a fit.

Must not sweep or schedule.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sanrcodec.encoder.bands import Band, of_rows, within
from sanrcodec.encoder.images import block_means
from sanrcodec.encoder.scene import FloatScene
from sanrcodec.encoder.sweep import Geometry

__all__ = ["GeometryGuide"]


class GeometryGuide:
    """Squared distance of a scene's geometry from the swept one, on the canvas.

    Args:
        band: Rows of the scene, which has at least one layer.
        geometry: Disparities, on the device of the scene.
    """

    def __init__(self, band: Band, geometry: Geometry) -> None:
        self._band, header = band, band.header
        self.n_layers = n = header.layers
        fractions = [i / max(1, n - 1) for i in range(n)]
        distance = geometry.far - geometry.near
        planes = torch.stack([geometry.near + f * distance for f in fractions])
        margins = (header.margin_x, header.margin_x, header.margin_y, header.margin_y)
        canvas = torch.nn.functional.pad(planes[None], margins, mode="replicate")
        self.target = of_rows(block_means(canvas, 1 << band.level)[0], band.counted)

    def __call__(self, scene: FloatScene) -> Tensor:
        """Cost ``[]`` of a scene, as :meth:`~sanrcodec.encoder.model.SceneModel.scene` gives it.

        The front layers must be visible, besides being where the sweep found them. Of several
        ranks the mean of their costs is that of the whole scene.
        """
        texture, disparity = scene.textures, scene.disparities
        assert disparity is not None
        rows = within(self._band.counted, self._band.window)
        cost = (of_rows(disparity, rows) - self.target).square().mean()
        if self.n_layers > 1:
            visibility = of_rows(texture[: self.n_layers - 1, -1, ::2, ::2], rows)
            cost = cost + 0.5 * (visibility - 1).square().mean()
        return self._band.part_of_canvas(cost)
