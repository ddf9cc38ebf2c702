# SPDX-License-Identifier: MIT
"""Adam (Kingma and Ba, ICLR 2015) of one flat tensor, as a CUDA graph can replay it.

Must not know of schedules: the caller gives rate and count of every step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sanrcodec.encoder.kernels import runs_on
from sanrcodec.encoder.kernels.launch import spread

__all__ = ["Adam"]

_MEAN_DECAY = 0.9


class Adam:
    """Adam whose rate and count are tensors.

    Args:
        parameter: float32 ``[N]``, changed in place.
        epsilon: Of the denominator, in units of the gradient; a number, or a tensor ``[]``.
        square_decay: Decay of the mean square, per step.

    Attributes:
        mean, square: Moments of the gradient, ``[N]``.
    """

    def __init__(
        self,
        parameter: Tensor,
        epsilon: float | Tensor,
        square_decay: float = 0.99,
    ) -> None:
        self.parameter, self.epsilon, self.betas = parameter, epsilon, (_MEAN_DECAY, square_decay)
        self._decays = parameter.new_tensor(self.betas)
        self.mean = torch.zeros_like(parameter)
        self.square = torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, gradient: Tensor, rate: Tensor, count: Tensor) -> None:
        """Move against the gradient.

        Args:
            gradient: ``[N]``.
            rate: ``[]``, in units of the parameter.
            count: ``[]``, number of this step, counted from 1.
        """
        if runs_on(gradient):
            from sanrcodec.encoder.kernels.device import adam

            n = len(gradient)
            spread(
                adam.step, gradient, 1, n,
                *self.state(), gradient, rate, count, self._decays, self.epsilon, n,
                is_tensor=isinstance(self.epsilon, Tensor),
            )  # fmt: skip
            return
        b1, b2 = self.betas
        self.mean.lerp_(gradient, 1 - b1)
        self.square.mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
        known_mean, known_square = (1 - self._decays**count).unbind()
        corrected = (self.square / known_square).sqrt_().add_(self.epsilon)
        self.parameter.addcmul_(self.mean / corrected, rate / known_mean, value=-1)

    def state(self) -> list[Tensor]:
        """What a step changes: parameter and moments, not copied."""
        return [self.parameter.detach(), self.mean, self.square]
