# SPDX-License-Identifier: MIT
"""Rate control: adapts lmbda within a fit, so that the file meets a target.

A proportional and integral controller of log(lmbda). It looks at what the file would be if all
were rounded now, and expects of the rest of the fit what a typical fit still gains.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sanrcodec.encoder.distributed import ALONE, Ranks
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.probe import Probe
from sanrcodec.encoder.target import Target
from sanrcodec.encoder.trim import trim
from sanrcodec.lightfield import LightField
from sanrcodec.presets import OPTION_RANGES

__all__ = ["RateControl"]

_N_LOOKS = 60  # in a fit
_N_VIEWS, _N_VIEWS_ALL = 6, 100
_FIRST, _LAST = 0.06, 0.95  # progress between which lmbda moves
_PROPORTIONAL = 0.4  # of the distance in log(lmbda)
_INTEGRAL, _INTEGRAL_EARLY, _EARLY_UNTIL = 0.12, 0.25, 0.3  # per look
_FURTHEST = 2.0  # distance in log(lmbda) that one look believes
_TRIAL = 42  # look at which the search for the weights' steps is tried
_N_TRIES, _FINER = 3, 0.2  # of the search, and the factor of lmbda from one to the next
_LOWEST = 0.3  # of lmbda: below, latents wander, and quality falls again
_SPARE_DB = 0.15  # the end of a fit can take quality away, but not add any


class RateControl:
    """Keeps a fit on its way to a target.

    Args:
        target: What is asked for.
        model: Whose fit it is.
        light_field: That is fitted.
        ranks: The processes that share the fit; all of them look at the same time.

    Attributes:
        lmbda: float32 ``[]`` on the model's device: steps read it, also from a CUDA graph.
    """

    def __init__(
        self, target: Target, model: SceneModel, light_field: LightField, lmbda: float,
        ranks: Ranks = ALONE,
    ) -> None:  # fmt: skip
        self.target = target
        self.lmbda = torch.full((), lmbda, device=model.latents.device)
        self._model = model
        self._few = Probe(model, light_field, _N_VIEWS, ranks.average_)
        self._all = Probe(model, light_field, _N_VIEWS_ALL, ranks.average_)
        # The integral of log(lmbda), by how many dB the few views differ from all of them, and
        # what the trial has found: bits left of all but the latents, as a share, and dB gained.
        self._memory = torch.tensor([math.log(lmbda), 0.0, 0.0, 0.0], dtype=torch.float64)

    def state(self) -> list[Tensor]:
        """What :meth:`look` changes, not copied."""
        return [self.lmbda, self._memory]

    def look(self, done: int, planned: int) -> None:
        """Adapt lmbda after a step, if it is time to, and if it was a step of whole views.

        Args:
            done: Steps that are done.
            planned: Of the fit.
        """
        before, now = ((done - k) * _N_LOOKS // planned for k in (1, 0))
        progress = done / planned
        if before == now or not _FIRST <= progress <= _LAST or self._model.level:
            return
        fused = self._model.fuse(False)  # the compiled parts are for steps with gradients
        if now == _TRIAL:
            self._try_search()
        distance = self._distance(done, planned, now)
        self._model.fuse(fused)
        if not math.isfinite(distance):
            return
        distance = min(_FURTHEST, max(-_FURTHEST, distance))
        low, high = math.log(_LOWEST), math.log(OPTION_RANGES["lmbda"].most)
        speed = _INTEGRAL_EARLY if progress < _EARLY_UNTIL else _INTEGRAL
        integral = float(self._memory[0]) + speed * distance
        self._memory[0] = min(high, max(low, integral))
        log_lmbda = float(self._memory[0]) + _PROPORTIONAL * distance
        self.lmbda.fill_(math.exp(min(high, max(low, log_lmbda))))

    def rest(self) -> None:
        """Correct what the file would be when the latents have come to rest; the rest adapts to it.

        Call it once, after the search for the weights' steps, while no part is compiled.
        """
        index, targets = self._few.views()
        for tries in range(1, _N_TRIES + 1):
            if not self.target.falls_short(self._few.bits(), self._psnr_yuv()):
                break
            # The weights' steps are searched anew, and end finer.
            self._model.weight_vector.step.fill_(1.0)
            lmbda = self.lmbda * _FINER**tries
            self._model.coarsen(index, targets, lmbda)
        if self.target.bits is not None:
            bits = self.target.trimmed_bits
            trim(self._model, self._few, lambda x: self._few.bits(x) <= bits)
        else:
            psnr = self.target.trimmed_psnr
            trim(self._model, self._few, lambda x: self._psnr_yuv(x) <= psnr)

    def _psnr_yuv(self, latents: Tensor | None = None) -> float:
        """Of all views, as far as the few tell it."""
        return self._few.psnr_yuv(latents) + float(self._memory[1])

    def _try_search(self) -> None:
        """Find out what the search for the weights' steps would give now, and take it back."""
        step = self._model.weight_vector.step
        before, kept = (self._few.parts()[1], self._few.psnr_yuv()), step.clone()
        index, targets = self._few.views()
        self._model.coarsen(index, targets, self.lmbda)
        self._memory[2] = self._few.parts()[1] / before[0]
        self._memory[3] = self._few.psnr_yuv() - before[1]
        step.copy_(kept)

    def _distance(self, done: int, planned: int, look: int) -> float:
        """Of the file that is expected from what the fit has reached."""
        progress = done / planned
        if self.target.bits is not None:
            latents, others = self._few.parts()
            # The search for the weights' steps halves their bits.
            left = float(self._memory[2]) or 0.14 + 0.46 * progress
            bits = latents * (1 - 0.18 * (1 - progress)) + others * left
            return self.target.distance(bits, 0.0)
        psnr = self._few.psnr_yuv()
        if look in (_N_LOOKS // 2, _N_LOOKS * 4 // 5, int(_N_LOOKS * _LAST)):
            self._memory[1] = self._all.psnr_yuv() - psnr
        expected = psnr + float(self._memory[1]) + float(self._memory[3])
        expected += _gain_left(progress, planned)
        return self.target.distance(0.0, expected - _SPARE_DB)


def _gain_left(progress: float, planned: int) -> float:
    """What PSNR-YUV still gains until the end of a typical fit, in dB."""
    return 6.5 * math.exp(-5.5 * progress) * math.pow(max(1.0, planned / 400), -0.35)
