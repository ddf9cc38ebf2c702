# SPDX-License-Identifier: MIT
"""What is asked of a file besides a weight of the rate: bits or quality, and how near is near.

Must not know of fits: what adapts one to a target is :mod:`sanrcodec.encoder.control`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sanrcodec.errors import LightFieldError
from sanrcodec.presets import checked_number, psnr_of_quality

__all__ = ["Target", "target_of"]

_BPP_TOLERANCE = 0.03
_PSNR_TOLERANCE_DB = 0.2
_SIZE_TOLERANCE = 0.05
# Share of a tolerance that a file may use before it is corrected: figures of few views are not
# exact. And the share that is kept below a limit where none of that is allowed.
_CORRECTED, _BELOW_LIMIT = 0.8, 0.4

# Bits per pixel of one view = _TYPICAL_RATE * lmbda ** -_RATE_EXPONENT, of the eight scenes of
# results/rd.csv; a scene differs by a factor of 4.
_TYPICAL_RATE, _RATE_EXPONENT = 3.3, 0.55
_NETWORK_BITS = 12_000  # that a small file has besides, about
# Scenes differ by more than lmbda does: a PSNR that is asked for tells little of it.
_OCTAVES_PER_DB_ASKED, _MIDDLE_LMBDA, _MIDDLE_DB = 0.15, 10.0, 37.6
_DB_PER_OCTAVE = 1.1
# Where a fit may start: the latents' step, which stays, is better too fine than too coarse.
_GUESSES = 0.3, 20.0


@dataclass(frozen=True, slots=True)
class Target:
    """Either a size or a quality.

    Attributes:
        name: Of the argument that asks for it.
        value: As it was asked for: bits per pixel, dB, bytes, or a step of the ladder.
        bits: Of the whole file, or None.
        psnr_yuv: Mean over the views, in dB, or None.
        is_limit: Whether a file may have fewer bits, but not more.
        asked_as: How messages name it, if not by argument and value.
    """

    name: str
    value: float
    bits: float | None = None
    psnr_yuv: float | None = None
    is_limit: bool = False
    asked_as: str = ""

    @property
    def label(self) -> str:
        """What messages name it by."""
        return self.asked_as or f"{self.name} {self.value:g}"

    def guess(self, n_pixels: int, n_views: int) -> float:
        """The lmbda that meets it on a typical scene, from which a fit starts.

        Args:
            n_pixels: Of all views.
            n_views: Of the light field.
        """
        if self.bits is not None:
            rate = self.bits**2 / (self.bits + _NETWORK_BITS) / (n_pixels / n_views)
            log_lmbda = math.log(_TYPICAL_RATE / rate) / _RATE_EXPONENT
        else:
            assert self.psnr_yuv is not None
            octaves = (_MIDDLE_DB - self.psnr_yuv) * _OCTAVES_PER_DB_ASKED
            log_lmbda = math.log(_MIDDLE_LMBDA) + octaves * math.log(2)
        low, high = map(math.log, _GUESSES)
        return math.exp(min(high, max(low, log_lmbda)))

    def distance(self, bits: float, psnr_yuv: float) -> float:
        """How far log(lmbda) is from what meets the target: positive asks for a higher lmbda.

        Args:
            bits: Expected of the file.
            psnr_yuv: Expected of it, in dB.
        """
        if self.bits is not None:
            return math.log(max(bits, 1.0) / self._aim) / _RATE_EXPONENT
        assert self.psnr_yuv is not None
        return (psnr_yuv - self.psnr_yuv) / _DB_PER_OCTAVE * math.log(2)

    @property
    def _aim(self) -> float:
        """Bits in the middle of those that are near enough."""
        assert self.bits is not None
        return self.bits * (1 - _SIZE_TOLERANCE / 2) if self.is_limit else self.bits

    def exceeds(self, bits: float, psnr_yuv: float, slack: float = 1.0) -> bool:
        """Whether a file has more than it shall.

        Args:
            bits: Of the file.
            psnr_yuv: Of it, in dB.
            slack: 0..1, share of what is near enough that counts as such.
        """
        if self.bits is not None:
            if self.is_limit:
                return bits > self.bits * (1 - _BELOW_LIMIT * _SIZE_TOLERANCE * (1 - slack))
            return bits > self.bits * (1 + _CORRECTED * _BPP_TOLERANCE * slack)
        assert self.psnr_yuv is not None
        return psnr_yuv > self.psnr_yuv + _CORRECTED * _PSNR_TOLERANCE_DB * slack

    def falls_short(self, bits: float, psnr_yuv: float, slack: float = 1.0) -> bool:
        """Whether a file has less than it shall; the arguments are those of :meth:`exceeds`."""
        if self.bits is not None:
            tolerance = _SIZE_TOLERANCE / 2 if self.is_limit else _BPP_TOLERANCE
            return bits < self._aim * (1 - _CORRECTED * tolerance * slack)
        assert self.psnr_yuv is not None
        return psnr_yuv < self.psnr_yuv - _CORRECTED * _PSNR_TOLERANCE_DB * slack

    def miss(self, bits: float, psnr_yuv: float) -> float:
        """How far a file is off, 0 where it is exact: of two the one with less is kept.

        Args:
            bits: Of the file.
            psnr_yuv: Of it, in dB.
        """
        if self.bits is None:
            assert self.psnr_yuv is not None
            return abs(psnr_yuv - self.psnr_yuv)
        # A file that is too large for a limit is worse than any that is not.
        return abs(bits / self.bits - 1) + (1.0 if self.breaks_limit(bits) else 0.0)

    def breaks_limit(self, bits: float) -> bool:
        """Whether a file of so many bits must not be."""
        return self.is_limit and self.bits is not None and bits > self.bits

    def missed(self, n_bytes: int, psnr_yuv: float) -> str:
        """One line of what was asked and what was reached; empty if the target is met.

        Args:
            n_bytes: Of the file.
            psnr_yuv: Measured on the decoded file, in dB.
        """
        if self.bits is None:
            assert self.psnr_yuv is not None
            if abs(psnr_yuv - self.psnr_yuv) <= _PSNR_TOLERANCE_DB:
                return ""
            asked = f"asked for {self.psnr_yuv:.2f} dB"
            return f"{self.label}: {asked}, reached {psnr_yuv:.2f} dB"
        ratio = 8 * n_bytes / self.bits
        low = 0.0 if self.is_limit else 1 - _BPP_TOLERANCE
        high = 1.0 if self.is_limit else 1 + _BPP_TOLERANCE
        if low <= ratio <= high:
            return ""
        asked = f"asked for {self.bits / 8:.0f} bytes"
        return f"{self.label}: {asked}, reached {n_bytes} ({ratio - 1:+.1%})"

    def unused(self, n_bytes: int) -> str:
        """One line of what is left of a largest size, if that is much; else empty.

        A file that is smaller than it may be is no failure: the fit has found no use for more.

        Args:
            n_bytes: Of the file.
        """
        if not self.is_limit or self.bits is None:
            return ""
        ratio = 8 * n_bytes / self.bits
        if ratio >= 1 - _SIZE_TOLERANCE:
            return ""
        return (
            f"{self.label}: {n_bytes} bytes, {min(1 - ratio, 0.99):.0%} are left; "
            "this fit found no use for more"
        )


def target_of(
    n_pixels: int,
    *,
    bpp: float | None = None,
    psnr: float | None = None,
    max_size: int | None = None,
    quality: float | None = None,
    asked_as: str = "",
) -> Target | None:
    """The target that the options ask for, None if they ask for none.

    Args:
        n_pixels: Of all views.
        bpp: Bits per pixel of all views.
        psnr: PSNR-YUV in dB, mean over the views.
        max_size: Bytes that the file must not exceed.
        quality: 1..100, see :func:`sanrcodec.presets.psnr_of_quality`.
        asked_as: How messages name the target, if not by argument and value.

    Raises:
        LightFieldError: several are given, or one is outside its range.
    """
    given = {"bpp": bpp, "psnr": psnr, "max_size": max_size, "quality": quality}
    asked = {name: value for name, value in given.items() if value is not None}
    if len(asked) > 1:
        raise LightFieldError(f"{' and '.join(asked)} contradict each other; give one of them")
    for name, found in asked.items():
        value = checked_number(name, found)
        if name == "bpp":
            return Target(name, value, bits=value * n_pixels, asked_as=asked_as)
        if name == "max_size":
            return Target(name, value, bits=8 * value, is_limit=True, asked_as=asked_as)
        level = psnr_of_quality(value) if name == "quality" else value
        return Target(name, value, psnr_yuv=level, asked_as=asked_as)
    return None
