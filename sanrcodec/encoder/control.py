# SPDX-License-Identifier: MIT
"""Rate control: adapts lmbda within a fit, so that the file meets a target.

It looks at what the file would be if all were rounded now, expects of the rest of the fit what a
typical one still gains, and sets lmbda so that the latents, which follow it slowly and late in a
fit hardly at all, have just made up the difference when they come to rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import Tensor

from sanrcodec.encoder.correction import Correction
from sanrcodec.encoder.exposure import Exposure
from sanrcodec.encoder.lags import Lags
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.outlook import Outlook, end_gain_db, growth_foreseen, outlook_of
from sanrcodec.encoder.probe import Probe
from sanrcodec.encoder.schedule import Schedule
from sanrcodec.encoder.target import Target
from sanrcodec.lightfield import LightField
from sanrcodec.presets import OPTION_RANGES

__all__ = ["RateControl"]

_LOOKS, _STEPS_PER_LOOK = (60, 100), 80  # in a fit
# Views of a look, of a full look that stands for all of them, of a search for steps, and of quality
# when the latents come to rest; these must cost little beside the steps, which a GPU makes with
# more views than a CPU.
_VIEWS_CUDA, _VIEWS_CPU = (6, 100, 4, 200), (3, 16, 1, 40)
# How often quality is corrected then: the few views by which that is done may change by more or
# less than the others.
_N_AT_REST = 2
_N_FULL = 6  # full looks
_FIRST, _LAST = 0.06, 0.95  # progress between which lmbda moves
# The same of a size smaller than whole, where nothing but the first steps of the networks is seen.
_FIRST_OF_SMALLER = 0.35
# What remains of a fit is expected to have this share of the effect of lmbda at least: networks,
# and the search for their steps, follow it at once.
_LEAST_EFFECT = 0.4
# Progress of half the size at which so many steps of whole views are tried.
_FORESEE, _AHEAD = 0.4, 12
# Share of what is near enough that counts as such when the latents come to rest, of bits and of
# quality: what follows, and the coding itself, moves a file by up to one percent, and by 0.1 dB.
# Less would cost more than it brings: few bits are saved there for much quality.
_SLACK_AT_REST = 0.6, 0.9
_LATEST = 0.5  # share of the latest look in the distance: PSNR goes up and down with the networks
# Below this lmbda files change less and less with it.
_SENSITIVE, _SENSITIVE_EXPONENT = 6.0, 0.4
# Scenes differ by a factor of two in how much they change with lmbda. What has come of its changes
# tells that once they are larger than this, in log(lmbda); and the least share that is believed.
_FEW_CHANGES, _LEAST_SHARE = 0.3, 0.5
_FURTHEST = 1.2  # distance in log(lmbda) from what the latents follow now
# Progress at which the search for the weights' steps is tried, and from which share of the latents'
# bits all others matter enough for that.
_TRIAL, _MATTERS = 0.7, 0.1
_LOWEST = 0.3  # of lmbda: below, latents wander, and quality falls again
# How far lmbda may fall below its start and rise above it, and progress until which that holds, and
# at which not at all any more. What early views lack is mostly for later steps, and bits that come
# late come easily while those that are too many stay; and of a small file most bits are those of
# the networks at first, whatever lmbda is.
_FACTOR_HELD, _HELD = 4.0, (0.3, 0.7)


class _Look(NamedTuple):
    """When in a fit its file is looked at, and how closely.

    Attributes:
        level: Of the canvas: views are smaller by ``2**level``.
        total: Progress of the fit.
        progress: The same, as if the steps of this size were the whole fit.
        after_smaller: Whether the fit began with smaller views than these.
        is_first: Whether it is the first at this size.
        is_full: Whether all views are looked at for their quality.
        tries_search: Whether it is time to try the search for the weights' steps.
    """

    level: int
    total: float
    progress: float
    after_smaller: bool
    is_first: bool
    is_full: bool
    tries_search: bool


class RateControl:
    """Keeps a fit on its way to a target.

    Args:
        target: What is asked for.
        model: Whose fit it is.
        light_field: That is fitted. All ranks of the model look at it at the same time.
        lmbda: Where the fit starts.
        schedule: Of the fit.
        exposure: Of the light field.

    Attributes:
        lmbda: float32 ``[]`` on the model's device: steps read it, also from a CUDA graph.
    """

    def __init__(
        self,
        target: Target,
        model: SceneModel,
        light_field: LightField,
        lmbda: float,
        schedule: Schedule,
        exposure: Exposure | None = None,
    ) -> None:
        self.target, self._schedule, self._start = target, schedule, math.log(lmbda)
        self.lmbda = torch.full((), lmbda, device=model.latents.device)
        self._model, self._lags = model, Lags(schedule, _LAST)
        n_views = _VIEWS_CPU if self.lmbda.device.type == "cpu" else _VIEWS_CUDA
        self._few, self._all, self._searched, self._rested = (
            Probe(model, light_field, n, exposure) for n in n_views
        )
        self._correction = Correction(target, model, self._few, self.lmbda)
        # Numbers that a checkpoint keeps, hence tensors: the log(lmbda) that the latents have
        # followed without the schedule's factor, what they have followed of that factor, and at
        # which progress; the distance of late; by how many dB the few views differ from all of
        # them at the size of the last look, and that size, -1 where the next one begins anew; what
        # the trial has found (bits left of all but the latents, against what is expected); and by
        # what factor whole views have more of the latents' bits, 0 while unknown; log(lmbda), the
        # distance, and the share that had come, at the first look at the present size; and that
        # share now.
        begin = [math.log(lmbda), math.log(schedule.first_lmbda), 0.0, 0.0, 0.0, -1.0, 1.0, 0.0]
        begin += [0.0, 0.0, 1.0, 1.0]
        self._kept = [torch.tensor(value).double() for value in begin]
        self._followed, self._raised, self._seen, self._recent, self._offset = self._kept[:5]
        self._level, self._left, self._growth, *self._first, self._share = self._kept[5:]

    @property
    def reached(self) -> float:
        """The lmbda that the latents have followed, which gives such a file without a target."""
        return math.exp(float(self._followed))

    def state(self) -> list[Tensor]:
        """What :meth:`look` and :meth:`foresee` change, not copied."""
        return [self.lmbda, *self._kept]

    def foresees(self, done: int, planned: int) -> bool:
        """Whether it is time to :meth:`foresee` after a step.

        Of quality so few steps tell nothing.
        """
        if self._model.level != 1 or self.target.bits is None:
            return False
        begin, end = self._schedule.span(1)
        return (done - 1) / planned < begin + _FORESEE * (end - begin) <= done / planned

    def foresee(self, ahead: Callable[[], AbstractContextManager[Callable[[int], None]]]) -> None:
        """Learn from some steps how many bits whole views have against smaller ones.

        Args:
            ahead: Gives a context in which whole views are fitted, by as many steps as are asked
                for.
        """
        bits = self._few.parts()[0]
        with ahead() as go:
            go(_AHEAD)
            whole = self._few.parts()[0]
        # Not within the context, which takes back all that a fit knows.
        self._growth.fill_(whole / bits)
        self._level.fill_(-1)  # what is expected now is no outcome of earlier changes of lmbda

    def look(self, done: int, planned: int) -> None:
        """Adapt lmbda after a step, if it is time to.

        Args:
            done: Steps that are done.
            planned: Of the fit.
        """
        look = self._due(done, planned)
        if look is None:
            return
        self._follow(look.total, planned)
        lmbda = math.exp(float(self._followed))
        outlook = self._outlook(look, planned, lmbda)
        if look.tries_search and self.target.bits is not None:
            self._try_search(outlook)
        self._level.fill_(look.level)
        distance = self._distance(outlook, look.is_full)
        distance /= min(1.0, (lmbda / _SENSITIVE) ** _SENSITIVE_EXPONENT)
        if math.isfinite(distance):
            if look.after_smaller:
                distance /= self._share_come(look, distance)
            distance += float(self._raised)  # which the schedule takes back
            latest = 1.0 if look.is_first else _LATEST
            self._recent.lerp_(torch.tensor(distance).double(), latest)
            self._move(look, planned)

    def _share_come(self, look: _Look, distance: float) -> float:
        """Share of what the changes of lmbda at this size should have done that has come of them.

        Args:
            look: The present one.
            distance: Of the file that is expected, as a typical scene's would be.
        """
        log_lmbda = float(self._followed + self._raised)
        if look.is_first:
            present = log_lmbda, distance, float(self._share)
            for first, now in zip(self._first, present, strict=True):
                first.fill_(now)
        log_lmbda_then, distance_then, share_then = map(float, self._first)
        moved, come = log_lmbda - log_lmbda_then, distance_then - distance
        few = _FEW_CHANGES**2
        share = (few * share_then + moved * come) / (few + moved**2)
        self._share.fill_(min(1.0, max(_LEAST_SHARE, share)))
        return float(self._share)

    def _due(self, done: int, planned: int) -> _Look | None:
        """The look after a step, None if it is not time for one."""
        level, total = self._model.level, done / planned
        if total > _LAST:
            return None
        begin, end = self._schedule.span(level)
        n_looks = int(min(_LOOKS[1], max(_LOOKS[0], planned / _STEPS_PER_LOOK)))
        width = 1 / n_looks
        scale = _LAST / (min(end, _LAST) - begin)
        progress, wide = max(0.0, total - begin) * scale, width * scale
        first = _FIRST_OF_SMALLER if level else _FIRST
        if int((done - 1) / planned * n_looks) == int(total * n_looks) or progress < first:
            return None
        is_first = bool(self._level != level)
        is_regular = progress > _LAST - wide or total % (1 / _N_FULL) < width
        return _Look(
            level=level,
            total=total,
            progress=progress,
            after_smaller=begin > 0,
            is_first=is_first,
            is_full=is_first or (not level and is_regular),
            tries_search=not level and _TRIAL <= progress < _TRIAL + wide,
        )

    def _outlook(self, look: _Look, planned: int, lmbda: float) -> Outlook:
        """What the rest of the fit still changes, with what steps of whole views have told."""
        n_pixels = self._model.header.height * self._model.header.width
        outlook = outlook_of(
            look.level, look.after_smaller, look.progress, planned, lmbda, n_pixels
        )
        if look.level and self._growth > 0:
            outlook = outlook._replace(growth=growth_foreseen(float(self._growth), lmbda))
        return outlook

    def _move(self, look: _Look, planned: int) -> None:
        """Set lmbda so that the latents have made up the recent distance when they rest."""
        lags = planned * self._lags.between(look.total, _LAST)
        move = float(self._recent) / max(_LEAST_EFFECT, 1 - math.exp(-lags))
        low, high = self._bounds(look.total)
        log_lmbda = float(self._followed) + min(_FURTHEST, max(-_FURTHEST, move))
        self.lmbda.fill_(math.exp(min(high, max(low, log_lmbda))))

    def _follow(self, progress: float, planned: int) -> None:
        """What the latents have followed by now."""
        lags = planned * self._lags.between(float(self._seen), progress)
        factor = self._schedule.lmbda_factor(torch.tensor(progress))
        for followed, present in ((self._followed, self.lmbda), (self._raised, factor)):
            followed.lerp_(present.cpu().double().log(), 1 - math.exp(-lags))
        self._seen.fill_(progress)

    def _bounds(self, progress: float) -> tuple[float, float]:
        """Of log(lmbda): early in a fit not far from the start, whatever is seen."""
        lowest, highest = math.log(_LOWEST), math.log(OPTION_RANGES["lmbda"].most)
        begin, end = _HELD
        held = min(1.0, max(0.0, (end - progress) / (end - begin)))
        down = max(0.0, self._start - math.log(_FACTOR_HELD) - lowest)
        up = max(0.0, highest - self._start - math.log(_FACTOR_HELD))
        return lowest + held * down, highest - held * up

    def rest(self) -> None:
        """Correct what the file would be when the latents have come to rest; the rest adapts to it.

        Call it once, after the search for the weights' steps.
        """
        if self.target.bits is not None:
            self.correct(self._few.bits(), 0.0, slack=_SLACK_AT_REST[0])
            return
        gain_db = end_gain_db(self._schedule.span(0)[0] > 0)
        for _ in range(_N_AT_REST):
            psnr_yuv = self._rested.psnr_yuv() + gain_db
            if not self.correct(0.0, psnr_yuv, slack=_SLACK_AT_REST[1]):
                return

    def correct(self, bits: float, psnr_yuv: float, slack: float = 1.0) -> bool:
        """Correct a file that is off, if its latents rest, see :meth:`Correction.run`. Collective.

        Args:
            bits: Of the file, as it would be now.
            psnr_yuv: Of it, in dB.
            slack: How much of what is near enough counts as such.

        Returns:
            Whether anything was changed.
        """
        return self._correction.run(bits, psnr_yuv, slack)

    def _try_search(self, outlook: Outlook) -> None:
        """Find out what the search for the weights' steps would give now, and take it back.

        A file that is nearly all latents is left alone.
        """
        latents, before = self._few.parts()
        if before < _MATTERS * latents:
            return
        step = self._model.weight_vector.step
        kept = step.clone()
        self._model.coarsen(*self._searched.views(), self.lmbda)
        self._left.fill_(self._few.parts()[1] / before / outlook.left)
        step.copy_(kept)

    def _distance(self, outlook: Outlook, full: bool) -> float:
        """Of the file that is expected from what the fit has reached."""
        if self.target.bits is not None:
            latents, others = self._few.parts()
            left = float(self._left) * outlook.left
            return self.target.distance(latents * outlook.growth + others * left, 0.0)
        psnr = self._few.psnr_yuv()
        if full:
            self._offset.fill_(self._all.psnr_yuv() - psnr)
        expected = psnr + float(self._offset) + outlook.gain_db
        return self.target.distance(0.0, expected)
