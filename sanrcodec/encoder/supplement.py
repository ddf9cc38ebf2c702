# SPDX-License-Identifier: MIT
"""A file and residuals of single views: where they pay, and where a target lacks more.

Must not choose blocks, nor change what a file already has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from sanrcodec.bitstream import container
from sanrcodec.bitstream.container import SectionType
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.residuals import (
    Tables,
    ViewResiduals,
    pack_residuals,
    residual_bits,
    unpack_residuals,
)
from sanrcodec.decoder import SanrFile, n_workers
from sanrcodec.encoder.block_errors import BlockErrors, find_block_errors
from sanrcodec.encoder.exposure import Exposure
from sanrcodec.encoder.memory import free_bytes
from sanrcodec.encoder.quality import measured_again
from sanrcodec.encoder.rarity import has_rare_colors
from sanrcodec.encoder.residuals import choose_residuals
from sanrcodec.encoder.settle import Written
from sanrcodec.encoder.target import Target
from sanrcodec.errors import LightFieldError, SanrError
from sanrcodec.lightfield import LightField
from sanrcodec.metrics import psnr_yuv
from sanrcodec.parallel import in_order
from sanrcodec.presets import OPTION_RANGES
from sanrcodec.scene.residuals import add_residuals

__all__ = ["hidden_pixels", "supplemented"]

_COLOR_SHARE = 0.15  # of the bits of a file, that objects of a rare color may take
_TIMES_CHOSEN = 5  # memory that the choice takes, against that of the coefficients
_KEPT_BYTES = 2**28  # of decoded views: where all of them are fewer, each is decoded once
_DEAREST = 16.0  # times lmbda, where a target allows little
# Views by which another lmbda is found, first about, then within that factor of it, by so many
# halvings of its logarithm each; and files that are tried.
_N_FEW, _SPAN, _N_HALVINGS, _N_TRIES = 5, 2.0, 5, 4

Hidden = Mapping[tuple[int, int], npt.NDArray[np.bool_]]


def hidden_pixels(
    light_field: LightField, dead_pixels: Hidden, exposure: Exposure | None
) -> Hidden:
    """Pixels that are no part of the scene, for :func:`supplemented`.

    Args:
        light_field: The original.
        dead_pixels: bool ``[H, W]`` of views that have some.
        exposure: Of the light field, if it is known: of its dead views all pixels are hidden.
    """
    dead = [] if exposure is None else np.argwhere(exposure.is_dead).tolist()
    everything = np.broadcast_to(np.True_, light_field.shape[2:4])
    return {**dead_pixels, **{(v, u): everything for v, u in dead}}


def supplemented(
    written: Written,
    light_field: LightField,
    lmbda: float,
    target: Target | None = None,
    hidden: Hidden | None = None,
    may_cost_more: bool = True,
    warn: Callable[[str], None] = lambda line: None,
) -> Written:
    """Add residuals to a file.

    Args:
        written: The file; where its quality is not known it stays as it is.
        light_field: The original.
        lmbda: Weight of the rate.
        target: What is asked for, if anything. Where it allows less than what pays, residuals have
            a higher lmbda; where it lacks more, a lower one.
        hidden: bool ``[H, W]`` of some views, pixels that get no residual.
        may_cost_more: Whether the lmbda may be lower.
        warn: Called with a line before residuals are looked for that cost more, which takes a
            while. Not where a target is but a limit: that asks for no more than is good.

    Returns:
        The file with residuals, and its quality; the same file if there are none.

    Raises:
        SanrError: the residuals do not decode to what was coded (a defect of the encoder).
    """
    if math.isnan(written.quality.mean):
        return written
    best = written
    least = OPTION_RANGES["lmbda"].least if may_cost_more else lmbda
    # It is good as it is, should memory be short or the original not be read any more.
    with suppress(LightFieldError, MemoryError):
        supplement = _Supplement(written, light_field, hidden or {}, warn)
        for found in supplement.files(lmbda, least, target):
            best = found
    return best


class _Coded(NamedTuple):
    """A file with residuals, their head, and those of each view."""

    content: bytes
    tables: Tables
    residuals: Sequence[ViewResiduals]


class _Supplement:
    """Residuals of a file, at any lmbda."""

    def __init__(
        self,
        written: Written,
        light_field: LightField,
        hidden: Hidden,
        warn: Callable[[str], None],
    ) -> None:
        self.written, self.light_field, self.hidden = written, light_field, hidden
        self._warn = warn
        self.opened = written.decoded
        self.n_views = math.prod(light_field.grid)
        self.has_rare_colors = has_rare_colors(light_field)
        self.color_bits = _COLOR_SHARE * 8 * len(written.content)
        n_kept = _KEPT_BYTES // (self.opened.dtype.itemsize * math.prod(self.opened.shape[2:]))
        self.decoded = lru_cache(n_kept)(self._decoded)

    def files(self, lmbda: float, least: float, target: Target | None) -> Iterator[Written]:
        """Files with residuals, each nearer to what is wanted; see :func:`supplemented`.

        Args:
            lmbda: At which residuals pay.
            least: That they may have.
            target: What is asked for, if anything.
        """
        best = self.written
        if target and target.exceeds(*_figures(best)):
            return
        errors = self.errors(lmbda)
        coded = self.coded(errors, lmbda)
        found = self.measured(*coded) if coded else best
        if target and target.exceeds(*_figures(found)) and self.color_bits:
            self.color_bits = 0.0
            coded = self.coded(errors, lmbda)
            found = self.measured(*coded) if coded else best
        if target is None or not target.exceeds(*_figures(found)):
            yield (best := found)
        if target and target.exceeds(*_figures(found)):
            yield from self._nearer(best, target, found, lmbda, lmbda * _DEAREST)
        elif target and least < lmbda and _lacks(target, found):
            if not target.is_limit:
                self._warn(
                    f"{target.label}: this fit ends at {found.quality.mean:.2f} dB and "
                    f"{len(found.content)} bytes; what is missing is added view by view, which "
                    "takes many bits. More steps or a slower preset may need fewer"
                )
            yield from self._nearer(best, target, found, lmbda, least)

    def _nearer(
        self, best: Written, target: Target, found: Written, lmbda: float, end: float
    ) -> Iterator[Written]:
        """Files with residuals at another lmbda, each nearer to the target than the one before.

        One was found at a lmbda, and has too much or too little; it is changed up to an end.
        """
        few, (least, most) = _Few(self, target), sorted((lmbda, end))
        about = _solved(lambda x: few.at(x).distance, 0.0, least, most)
        # With one step they change little with lmbda; from one to the next they would jump.
        step, aim = few.at(about).step, 0.0
        low, high = max(least, about / _SPAN), min(most, about * _SPAN)
        known = {lmbda: target.distance(*_figures(found))}
        for _ in range(_N_TRIES):
            tried = _between(known)
            if tried is None:
                tried = _solved(lambda x: few.at(x, step).distance, aim, low, high)
            if tried in known:
                break
            coded = self.coded(self.errors(tried), tried, step)
            figures = _figures(found := self.measured(*coded) if coded else self.written)
            if target.miss(*figures) < target.miss(*_figures(best)):
                yield (best := found)
            if not (target.exceeds(*figures) or target.falls_short(*figures)):
                break
            known[tried] = target.distance(*figures)
            aim = few.at(tried, step).distance - known[tried]

    def errors(self, lmbda: float) -> list[BlockErrors]:
        """What the views lack, as far as it may pay at that lmbda.

        Raises:
            MemoryError: there is too little to choose from so much.
        """
        found, free = [], free_bytes(torch.device("cpu"))
        left = math.inf if free is None else free
        for errors in self.errors_of(enumerate(self.light_field.views()), lmbda):
            found.append(errors)
            left -= _TIMES_CHOSEN * errors.coefficients.nbytes
            if left < 0:
                raise MemoryError
        return found

    def errors_of(
        self, originals: Iterable[tuple[int, np.ndarray]], lmbda: float
    ) -> Iterator[BlockErrors]:
        """The same of some views, given by number and original, in their order."""
        depth, price = self.light_field.bit_depth, self.price(lmbda)

        def of_one(original: tuple[int, np.ndarray]) -> BlockErrors:
            i, reference = original
            decoded, hidden = self.decoded(i), self.hidden.get(self.place(i))
            return find_block_errors(reference, decoded, depth, price, hidden, self.has_rare_colors)

        return in_order(of_one, originals, n_workers())

    def _decoded(self, i: int) -> np.ndarray:
        """A view without residuals, by its number; it is not to be changed."""
        return self.opened.view(*self.place(i))

    def place(self, i: int) -> tuple[int, int]:
        """Row and column of a view, by its number."""
        return divmod(i, self.light_field.grid[1])

    def price(self, lmbda: float) -> float:
        """Of a bit, in weighted squares of single views."""
        return lmbda * self.n_views

    def coded(
        self, errors: Sequence[BlockErrors], lmbda: float, step: int | None = None
    ) -> _Coded | None:
        """The file with residuals, None if no block is worth one."""
        price, header = self.price(lmbda), self.opened.header
        chosen = choose_residuals(header, errors, price, step, self.color_bits)
        if chosen is None:
            return None
        payload = pack_residuals(self.opened.header, *chosen)
        _check(self.opened, payload, chosen[1])
        return _Coded(_with_section(self.opened, payload), *chosen)

    def measured(
        self, content: bytes, tables: Tables, residuals: Sequence[ViewResiduals]
    ) -> Written:
        """The same, its views with residuals measured; the scene is decoded already."""

        def changed(i: int) -> np.ndarray:
            view = self.decoded(i).copy()
            _add(view, self.opened.header, tables.step, residuals[i])
            return view

        numbers = [i for i, of_view in enumerate(residuals) if of_view.places.size]
        references = (self.light_field.view(*self.place(i)) for i in numbers)
        views = zip(numbers, references, in_order(changed, numbers, n_workers()), strict=True)
        quality = measured_again(self.written.quality, views, self.light_field.bit_depth)
        estimated = self.written.estimated_bytes + len(content) - len(self.written.content)
        decoded = SanrFile(content, max_pixels=math.inf, max_work=math.inf)
        return Written(content, estimated, decoded, quality)


class _Outlook(NamedTuple):
    """What is expected of a file with residuals.

    Attributes:
        distance: From a target, as of :meth:`Target.distance`.
        step: Of the residuals; None if there are none.
    """

    distance: float
    step: int | None


class _Few:
    """What residuals of a few views tell of those of all."""

    def __init__(self, supplement: _Supplement, target: Target) -> None:
        self._all, self._target = supplement, target
        every = -(-supplement.n_views // _N_FEW)
        self._numbers = range(every // 2, supplement.n_views, every)
        self._header = replace(supplement.opened.header, n_v=1, n_u=len(self._numbers))
        places = (supplement.place(i) for i in self._numbers)
        self._references = [supplement.light_field.view(*place) for place in places]
        self._psnr_before = self._psnr_yuv([supplement.decoded(i) for i in self._numbers])
        self.at = cache(self._at)

    def _at(self, lmbda: float, step: int | None = None) -> _Outlook:
        """The file with residuals at some lmbda, and of a step if one is given."""
        bits, psnr = _figures(self._all.written)
        few = zip(self._numbers, self._references, strict=True)
        errors = list(self._all.errors_of(few, lmbda))
        color_bits = self._all.color_bits * len(errors) / self._all.n_views
        chosen = choose_residuals(self._header, errors, self._all.price(lmbda), step, color_bits)
        if chosen is None:
            return _Outlook(self._target.distance(bits, psnr), None)
        tables, residuals = chosen
        bits += residual_bits(self._header, *chosen) * self._all.n_views / len(residuals)
        views = [self._all.decoded(i).copy() for i in self._numbers]
        for samples, found in zip(views, residuals, strict=True):
            _add(samples, self._header, tables.step, found)
        psnr += self._psnr_yuv(views) - self._psnr_before
        return _Outlook(self._target.distance(bits, psnr), tables.step)

    def _psnr_yuv(self, views: Sequence[np.ndarray]) -> float:
        """Mean over the few views, in dB."""
        pairs = zip(self._references, views, strict=True)
        return float(np.mean([psnr_yuv(*pair, self._header.bit_depth) for pair in pairs]))


def _between(known: Mapping[float, float]) -> float | None:
    """The lmbda between two of which one has too much, and the other too little; None without.

    Args:
        known: Distance, which falls, by lmbda.
    """
    below = max((lmbda for lmbda, distance in known.items() if distance > 0), default=None)
    above = min((lmbda for lmbda, distance in known.items() if distance <= 0), default=None)
    if below is None or above is None:
        return None
    distances = known[above], known[below]
    return math.exp(float(np.interp(0.0, distances, (math.log(above), math.log(below)))))


def _solved(distance: Callable[[float], float], value: float, least: float, most: float) -> float:
    """The lmbda from the least to the most one at which a distance, which falls, has a value."""
    low, high = math.log(least), math.log(most)
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        if distance(math.exp(middle)) > value:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def _lacks(target: Target, written: Written) -> bool:
    """Whether a file that has not too much has too little."""
    n_bytes = len(written.content)
    return bool(target.missed(n_bytes, written.quality.mean) or target.unused(n_bytes))


def _figures(written: Written) -> tuple[float, float]:
    """Bits and PSNR-YUV in dB, as :class:`Target` takes them."""
    return 8.0 * len(written.content), written.quality.mean


def _with_section(opened: SanrFile, payload: bytes) -> bytes:
    """The file with the section of residuals after that of latents."""
    parts = [(section.type, section.payload) for section in opened.sections.values()]
    at = [kind for kind, _ in parts].index(SectionType.LATENTS) + 1
    return container.pack([*parts[:at], (SectionType.RESIDUALS, payload), *parts[at:]])


def _add(view: np.ndarray, header: StreamHeader, step: int, residuals: ViewResiduals) -> None:
    """Add the residuals of a view to all of it, in place."""
    region = 0, header.height, 0, header.width
    add_residuals(view, header.bit_depth, header.width, region, step, residuals)


def _check(opened: SanrFile, payload: bytes, views: Sequence[ViewResiduals]) -> None:
    _, found = unpack_residuals(opened.header, payload)
    for one, other in zip(found, views, strict=True):
        same = np.array_equal(one.places, other.places) and np.array_equal(one.flags, other.flags)
        if not (same and np.array_equal(one.levels, other.levels)):
            raise SanrError(
                "self-check failed: the coded residuals decode to others; please report this"
            )
