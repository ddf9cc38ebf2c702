# SPDX-License-Identifier: MIT
"""How kernels are spread over a device.

Must not know what a kernel computes.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

__all__ = ["BLOCK", "N_COPIES", "launch", "n_programs", "spread"]

BLOCK = 128  # rows of a program at a time, four for each of its threads
_ITEMS, _WARPS = 512, 4  # of a program whose items have nothing to do with each other
_PROGRAMS = 16  # for each multiprocessor
# Of the sums over all rows, each of some of the programs: with one they would queue for it.
N_COPIES = 32


@functools.cache
def _n_processors(device: torch.device) -> int:
    if device.type != "cuda":  # Triton's interpreter
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


def n_programs(x: Tensor, n_blocks: int, n_parts: int = 1) -> int:
    """How many programs share some blocks on the device of a tensor, a multiple of ``n_parts``."""
    return n_parts * max(1, min(n_blocks, _PROGRAMS * _n_processors(x.device) // n_parts))


def launch(
    kernel: Any, x: Tensor, n_blocks: int, /, *arguments: Any, n_parts: int = 1, **constants: Any
) -> None:
    """Run a kernel on the device of a tensor.

    A program is one warp, whose threads add up without waiting for others: two warps took up to
    3.6 times as long, and blocks of 64 or 256 rows up to twice as long.

    Args:
        kernel: Whose programs share some blocks of rows.
        x: Whose device it is.
        n_blocks: Of rows.
        *arguments: Of the kernel.
        n_parts: Of its work, for each of which programs go through all blocks.
        **constants: Of the kernel; rows of a block are ``BLOCK`` by default.
    """
    with torch.cuda.device_of(x):
        kernel[(n_programs(x, n_blocks, n_parts),)](
            *arguments, **{"BLOCK": BLOCK, **constants}, num_warps=1
        )


def spread(
    kernel: Any, x: Tensor, n_planes: int, n_items: int, /, *arguments: Any, **constants: Any
) -> None:
    """Run a kernel, each of whose programs has items of its own, all of one plane.

    Args:
        kernel: Of some items a program.
        x: Whose device it is.
        n_planes: Of items.
        n_items: Of each plane.
        *arguments: Of the kernel.
        **constants: Of the kernel, ``BLOCK`` aside.
    """
    with torch.cuda.device_of(x):
        kernel[(-(-n_items // _ITEMS), n_planes)](
            *arguments, **constants, BLOCK=_ITEMS, num_warps=_WARPS
        )
