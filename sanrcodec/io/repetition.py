# SPDX-License-Identifier: MIT
"""Distance at which the content of an image repeats, and where borders recur; knows no grid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Repetition", "border_ratios", "find_comb", "find_lone_border"]

_LEAST_LAG = 8  # pixels; what repeats within less is texture
_MOST_LAG = 0.56  # of the axis: two views of which one lost a tenth still repeat
# Where but a part of a second view is left, correlation alone is by chance; at a sharp border it is
# 0.28..0.93 behind a whole view, and 0.17 at most elsewhere.
_FAR_LAG, _LONE_CORRELATION = 0.85, 0.25
_LONE_SHARE = 1.5  # of the correlation at other lags; that of macro-pixels is the same at many
_CHUNK = 32  # lines that are transformed at once
# Correlation of neighboring views is 0.19..0.92, and stands out 10 to 150 times from that at other
# lags; elsewhere 0.12 and 6.4 at most (JPEG of low quality and enlarged images included).
_LEAST_CORRELATION, _LEAST_PROMINENCE = 0.15, 8.0
_FUNDAMENTAL = 0.9  # of the largest correlation
_TAIL = 98  # percentile; a few very sharp edges must not drown the rest


class Repetition:
    """Correlation of an image with itself, shifted along its first axis.

    Of slopes, not of samples: shading changes slowly, and so is alike at any small lag.

    Args:
        lines: float32 array ``[length, n]``, n lines across the axis.

    Attributes:
        lag: At which the content repeats best, in pixels; 0 where it does not repeat.
    """

    def __init__(self, lines: npt.NDArray[np.float32]) -> None:
        slopes = np.diff(lines, axis=0)
        limit = np.percentile(np.abs(slopes), _TAIL) or np.float32(1)
        slopes = np.clip(slopes, -limit, limit)
        length = len(slopes)
        shared = np.zeros(2 * length)
        for start in range(0, slopes.shape[1], _CHUNK):
            spectrum = np.fft.rfft(slopes[:, start : start + _CHUNK], 2 * length, axis=0)
            power = (spectrum.real**2 + spectrum.imag**2).sum(axis=1)
            shared += np.fft.irfft(power, 2 * length)
        energy = np.concatenate([[0.0], np.cumsum((slopes.astype(np.float64) ** 2).sum(axis=1))])
        lags = np.arange(length)
        overlap = np.sqrt(energy[length - lags] * (energy[length] - energy[lags]))
        self._correlation = shared[:length] / np.maximum(overlap, max(0.01 * energy[-1], 1e-9))
        self.lag = self._find()

    def at(self, lags: range) -> float:
        """Return the largest correlation of these lags."""
        part = self._correlation[max(lags.start, 1) : lags.stop]
        return float(part.max()) if len(part) else 0.0

    def is_peak(self, lag: int) -> bool:
        """Whether content that is unlike at shorter lags is alike again at this one."""
        value = self.at(range(lag, lag + 1))
        before = self._correlation[1:lag]
        return value >= _LEAST_CORRELATION and len(before) > 0 and float(before.min()) < 0.5 * value

    def _find(self) -> int:
        correlation = self._correlation
        # Up to the first zero, content is alike because it is smooth.
        low = max(_LEAST_LAG, int(np.argmax(correlation < 0.1)))
        part = correlation[low : int(_MOST_LAG * len(correlation)) + 1]
        if len(part) < 2 * _LEAST_LAG:
            return 0
        best, usual = float(part.max()), float(np.median(part))
        spread = float(np.median(np.abs(part - usual))) / 0.6745  # of a normal distribution
        is_prominent = best - usual >= _LEAST_PROMINENCE * max(spread, 1e-3)
        if best < _LEAST_CORRELATION or not is_prominent:
            return 0
        # Multiples of the lag are about as good; the top of the first peak is it.
        first = int(np.argmax(part >= _FUNDAMENTAL * best))
        falls = np.flatnonzero(part[first:] < _FUNDAMENTAL * best)
        end = first + int(falls[0]) if len(falls) else len(part)
        return low + first + int(part[first:end].argmax())


def border_ratios(edges: npt.NDArray[np.float32], floor: np.float32) -> npt.NDArray[np.float32]:
    """Return how much sharper each edge is than its surroundings.

    Args:
        edges: Mean absolute difference of each row of pixels from the next one.
        floor: Difference that means nothing.
    """
    around = np.lib.stride_tricks.sliding_window_view(np.pad(edges, 6, mode="reflect"), 13)
    usual = np.median(np.delete(around, (5, 6, 7), axis=1), axis=1)
    return ((edges + floor) / (usual + floor)).astype(np.float32)


def find_comb(ratios: npt.NDArray[np.float32], lag: int, reach: int) -> tuple[int, float]:
    """Find the period near a lag at which sharp borders recur, wherever the first one is.

    Args:
        ratios: Of the edges, see `border_ratios`.
        lag: About the period.
        reach: How far the period may be from it; disparity moves the lag, but not the borders.

    Returns:
        ``(period, contrast)``, the lower quartile over the borders of the best comb.
    """
    best = lag, 0.0
    for period in range(max(2, lag - reach), lag + reach + 1):
        n_borders = len(ratios) // period
        if n_borders < 1:
            continue
        combs = ratios[: n_borders * period].reshape(n_borders, period)
        contrast = float(np.quantile(combs, 0.25, axis=0).max())
        if contrast > best[1]:
            best = period, contrast
    return best


def find_lone_border(
    ratios: npt.NDArray[np.float32], repetition: Repetition, sharpness: float
) -> int:
    """Find the border behind a whole view, of whose only neighbor no more than a part is left.

    Args:
        ratios: Of the edges, see `border_ratios`.
        repetition: Of the same lines.
        sharpness: Least ratio of a border.

    Returns:
        The size of the view in pixels, 0 if there is no such border.
    """
    length = len(ratios) + 1
    best = 0, _LONE_CORRELATION
    last = int(_FAR_LAG * length)
    for size in range(max(_LEAST_LAG, length // 2), last):
        if ratios[size - 1] < sharpness:
            continue
        reach = max(1, size // 16)
        correlation = repetition.at(range(size - reach, size + reach + 1))
        others = (range(length // 3, size - 2 * reach), range(size + 2 * reach + 1, last))
        usual = max(repetition.at(lags) for lags in others)
        if correlation > max(best[1], _LONE_SHARE * usual):
            best = size, correlation
    return best[0]
