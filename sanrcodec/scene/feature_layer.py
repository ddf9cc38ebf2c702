# SPDX-License-Identifier: MIT
"""Dense layers among features, which color filter and view network share, and rows of weights.

See format_spec.md section 7.1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sanrcodec.arithmetic.dense import Dense, LayerFormat
from sanrcodec.arithmetic.ops import Ops
from sanrcodec.bitstream.tensors import Weights
from sanrcodec.scene.formats import FEATURE_BITS, FEATURE_MAX

__all__ = ["FEATURE_LAYER", "WeightRows", "feature_layer"]

FEATURE_LAYER = LayerFormat(FEATURE_BITS, FEATURE_BITS, FEATURE_MAX, -FEATURE_MAX, FEATURE_MAX)


class WeightRows(NamedTuple):
    """Tensors whose rows are weights of the same sums.

    Attributes:
        weights: Names of tensors ``[n_out, ...]``, side by side.
        bias: Name of the tensor ``[n_out]``, or None.
        form: Number formats of the layer.
    """

    weights: tuple[str, ...]
    bias: str | None
    form: LayerFormat

    def of(self, weights: Weights) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Weights ``[n_out, n_in]`` and bias ``[n_out]`` of a file."""
        parts = [weights[name].reshape(len(weights[name]), -1) for name in self.weights]
        weight = np.concatenate(parts, axis=1)
        return weight, weights[self.bias] if self.bias else np.zeros(len(weight), np.int32)


def feature_layer(
    weight: npt.NDArray[np.int32], bias: npt.NDArray[np.int32], name: str, ops: Ops
) -> Dense:
    """A dense layer from features to values of their precision."""
    return Dense(weight, bias, FEATURE_LAYER, name=name, ops=ops)
