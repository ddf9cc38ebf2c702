# SPDX-License-Identifier: MIT
"""Frozen integer frequency tables: a Laplace distribution cut into steps of 1.

Integer arithmetic only. Nothing here may call libm (``exp``, ``log``) on the way to a weight:
two machines that disagree in one weight cannot read each other's files.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

__all__ = [
    "DECAY_Q30",
    "ESCAPE",
    "MAX_RESIDUAL",
    "N_FRACTIONS",
    "N_SCALES",
    "N_SYMBOLS",
    "TOTAL_WEIGHT",
    "cost_table",
    "frequency_table",
]

TOTAL_WEIGHT = 1 << 24  # every table sums to this: the range coder's precision
N_SCALES = 40
N_FRACTIONS = 8  # the center is known to an eighth of a step: fraction -4..3
MAX_RESIDUAL = 32  # residuals beyond +-32 are escaped
ESCAPE = 2 * MAX_RESIDUAL + 1
N_SYMBOLS = ESCAPE + 1

# round(exp(-1 / (8 * b)) * 2**30) for b = 2**(i / 4 - 4.25): the decay of the tail over an eighth
# of a step. Stored, not computed, because libm differs between platforms.
DECAY_Q30 = (
    99533137, 145315154, 199759078, 261044606, 326914198, 395007542, 463130302, 529428476,
    592470630, 651257337, 705182512, 753969162, 797596699, 836230973, 870163178, 899760092,
    925425813, 947573834, 966607779, 982908970, 996829173, 1008687096, 1018767490, 1027321989,
    1034571010, 1040706261, 1045893524, 1050275481, 1053974460, 1057095000, 1059726201, 1061943836,
    1063812229, 1065385899, 1066710993, 1067826536, 1068765495, 1069555701, 1070220635, 1070780095,
)  # fmt: skip


@cache
def frequency_table(scale: int, fraction: int) -> npt.NDArray[np.int64]:
    """Return the symbol weights of one discretized Laplace distribution.

    Symbol ``r + MAX_RESIDUAL`` stands for residual ``r``, symbol ``ESCAPE`` for both tails. With
    ``p_k = decay**k`` in Q30 the distribution function at ``x`` eighths of a step right of the
    center is ``F(x) = 2**31 - p_x`` for ``x >= 0`` and ``p_{-x}`` otherwise, in Q31; it has no
    rounding of its own, so the masses sum to ``2**31`` exactly.

    Args:
        scale: Index ``0..N_SCALES - 1`` of the width ``b = 2**(scale / 4 - 4.25)`` steps.
        fraction: Center of the distribution in eighths of a step, -4..3.

    Returns:
        Read-only int64 array ``[N_SYMBOLS]`` of weights >= 1 that sum to ``TOTAL_WEIGHT``.

    Raises:
        ValueError: an argument is out of range.

    See format_spec.md, section "Frequency tables".
    """
    if not 0 <= scale < N_SCALES:
        raise ValueError(f"scale is {scale}, expected 0..{N_SCALES - 1}")
    if not -4 <= fraction <= 3:
        raise ValueError(f"fraction is {fraction}, expected -4..3")

    table: npt.NDArray[np.int64] = _tables(scale)[fraction + N_FRACTIONS // 2]
    return table


@cache
def _tables(scale: int) -> npt.NDArray[np.int64]:
    """The tables of a width for all fractions, ``[N_FRACTIONS, N_SYMBOLS]``, read-only."""
    powers = [1 << 30]
    for _ in range(8 * MAX_RESIDUAL + 8):
        powers.append(powers[-1] * DECAY_Q30[scale] >> 30)

    edges = np.arange(-8 * MAX_RESIDUAL - 4, 8 * MAX_RESIDUAL + 5, 8)
    edges = edges - np.arange(-N_FRACTIONS // 2, N_FRACTIONS // 2)[:, None]
    tail = np.array(powers, np.int64)[np.abs(edges)]
    cdf = np.where(edges >= 0, (1 << 31) - tail, tail)
    tails = cdf[:, :1] + (1 << 31) - cdf[:, -1:]
    mass = np.concatenate([np.diff(cdf), tails], axis=1)

    # 1 for everybody first: no symbol may be impossible. Products stay below 2**55.
    tables = 1 + (mass * (TOTAL_WEIGHT - N_SYMBOLS) >> 31)
    tables[np.arange(N_FRACTIONS), tables.argmax(axis=1)] += TOTAL_WEIGHT - tables.sum(axis=1)
    tables.flags.writeable = False
    return tables


@cache
def cost_table() -> npt.NDArray[np.float32]:
    """Return the ideal code length of every symbol, for the encoder's estimates only.

    Returns:
        Read-only float32 array ``[N_SCALES, N_FRACTIONS, N_SYMBOLS]`` in bits; axis 1 is
        ``fraction + 4``. Being float, it must never take part in decoding.
    """
    weights = [[frequency_table(s, f) for f in range(-4, 4)] for s in range(N_SCALES)]
    bits = (24 - np.log2(np.array(weights, dtype=np.float64))).astype(np.float32)
    bits.flags.writeable = False
    return bits
