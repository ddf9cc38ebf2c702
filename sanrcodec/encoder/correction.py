# SPDX-License-Identifier: MIT
"""Brings a model whose latents rest to its target: by the weights' steps, then by single latents.

Must not fit: what the networks then make of it is for the rest of a fit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.probe import Probe
from sanrcodec.encoder.step_moves import move_steps
from sanrcodec.encoder.target import Target
from sanrcodec.encoder.trim import drop_finest, trim

__all__ = ["Correction"]

# Factor of the price of a bit in the fit: above it single latents are the cheaper ones to go, and
# below its inverse quality is too dear.
_DEAREST = 3.0
_FEW = 0.1  # share of the bits that are asked for


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

    def run(self, bits: float, psnr_yuv: float, slack: float) -> bool:
        """Make the weights' steps finer or coarser, where a file is off; then trim latents.

        Args:
            bits: Of the file, as it would be now.
            psnr_yuv: Of it, in dB. What is not asked for of the two does not matter.
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
            changed = self._move_steps(too_much)
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
        """Change steps of single tensors, as long as that is cheap; tells whether one was changed.

        Quality that is missing must cost few bits, and so must bits that nothing else asks for: if
        a file lacks many, the fit has found no use for them. A few must just cost no quality.
        """
        is_off, is_too_far = self._target.exceeds, self._target.falls_short
        header = self._model.header
        price = float(self._lmbda) / (header.height * header.width)
        most = _DEAREST * price
        if not too_much:
            is_off, is_too_far = is_too_far, is_off
            lacks_few = self._target.bits is not None and self._target.miss(*self._figures()) < _FEW
            most = 0.0 if lacks_few else -price / _DEAREST
        return move_steps(
            self._model,
            self._probe,
            finer=not too_much,
            most=most,
            suffices=lambda: not is_off(*self._figures(), self._slack),
            is_too_far=lambda: is_too_far(*self._figures(), self._slack),
        )

    def _take_latents(self) -> bool:
        """Trim latents, for a limit at any price; tells whether one was changed."""
        before = self._model.rounded_latents()
        if not trim(self._model, self._probe, self._fits) and self._target.is_limit:
            drop_finest(self._model, self._fits)
        return not torch.equal(before, self._model.rounded_latents())
