# SPDX-License-Identifier: MIT
"""Rate control: adapts lmbda within a fit, so that the file meets a target.

A proportional and integral controller of log(lmbda). It looks at what the file would be if all
were rounded now, and expects of the rest of the fit what a typical fit still gains.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.probe import Probe, rounded_latents
from sanrcodec.encoder.target import Target
from sanrcodec.encoder.trim import trim
from sanrcodec.lightfield import LightField
from sanrcodec.presets import OPTION_RANGES

__all__ = ["RateControl"]

_LOOKS, _STEPS_PER_LOOK = (60, 100), 80  # in a fit
# Views of a look, of a full look that stands for all of them, and of a search for steps; these must
# cost little beside the steps, which a GPU makes with more views than a CPU.
_VIEWS_CUDA, _VIEWS_CPU = (6, 100, 4), (3, 24, 1)
_N_FULL = 6  # full looks
_FIRST, _LAST = 0.06, 0.95  # progress between which lmbda moves
_PROPORTIONAL = 0.4  # of the distance in log(lmbda)
# Per look, of a fit of so many steps; in longer ones more steps follow a look, and lmbda sooner.
_INTEGRAL, _INTEGRAL_STEPS, _INTEGRAL_EXPONENT = 0.04, 300, 0.63
_EARLY, _EARLY_UNTIL = 2.0, 0.3  # factor of that, and progress until which it counts
_FURTHEST = 2.0  # distance in log(lmbda) that one look believes
# Progress at which the search for the weights' steps is tried; it takes as long as 30 steps.
_TRIALS, _MORE_TRIALS, _MORE_TRIALS_STEPS = (0.7,), (0.4, 0.7, 0.88), 4000
# Factors of lmbda for another search of the weights' steps, one after the other, and how often the
# interval between one that is not enough and one that is too much is halved.
_FINER, _COARSER, _N_HALVINGS = (0.2, 0.04, 0.008), (2.0, 5.0, 20.0), 1
_LOWEST = 0.3  # of lmbda: below, latents wander, and quality falls again
_SPARE_DB = 0.15  # the end of a fit can take quality away, but not add any


class RateControl:
    """Keeps a fit on its way to a target.

    Args:
        target: What is asked for.
        model: Whose fit it is.
        light_field: That is fitted. All ranks of the model look at it at the same time.

    Attributes:
        lmbda: float32 ``[]`` on the model's device: steps read it, also from a CUDA graph.
    """

    def __init__(
        self, target: Target, model: SceneModel, light_field: LightField, lmbda: float
    ) -> None:
        self.target = target
        self.lmbda = torch.full((), lmbda, device=model.latents.device)
        self._model = model
        n_views = _VIEWS_CPU if self.lmbda.device.type == "cpu" else _VIEWS_CUDA
        self._few, self._all, self._searched = (Probe(model, light_field, n) for n in n_views)
        # Numbers that a checkpoint keeps, hence tensors: the integral of log(lmbda), by how many dB
        # the few views differ from all of them, what the trial has found (bits left of all but the
        # latents, as a share, and dB gained), and the progress at which whole views began, -1
        # before.
        self._integral, self._offset, self._left, self._gained, self._begun = (
            torch.tensor(value).double() for value in (math.log(lmbda), 0.0, 0.0, 0.0, -1.0)
        )

    def state(self) -> list[Tensor]:
        """What :meth:`look` changes, not copied."""
        kept = self._integral, self._offset, self._left, self._gained, self._begun
        return [self.lmbda, *kept]

    def look(self, done: int, planned: int) -> None:
        """Adapt lmbda after a step, if it is time to, and if it was a step of whole views.

        Args:
            done: Steps that are done.
            planned: Of the fit.
        """
        if self._model.level or done / planned > _LAST:
            return
        if self._begun < 0:
            self._begun.fill_((done - 1) / planned)
        # Of the steps with whole views, as if these were the whole fit.
        begun = float(self._begun)
        scale = _LAST / (_LAST - begun)
        before, progress = (max(0.0, k / planned - begun) * scale for k in (done - 1, done))
        n_steps = planned / scale
        n_looks = int(min(_LOOKS[1], max(_LOOKS[0], n_steps / _STEPS_PER_LOOK)))
        width = 1 / n_looks
        if int(before * n_looks) == int(progress * n_looks) or progress < _FIRST:
            return
        fused = self._model.fuse(False)  # the compiled parts are for steps with gradients
        trials = _MORE_TRIALS if n_steps >= _MORE_TRIALS_STEPS else _TRIALS
        if any(at <= progress < at + width for at in trials):
            self._try_search()
        is_end = not self._offset or progress > _LAST - width
        is_full = is_end or progress % (1 / _N_FULL) < width
        distance = self._distance(progress, n_steps, is_full)
        self._model.fuse(fused)
        if not math.isfinite(distance):
            return
        distance = min(_FURTHEST, max(-_FURTHEST, distance))
        low, high = math.log(_LOWEST), math.log(OPTION_RANGES["lmbda"].most)
        speed = _INTEGRAL * max(1.0, n_steps / _INTEGRAL_STEPS) ** _INTEGRAL_EXPONENT
        speed *= _EARLY if progress < _EARLY_UNTIL else 1.0
        integral = min(high, max(low, float(self._integral) + speed * distance))
        self._integral.fill_(integral)
        log_lmbda = integral + _PROPORTIONAL * distance
        self.lmbda.fill_(math.exp(min(high, max(low, log_lmbda))))

    def rest(self) -> None:
        """Correct what the file would be when the latents have come to rest; the rest adapts to it.

        Call it once, after the search for the weights' steps, while no part is compiled.
        """
        asks_size = self.target.bits is not None
        self.correct(self._few.bits(), 0.0 if asks_size else self._all.psnr_yuv())

    def correct(self, bits: float, psnr_yuv: float) -> bool:
        """Search the weights' steps anew, finer or coarser, where a file is off; then trim latents.

        Collective.

        Args:
            bits: Of the file, as it would be now.
            psnr_yuv: Of it, in dB.

        Returns:
            Whether anything was changed.
        """
        asks_size = self.target.bits is not None
        # What is known better than the model's own figures differs by this from them.
        ratio, offset = bits / self._few.bits(), 0.0
        if not asks_size:
            offset = psnr_yuv - self._all.psnr_yuv()
        step = self._model.weight_vector.step
        before = step.clone()

        def figures() -> tuple[float, float]:
            if asks_size:
                return ratio * self._few.bits(), 0.0
            return 0.0, offset + self._all.psnr_yuv()

        def search(factor: float) -> bool:
            """Search anew; tell whether the file is no longer off to the side where it was."""
            step.fill_(1.0)
            self._model.coarsen(index, views, self.lmbda * factor)
            return not off(*figures())

        index, views = self._searched.views()
        off: Callable[[float, float], bool] = self.target.falls_short
        factors: tuple[float, ...] = _FINER
        if not off(*figures()):
            off, factors = self.target.exceeds, _COARSER
        if off(*figures()):
            last = 1.0
            for factor in factors:
                if search(factor):
                    self._narrow(search, last, factor)
                    break
                last = factor
        changed = not torch.equal(before, step)
        found = figures()
        if self.target.exceeds(*found):
            latents = rounded_latents(self._model)
            shift = 0.0 if asks_size else found[1] - self._few.psnr_yuv()

            def fits(x: Tensor) -> bool:
                if asks_size:
                    return not self.target.exceeds(ratio * self._few.bits(x), 0.0)
                return not self.target.exceeds(0.0, shift + self._few.psnr_yuv(x))

            trim(self._model, self._few, fits)
            changed = changed or not torch.equal(latents, rounded_latents(self._model))
        return changed

    def _narrow(self, search: Callable[[float], bool], little: float, enough: float) -> None:
        """Halve the interval of factors; the state is in the end that of the one that is enough."""
        step = self._model.weight_vector.step
        kept = step.clone()
        for _ in range(_N_HALVINGS):
            middle = math.sqrt(little * enough)
            if search(middle):
                enough, kept = middle, step.clone()
            else:
                little = middle
        step.copy_(kept)

    def _try_search(self) -> None:
        """Find out what the search for the weights' steps would give now, and take it back."""
        step = self._model.weight_vector.step
        before, kept = (self._few.parts()[1], self._few.psnr_yuv()), step.clone()
        self._model.coarsen(*self._searched.views(), self.lmbda)
        self._left.fill_(self._few.parts()[1] / before[0])
        self._gained.fill_(self._few.psnr_yuv() - before[1])
        step.copy_(kept)

    def _distance(self, progress: float, n_steps: float, full: bool) -> float:
        """Of the file that is expected from what the fit has reached."""
        if self.target.bits is not None:
            latents, others = self._few.parts()
            # The search for the weights' steps halves their bits.
            left = float(self._left) or 0.14 + 0.46 * progress
            bits = latents * (1 - 0.18 * (1 - progress)) + others * left
            return self.target.distance(bits, 0.0)
        psnr = self._few.psnr_yuv()
        if full:
            self._offset.fill_(self._all.psnr_yuv() - psnr)
        expected = psnr + float(self._offset) + float(self._gained)
        expected += _gain_left(progress, n_steps)
        return self.target.distance(0.0, expected - _SPARE_DB)


def _gain_left(progress: float, n_steps: float) -> float:
    """What PSNR-YUV still gains until the end of a typical fit, in dB.

    Rather too much than too little: bits that an early lmbda is too low for are never given back.
    """
    early = 6.5 * math.exp(-5.5 * progress) * math.pow(max(1.0, n_steps / 400), -0.35)
    steady = 2.0 * math.pow(1 - progress, 1.3) * min(1.0, n_steps / 8000)
    return max(early, steady)
