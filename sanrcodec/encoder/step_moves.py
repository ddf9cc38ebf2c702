# SPDX-License-Identifier: MIT
"""Changes of single steps of weights, for networks that have adapted to those they have.

Must not choose by a file's size or quality: what is enough the caller tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from sanrcodec.bitstream.weights import SHIFT_MAX
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.probe import Probe
from sanrcodec.encoder.scene import Known

__all__ = ["move_steps"]

_FINER, _COARSER = (0.5, 0.25), (2.0,)


class _Move(NamedTuple):
    """Another step of one tensor, tried alone.

    Attributes:
        part: Place of the tensor.
        step: Its step then.
        price: Squared levels that the error gains for each bit that the file gains or loses.
    """

    part: slice
    step: float
    price: float


@torch.no_grad()
def move_steps(
    model: SceneModel,
    probe: Probe,
    *,
    finer: bool,
    most: float,
    suffices: Callable[[], bool],
    is_too_far: Callable[[], bool],
) -> bool:
    """Make the steps of some tensors finer, or coarser, the cheapest for their bits first.

    A search from the finest steps on does not know what networks have adapted to, and costs far
    more quality. Collective.

    Args:
        model: Whose steps are changed.
        probe: The views by which the error is judged.
        finer: Whether steps become finer.
        most: What the error may gain for each bit that the file gains or loses, in squared levels.
        suffices: Whether the model has been changed enough.
        is_too_far: Whether it has been changed too much: the latest change is taken back then.

    Returns:
        Whether any step was changed.
    """
    step = model.weight_vector.step
    before = step.clone()
    for move in _moves(model, probe, finer, most):
        if suffices():
            break
        kept = step[move.part].clone()
        if finer == bool(move.step < kept[0]):  # not after a larger move of the same tensor
            step[move.part] = move.step
            if is_too_far():
                step[move.part] = kept
    return not torch.equal(before, step)


def _moves(model: SceneModel, probe: Probe, finer: bool, most: float) -> list[_Move]:
    """All that change the bits to the side that is wanted for no higher price, by their prices."""
    index, targets = probe.views()
    latents = model.rounded_latents()

    step = model.weight_vector.step
    known = Known()
    before = model.figures(latents, index, targets, known)
    moves = []
    for spec, part in zip(model.weight_vector.specs, model.weight_vector.slices, strict=True):
        kept = float(step[part.start])
        group = spec.name.split(".")[0]
        for factor in _FINER if finer else _COARSER:
            if not 1.0 <= kept * factor <= 2.0**SHIFT_MAX:
                break
            step[part] = kept * factor
            moved = model.figures(latents, index, targets, known.without(group), group, before)
            error, _, bits = (moved - before).tolist()
            gained = bits if finer else -bits
            if gained <= 0 or (price := error / gained) > most:
                break
            moves.append(_Move(part, kept * factor, price))
        step[part] = kept
    return sorted(moves, key=lambda move: move.price)
