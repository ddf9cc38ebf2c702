# SPDX-License-Identifier: MIT
"""The entropy networks: from the context of a latent to the distribution that codes it.

The autoregressive module (ARM) in integers. It is hierarchical like Cool-chic's (Ladune et al.,
ICCV 2023), but its contexts follow a dyadic lattice refinement instead of a raster scan, so that
many samples are predicted at once. Must not contain a float operation that rounds.
See format_spec.md section 6.2.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sanrcodec.arithmetic.dense import carrier_bits
from sanrcodec.arithmetic.ops import NUMPY
from sanrcodec.bitstream.grids import LATENT_MAX, N_CONTEXT, PassKind, grids
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.tables import N_SCALES
from sanrcodec.bitstream.tensors import WEIGHT_BITS, TensorSpec, Weights

__all__ = ["CONTEXT_MAX", "TENSOR_NAMES", "EntropyNetwork", "mac", "network_names", "tensors"]

# Of a network's tensors, in coding order: in a file "hidden" of network "texture" is named
# "arm.texture.hidden".
TENSOR_NAMES = ("hidden", "hidden_bias", "output", "shortcut", "pass_bias", "grid_bias")

CONTEXT_MAX = 127  # neighbors enter saturated to this
_IN_BITS = 3
_HIDDEN_BITS = 6
_HIDDEN_MAX = 4095
_LOCATION_MAX = 8 * LATENT_MAX
_HIDDEN_SHIFT = _IN_BITS + WEIGHT_BITS - _HIDDEN_BITS
_ALIGN = _HIDDEN_BITS - _IN_BITS  # what the shortcut's products lack to the outputs' fraction bits
# A location has 3 fraction bits, a scale 2.
_OUTPUT_SHIFTS = (_HIDDEN_BITS + WEIGHT_BITS - 3, _HIDDEN_BITS + WEIGHT_BITS - 2)
_OUTPUT_MIN = np.array([[-_LOCATION_MAX], [0]], np.float32)
_OUTPUT_MAX = np.array([[_LOCATION_MAX], [N_SCALES - 1]], np.float32)
_FIRST_SCALE = 512  # scale index 16, a width of 0.84 steps: suits a network that knows nothing yet

# round(8 * log2(1 + n)), without libm: the scale of magnitudes on which widths are predicted.
MAGNITUDE_Q3 = np.array(
    [((1 + n) ** 16).bit_length() // 2 for n in range(CONTEXT_MAX + 1)], np.float32
)


def network_names(header: StreamHeader) -> tuple[str, ...]:
    """The networks of a file, as :attr:`Grid.network` names them, in coding order."""
    names = ("texture", "geometry") if header.layers else ("texture",)
    return (*names, "slope") if header.has_slopes else names


def tensors(header: StreamHeader) -> list[TensorSpec]:
    """Weights of all networks: one set for each kind of pass, and a bias for each grid."""
    n_kinds, hidden = len(PassKind), header.arm_hidden
    specs = []
    for name in network_names(header):
        n_grids = sum(grid.network == name for grid in grids(header))
        shapes: dict[str, tuple[tuple[int, ...], float, tuple[int, ...]]] = {
            "hidden": ((n_kinds, hidden, 2 * N_CONTEXT), 0.25, (0,)),
            "hidden_bias": ((n_kinds, hidden), 0.0, (0,)),
            "output": ((n_kinds, 2, hidden), 0.1, (0,)),
            "shortcut": ((n_kinds, 2, 2 * N_CONTEXT), 0.0, (0,)),
            "pass_bias": ((n_kinds, 2), 0.0, (0,)),
            "grid_bias": ((n_grids, 2), 0.0, (0, _FIRST_SCALE)),
        }
        for key in TENSOR_NAMES:
            shape, amplitude, offset = shapes[key]
            specs.append(TensorSpec(f"arm.{name}.{key}", shape, WEIGHT_BITS, amplitude, offset))
    return specs


def mac(header: StreamHeader) -> float:
    """Multiply-accumulates for all latents of a file."""
    per_sample = (2 * N_CONTEXT) * (header.arm_hidden + 2) + 2 * header.arm_hidden
    return float(per_sample * sum(math.prod(grid.shape) for grid in grids(header)))


class EntropyNetwork:
    """One integer entropy network: contexts of a pass -> location and scale of its samples.

    Inputs are the saturated neighbors and their logarithmic magnitudes; one ReLU layer plus a
    linear shortcut (Cool-chic, Ladune et al., ICCV 2023). Each kind of pass, since it knows other
    neighbors, has weights of its own.

    Samples run along the last axis. Rounding shifts are folded into the weights: a factor of a
    power of two moves exponents only.

    Args:
        weights: All weights of the file.
        name: One of :func:`network_names`.

    Raises:
        LimitError: a sum could reach 2**53.
    """

    def __init__(self, weights: Weights, name: str) -> None:
        part = {key: weights[f"arm.{name}.{key}"].astype(np.int64) for key in TENSOR_NAMES}
        bounds = _bounds(part)
        carrier_bits(int(bounds[-1].max()), f"arm.{name}")
        # Contexts that are no larger than this, by the kind of pass, leave float32 exact.
        self.narrow_peak = (bounds < 1 << 24).sum(axis=0) - 1
        hidden_unit, units = 2.0**-_HIDDEN_SHIFT, 2.0 ** -np.array(_OUTPUT_SHIFTS)
        exact = {
            # Hidden units and shortcut share their inputs, hence one product.
            "first": np.concatenate(
                [part["hidden"] * hidden_unit, (part["shortcut"] << _ALIGN) * units[:, None]],
                axis=1,
            ),
            "hidden_bias": ((part["hidden_bias"] << _IN_BITS) * hidden_unit + 0.5)[..., None],
            "output": part["output"] * units[:, None],
            "pass_bias": ((part["pass_bias"] << _HIDDEN_BITS) * units + 0.5)[..., None],
            "grid_bias": ((part["grid_bias"] << _HIDDEN_BITS) * units)[..., None],
        }
        self.parameters = {
            dtype: {key: values.astype(dtype) for key, values in exact.items()}
            for dtype in (np.float32, np.float64)
        }

    def __call__(
        self, near: npt.NDArray[np.float32], known: npt.NDArray[np.intp], kind: PassKind, grid: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Predict the distributions of some samples of one pass.

        Args:
            near: Integer-valued floats ``[len(known), n]``, the known contexts. Overwritten.
            known: Their numbers among the ``N_CONTEXT`` contexts; all others are 0.
            kind: Kind of the pass.
            grid: Number of the grid among those of this network.

        Returns:
            location int32 ``[n]`` in eighths of a step, and scale int32 ``[n]``, an index of the
            tables.
        """
        np.clip(near, -CONTEXT_MAX, CONTEXT_MAX, out=near)
        narrow = NUMPY.peak(near) <= self.narrow_peak[kind]
        part = self.parameters[np.float32 if narrow else np.float64]
        magnitude = np.take(MAGNITUDE_Q3, np.abs(near).astype(np.intp))
        near *= 1 << _IN_BITS
        # A context of 0 adds nothing to any sum.
        first = part["first"][kind][:, np.concatenate([known, known + N_CONTEXT])]
        sums = NUMPY.matmul(first, np.concatenate([near, magnitude], dtype=first.dtype))
        h, y = sums[:-2], sums[-2:]
        h += part["hidden_bias"][kind]
        np.clip(np.floor(h, out=h), 0, _HIDDEN_MAX, out=h)
        y += NUMPY.matmul(part["output"][kind], h)
        y += part["pass_bias"][kind] + part["grid_bias"][grid]
        np.floor(y, out=y)
        location, scale = np.clip(y, _OUTPUT_MIN, _OUTPUT_MAX, out=y).astype(np.int32)
        return location, scale


def _bounds(part: dict[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Largest magnitudes of a network's sums, int64 ``[CONTEXT_MAX + 1, 4]``.

    By the largest magnitude of the contexts, which the logarithms of magnitudes do not exceed.
    """
    peak = np.arange(CONTEXT_MAX + 1)[:, None, None] << _IN_BITS
    size = {key: np.abs(values) for key, values in part.items()}
    hidden_sum = size["hidden"].sum(axis=2) * peak + (size["hidden_bias"] << _IN_BITS)
    hidden = np.minimum(_HIDDEN_MAX, (hidden_sum >> _HIDDEN_SHIFT) + 1)
    output_sum = (size["output"] @ hidden[..., None])[..., 0]
    output_sum += size["shortcut"].sum(axis=2) * (peak << _ALIGN)
    output_sum += (size["pass_bias"] + size["grid_bias"].max(axis=0)) << _HIDDEN_BITS
    # Rounding adds half a unit of the result.
    largest: npt.NDArray[np.int64] = np.maximum(hidden_sum.max(axis=2), output_sum.max(axis=2))
    return largest + (1 << max(_OUTPUT_SHIFTS))
