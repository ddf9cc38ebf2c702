# SPDX-License-Identifier: MIT
"""Brings a model whose latents rest to its target: by the weights' steps, then by single latents.

Must not fit: what the networks then make of it is for the rest of a fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sanrcodec.encoder.model import SceneModel, StepChoices
from sanrcodec.encoder.probe import Probe, rounded_latents
from sanrcodec.encoder.step_moves import move_steps
from sanrcodec.encoder.target import Target
from sanrcodec.encoder.trim import drop_finest, trim

__all__ = ["Correction"]

# Factors of lmbda for another choice of the weights' steps, and how often the interval between one
# that is not enough and one that is too much is halved.
_FACTORS, _N_HALVINGS = (0.008, 0.04, 0.2, 1.0, 2.0, 5.0), 4
# Price of a bit, against that of the fit, above which single latents are the cheaper ones to go.
_DEAREST = 3.0


class Correction:
    """Corrects a model, by the views of a probe. Collective.

    Args:
        target: What is asked for.
        model: Whose latents rest.
        probe: The views that tell what a correction brings.
        lmbda: float32 ``[]``, by which they are chosen.
    """

    def __init__(self, target: Target, model: SceneModel, probe: Probe, lmbda: Tensor) -> None:
        self._target, self._model, self._probe, self._lmbda = target, model, probe, lmbda
        self._ratio, self._offset_db, self._slack = 1.0, 0.0, 1.0

    def run(self, bits: float, psnr_yuv: float, choices: StepChoices | None, slack: float) -> bool:
        """Make the weights' steps finer or coarser, where a file is off; then trim latents.

        Args:
            bits: Of the file, as it would be now.
            psnr_yuv: Of it, in dB. What is not asked for of the two does not matter.
            choices: Of the search for the weights' steps, if that was just now.
            slack: How much of what is near enough counts as such.

        Returns:
            Whether anything was changed.
        """
        self._slack = slack
        # What is known better than the probe's own figures differs by this from them.
        if self._target.bits is not None:
            self._ratio = bits / self._probe.bits()
        else:
            self._offset_db = psnr_yuv - self._probe.psnr_yuv()
        too_much = self._target.exceeds(bits, psnr_yuv, slack)
        changed = False
        if too_much or self._target.falls_short(bits, psnr_yuv, slack):
            if choices is None:  # networks have adapted to the steps that they have
                changed = self._move_steps(too_much)
            else:
                changed = self._choose_steps(choices, too_much)
        if self._target.exceeds(*self._figures(), slack):
            changed = self._take_latents() or changed
        return changed

    def _figures(self, latents: Tensor | None = None) -> tuple[float, float]:
        """Bits and PSNR-YUV in dB of the file, of these latents or of the rounded ones.

        That of the two that is not asked for is 0.
        """
        if self._target.bits is not None:
            return self._ratio * self._probe.bits(latents), 0.0
        return 0.0, self._offset_db + self._probe.psnr_yuv(latents)

    def _fits(self, latents: Tensor) -> bool:
        return not self._target.exceeds(*self._figures(latents), self._slack)

    def _move_steps(self, too_much: bool) -> bool:
        """Change single steps: finer ones if quality does not fall, coarser ones for little of it.

        Returns:
            Whether a step was changed.
        """
        is_off, is_too_far = self._target.exceeds, self._target.falls_short
        if not too_much:
            is_off, is_too_far = is_too_far, is_off
        header = self._model.header
        price = float(self._lmbda) / (header.height * header.width)
        return move_steps(
            self._model,
            self._probe,
            finer=not too_much,
            most=_DEAREST * price if too_much else 0.0,
            suffices=lambda: not is_off(*self._figures(), self._slack),
            is_too_far=lambda: is_too_far(*self._figures(), self._slack),
        )

    def _choose_steps(self, choices: StepChoices, too_much: bool) -> bool:
        """Of the choices that are not too little the coarsest, or of those not too much the finest.

        Finer ones bring little quality. They are left alone where none is enough, and where the
        next is too much at once: latents would have to go for it.

        Returns:
            Whether a step was changed.
        """
        step = self._model.weight_vector.step
        before = step.clone()
        is_off = self._target.exceeds if too_much else self._target.falls_short

        def choose(factor: float) -> bool:
            """Choose anew; tell whether the file is no longer off to the side where it was."""
            self._model.choose_steps(choices, float(self._lmbda) * factor)
            return not is_off(*self._figures(), self._slack)

        factors = _FACTORS if too_much else _FACTORS[::-1]
        last, is_enough = factors[0], False
        for factor in factors:
            if is_enough := choose(factor):
                self._narrow(choose, last, factor)
                break
            last = factor
        if too_much and not is_enough:
            choose(1.0)  # others cost much quality, and it takes the latents anyway
        if not too_much and (not is_enough or self._target.exceeds(*self._figures(), self._slack)):
            step.copy_(before)
        return not torch.equal(before, step)

    def _narrow(self, choose: Callable[[float], bool], little: float, enough: float) -> None:
        """Halve the interval of factors; the state is in the end that of the one that is enough."""
        step = self._model.weight_vector.step
        kept = step.clone()
        for _ in range(_N_HALVINGS):
            middle = math.sqrt(little * enough)
            if choose(middle):
                enough, kept = middle, step.clone()
            else:
                little = middle
        step.copy_(kept)

    def _take_latents(self) -> bool:
        """Trim latents, for a limit at any price; tells whether one was changed."""
        before = rounded_latents(self._model)
        if not trim(self._model, self._probe, self._fits) and self._target.is_limit:
            drop_finest(self._model, self._fits)
        return not torch.equal(before, rounded_latents(self._model))
