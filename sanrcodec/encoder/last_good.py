# SPDX-License-Identifier: MIT
"""The last state of a fit in which all numbers were finite; knows nothing of what they mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["LastGood"]


class LastGood:
    """A copy to go back to, when a fit diverges or its memory ends.

    Args:
        state: All that a step changes, on one device.
        watched: Those tensors among them that must be finite.

    Attributes:
        done: Steps that were done when the copy was made; None without a copy.
    """

    def __init__(self, state: Sequence[Tensor], watched: Sequence[Tensor]) -> None:
        self.done: int | None = None
        self._state, self._watched = state, watched
        self._kept: list[Tensor] = []

    @torch.no_grad()
    def keep(self, done: int) -> bool:
        """Copy the state if it is good, and tell whether it is."""
        if not bool(torch.stack([torch.isfinite(t).all() for t in self._watched]).all()):
            return False
        if self._kept:
            for kept, tensor in zip(self._kept, self._state, strict=True):
                kept.copy_(tensor)
        else:
            self._kept = [tensor.detach().clone() for tensor in self._state]
        self.done = done
        return True

    @torch.no_grad()
    def restore(self) -> int:
        """Go back to the copy, and return its number of steps."""
        assert self.done is not None
        for kept, tensor in zip(self._kept, self._state, strict=True):
            tensor.copy_(kept)
        return self.done
