# SPDX-License-Identifier: MIT
"""Dense layers among features, which color filter and view network share.

See format_spec.md section 7.1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sanrcodec.arithmetic.dense import Dense
from sanrcodec.arithmetic.ops import Ops
from sanrcodec.bitstream.tensors import WEIGHT_BITS
from sanrcodec.scene.formats import FEATURE_BITS, FEATURE_MAX

__all__ = ["feature_layer"]


def feature_layer(
    weight: npt.NDArray[np.int32], bias: npt.NDArray[np.int32], name: str, ops: Ops
) -> Dense:
    """A dense layer from features to values of their precision."""
    return Dense(
        weight, bias, weight_bits=WEIGHT_BITS, in_bits=FEATURE_BITS, out_bits=FEATURE_BITS,
        in_max=FEATURE_MAX, low=-FEATURE_MAX, high=FEATURE_MAX, name=name, ops=ops,
    )  # fmt: skip
