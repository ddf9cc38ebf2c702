# SPDX-License-Identifier: MIT
"""What a checkpoint must hold so that a fit can go on: checked before any of it is used.

Must not read files. A checkpoint may come from a stranger, who can copy the identity of a fit.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor

from sanrcodec.encoder.fitting import FitState
from sanrcodec.encoder.sweep import Geometry
from sanrcodec.errors import SanrError
from sanrcodec.presets import Parallax

__all__ = ["checked_contest", "checked_fit", "checked_geometry"]

_CERTAINTIES = ("is_certain", "is_checked")
_GEOMETRY = {"near", "far", "parallax", *_CERTAINTIES}
_DIRECTIONS = ("mirrored", "axes_reversed", "transposed")


def checked_geometry(kept: Any, size: tuple[int, int] | None) -> Geometry | None:
    """The swept geometry of a checkpoint; None where none was found.

    Args:
        kept: What the checkpoint has of it.
        size: Rows and columns of a view; None where the fit has no geometry.

    Raises:
        SanrError: it is none of such views.
    """
    if kept is None:
        return None
    _require(size is not None)
    _require(isinstance(kept, dict) and set(kept) == _GEOMETRY)
    parallax = kept["parallax"]
    _require(isinstance(parallax, dict) and set(parallax) == {"extent", *_DIRECTIONS})
    _require(_is_number(parallax["extent"]))
    _require(all(isinstance(parallax[name], bool) for name in _DIRECTIONS))
    for plane in (kept["near"], kept["far"]):
        _require(_is_plain(plane) and plane.shape == size and plane.dtype == torch.float32)
        _require(bool(plane.isfinite().all()))
    _require(all(isinstance(kept[name], bool) for name in _CERTAINTIES))
    certain = {name: kept[name] for name in _CERTAINTIES}
    return Geometry(kept["near"], kept["far"], Parallax(**parallax), **certain)


def checked_contest(kept: Any, was_held: bool) -> tuple[bool, float] | None:
    """Whether a scene has layers, and the seconds that it took to find that out.

    Args:
        kept: What the checkpoint has of it.
        was_held: Whether that was a question.

    Raises:
        SanrError: it does not answer this.
    """
    if not was_held:
        _require(kept is None)
        return None
    _require(isinstance(kept, tuple | list) and len(kept) == 2)
    _require(isinstance(kept[0], bool) and _is_number(kept[1]))
    return kept[0], kept[1]


def checked_fit(kept: Any, steps: int, n_ranks: int) -> FitState:
    """The state of the fit of a checkpoint; its tensors are checked by whoever knows their shapes.

    Args:
        kept: What the checkpoint has of it.
        steps: That the fit may take.
        n_ranks: Processes of the job.

    Raises:
        SanrError: it is no such state.
    """
    _require(isinstance(kept, dict) and set(kept) == set(FitState.__annotations__))
    planned, done = kept["planned"], kept["done"]
    _require(type(planned) is int and type(done) is int and 0 <= done <= planned <= steps)
    _require(_is_number(kept["seconds"]))
    _require(isinstance(kept["tensors"], list) and all(map(_is_plain, kept["tensors"])))
    _require(isinstance(kept["random"], list) and len(kept["random"]) == n_ranks)
    expected = torch.get_rng_state()
    for states in kept["random"]:
        _require(isinstance(states, list) and len(states) >= 1 and all(map(_is_plain, states)))
        _require(all(state.dtype == torch.uint8 for state in states))
        _require(states[0].shape == expected.shape)
    return cast(FitState, kept)


def _require(condition: bool) -> None:
    if not condition:
        raise SanrError("the checkpoint's state is damaged; remove it to begin anew")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0


def _is_plain(value: Any) -> bool:
    """Whether this is a tensor that holds its own values, in the memory of the CPU."""
    return (
        type(value) is Tensor
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )
