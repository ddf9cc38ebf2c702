# SPDX-License-Identifier: MIT
"""Kernels of a step's networks, filters and views, for CUDA devices where Triton is installed.

Each has a twin in torch, which gives the same up to rounding, and is all that other devices use.
Must not change what a fit finds.
"""

from __future__ import annotations

import importlib.util
import logging
import os

import torch
from torch import Tensor

__all__ = ["runs_on"]

_logger = logging.getLogger(__name__)

_INSTALLED = importlib.util.find_spec("triton") is not None
_NEEDED = 3, 4  # of Triton, which comes with torch 2.8: before, it could not index constant tuples
_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # on any device; for tests
_MAX_CHANNELS = 20  # of a row, which registers hold

_working: dict[torch.device, bool] = {}


def runs_on(x: Tensor, *n_channels: int) -> bool:
    """Whether the kernels can compute what follows from a tensor, by that many channels a row.

    The first time that a device is asked for, a kernel is tried. One that fails, for example where
    Triton finds no C compiler, is told as a warning.
    """
    if not (
        _INSTALLED and (x.is_cuda or _INTERPRETED) and max(n_channels, default=0) <= _MAX_CHANNELS
    ):
        return False
    works: bool = _works(x.device)
    return works


def _works(device: torch.device) -> bool:
    if device not in _working:
        reason = _obstacle(device)
        _working[device] = not reason
        if reason:
            _logger.warning("the fit runs slower, without fused kernels: %s", reason)
    return _working[device]


def _obstacle(device: torch.device) -> str:
    """Why kernels cannot be used; empty if they can."""
    try:
        from sanrcodec.encoder.kernels.device import TRITON

        if tuple(map(int, TRITON.split("."))) < _NEEDED:
            return f"they need Triton {_NEEDED[0]}.{_NEEDED[1]} or later, found {TRITON}"
        from sanrcodec.encoder.kernels.perceptron import perceptron

        x, bias = torch.tensor([0.5, 0.25], device=device)[:, None, None].split(1)
        y = perceptron(x, None, None, (x[0], bias[0, 0]), 1.0, 1.0)
        return "" if y.tolist() == [[[0.5]]] else "they compute something else"
    except Exception as error:  # whatever a missing compiler or an old device raises
        return (str(error).splitlines() or [type(error).__name__])[0]
