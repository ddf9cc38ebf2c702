# SPDX-License-Identifier: MIT
"""Search for the grid of a mosaic in its content; refuses where the content leaves doubt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sanrcodec.errors import LightFieldError
from sanrcodec.io.lenslet_pattern import LONGEST_PERIOD, has_lenslet_pattern
from sanrcodec.io.repetition import Repetition, border_ratios, find_comb, find_lone_border
from sanrcodec.lightfield import MAX_GRID, format_grid

__all__ = ["RepeatedContentError", "infer_grid", "is_lenslet_image"]

_MIN_VIEW_SIZE = 8  # pixels; smaller views cannot be told from texture
_FINE_REACH = 8  # pixels of disparity between views that are tried one by one
# Lines across the searched axis that are looked at, up to twice as many; fewer of a long strip.
_N_LINES, _MIN_LINES, _MAX_LOOKED_AT = 256, 32, 2**20
# Border contrast of real views is 1.2..60, elsewhere 0.5..1.2 (up to 5 where borders are few).
# Difference of real neighbors is 0.03..0.45, of other content 0.8..2 (less if nearly a period).
_MIN_CONTRAST = 1.2
_MAX_DIFFERENCE, _DIFFERENCE_PER_CONTRAST = 0.6, 0.3
# Content that repeats so well needs no sharp borders: objects before a plain background.
_SURE_DIFFERENCE, _FLAT_CONTRAST = 0.15, 0.9
_DOUBT_CONTRAST, _DOUBT_DIFFERENCE = 2.5, 0.5  # one of both alone: something is there, but what?
# A lenslet image has sharp borders around macro-pixels of a few pixels, and as sharp ones at every
# multiple of their size; a mosaic has none between those of its views.
_MIN_MACRO_PIXEL = 3
_LENSLET_CONTRAST, _LENSLET_SHARE = 1.3, 0.5
_LENSLET_LEAST = 0.7  # of what views explain, which may be multiples of macro-pixels, too
# A grid that divides the image may lie beside the true one, if the image was cut. The true borders
# are sharper then, or the content repeats better than between the supposed views.
_SHARPER, _BETTER = 2.0, 0.75


class RepeatedContentError(LightFieldError):
    """Views repeat in an image, but it is not clear how: a part is lost, or they have frames.

    Args:
        sizes: Rows and columns of the image.
        periods: Pixels after which its content repeats along each; 0 where views explain it.
        counts: Number of views along each that were found.
    """

    def __init__(
        self,
        sizes: tuple[int, int],
        periods: tuple[int, int],
        counts: tuple[int | None, int | None],
    ) -> None:
        self.periods = periods
        self.found = "the content repeats " + " and ".join(
            f"about every {period} of {size} {name} of pixels"
            for period, size, name in zip(periods, sizes, ("rows", "columns"), strict=True)
            if period
        )
        n_v, n_u = (
            count if not period else size // period if size % period == 0 else None
            for size, period, count in zip(sizes, periods, counts, strict=True)
        )
        advice = (
            "; if it is a mosaic of which a part is lost, give a whole one, or the views in a "
            "folder, also if there are lines between them; if not, add --grid VxU (one ordinary "
            "image is 1x1)"
        )
        if n_v and n_u:
            advice = (
                f", without sharp borders; if these are views with frames, add --grid {n_v}x{n_u}; "
                "if not, add --grid VxU (one ordinary image is 1x1)"
            )
        if max(periods) <= LONGEST_PERIOD:
            advice += "; if it is a lenslet image, add --layout lenslet too"
        super().__init__(self.found + advice)


def infer_grid(samples: np.ndarray) -> tuple[int, int]:
    """Find the grid of a mosaic from its content.

    Views are shifted copies of their neighbors and end abruptly. A number of views along an
    axis is accepted where the borders are sharp *and* the content repeats; of the accepted
    numbers, which must all divide the largest, the largest wins: whole groups of views repeat
    too. An axis without any trace of either is a single view.

    Args:
        samples: uint8 or uint16 array ``[rows, columns, C]``.

    Returns:
        ``(V, U)``.

    Raises:
        RepeatedContentError: it is no whole mosaic, or one with frames around its views.
        LightFieldError: more than one grid is plausible; the message names the option to add.
    """
    axes = _borders(samples), _borders(samples.swapaxes(0, 1))
    periods = axes[0].period, axes[1].period
    macro_pixel = axes[0].macro_pixel, axes[1].macro_pixel
    if macro_pixel[0] and macro_pixel[1]:
        grid = format_grid(macro_pixel)
        raise LightFieldError(
            f"the content looks like a lenslet image of {grid} views; "
            f"add --layout lenslet --grid {grid}, or --grid VxU if it is a mosaic "
            "(one ordinary image is 1x1)"
        )
    counts = axes[0].n_views, axes[1].n_views
    rows, columns, _ = samples.shape
    if max(periods) > LONGEST_PERIOD:
        raise RepeatedContentError((rows, columns), periods, counts)
    if not {*counts}.isdisjoint((None, 1)) and has_lenslet_pattern(samples):
        raise LightFieldError(
            "the content looks like a lenslet image. If its macro-pixels are whole pixels, add "
            "--layout lenslet --grid VxU; else decode it to views first, with LFToolbox or "
            "plenopticam. If it is a mosaic of small views, add --grid VxU (one ordinary image is "
            "1x1)"
        )
    if any(periods):
        raise RepeatedContentError((rows, columns), periods, counts)
    if counts[0] is None or counts[1] is None:
        unclear = [name for name, n in zip(("rows", "columns"), counts, strict=True) if n is None]
        raise LightFieldError(
            f"the number of {' and '.join(unclear)} of views is not clear from the content; "
            "add --grid VxU, for example --grid 9x9 (one ordinary image is 1x1; "
            "for a lenslet image add --layout lenslet too)"
        )
    return counts[0], counts[1]


@dataclass(frozen=True, slots=True)
class _Borders:
    """What the borders along one axis tell.

    Attributes:
        n_views: Of a mosaic; None if there is doubt.
        macro_pixel: Size of the macro-pixels of a lenslet image; 0 if it is none.
        period: Pixels after which the content repeats, if no number of views explains it; else 0.
    """

    n_views: int | None
    macro_pixel: int
    period: int


def is_lenslet_image(samples: np.ndarray, grid: tuple[int, int]) -> bool:
    """Tell whether an image repeats in macro-pixels of so many views rather than in such views.

    Args:
        samples: uint8 or uint16 array ``[rows, columns, C]``.
        grid: Number of views ``(V, U)`` that somebody states; it divides the image.
    """
    if max(grid) == 1:
        return False
    if min(grid) > 1 and grid == _macro_pixels(samples):
        return True
    for axis, count in zip((samples, samples.swapaxes(0, 1)), grid, strict=True):
        if count == 1:
            continue
        size = len(axis) // count
        repetition, reach = Repetition(_lines(axis)), max(1, size // 16)
        as_views = repetition.at(range(size - reach, size + reach + 1))
        as_lenses = repetition.at(range(count, count + 1))
        if not repetition.is_peak(count) or as_lenses < _LENSLET_LEAST * as_views:
            return False
    return True


def _macro_pixels(samples: np.ndarray) -> tuple[int, int]:
    return _borders(samples).macro_pixel, _borders(samples.swapaxes(0, 1)).macro_pixel


def _lines(samples: np.ndarray) -> npt.NDArray[np.float32]:
    """Some lines along axis 0 of ``[length, n, C]``, as gray."""
    length, n_lines, _ = samples.shape
    wanted = min(_N_LINES, max(_MIN_LINES, _MAX_LOOKED_AT // length))
    gray: npt.NDArray[np.float32] = samples[:, :: max(1, n_lines // wanted)].mean(
        axis=2, dtype=np.float32
    )
    return gray


def _borders(samples: np.ndarray) -> _Borders:
    """Look for borders along axis 0 of ``[length, n, C]``."""
    lines = _lines(samples)
    length = len(lines)
    floor = np.float32(1e-3) * (lines.max() + 1)  # a quarter of an 8-bit step is no border
    ratios = border_ratios(np.abs(np.diff(lines, axis=0)).mean(axis=1), floor)
    accepted, doubtful = [1], False
    contrasts, differences = {}, {1: 1.0}
    for count in range(2, length // _MIN_MACRO_PIXEL + 1):
        if length % count:
            continue
        contrast = contrasts[count] = _border_contrast(ratios, length // count)
        if count > MAX_GRID or length // count < _MIN_VIEW_SIZE:
            continue
        difference = differences[count] = _view_difference(lines, length // count, floor)
        allowed = min(_MAX_DIFFERENCE, _DIFFERENCE_PER_CONTRAST * contrast)
        sure = difference <= _SURE_DIFFERENCE and contrast >= _FLAT_CONTRAST
        if sure or (contrast >= _MIN_CONTRAST and difference <= allowed):
            accepted.append(count)
        elif contrast >= _DOUBT_CONTRAST or difference <= _DOUBT_DIFFERENCE:
            doubtful = True
    best = accepted[-1]
    macro_pixel = _macro_pixel(length, contrasts, best)
    # A clearly better repetition without sharp borders: perhaps whole groups were taken for views.
    rivals = min((value for count, value in differences.items() if best % count), default=1.0)
    period = _unexplained_period(Repetition(lines), ratios, length // best)
    if best == 1:
        return _Borders(None if doubtful else 1, macro_pixel, period)
    unclear = (
        any(best % count for count in accepted)
        or best > length // best
        or rivals < 0.75 * differences[best]
    )
    return _Borders(None if unclear else best, macro_pixel, period)


def _macro_pixel(length: int, contrasts: dict[int, float], best: int) -> int:
    """Size of the macro-pixels of a lenslet image along an axis; 0 if there are none.

    Args:
        length: Of the axis.
        contrasts: Of the borders, by the number of parts.
        best: Number of parts that look like views, or 1.
    """
    sharp = [count for count, contrast in contrasts.items() if contrast >= _LENSLET_CONTRAST]
    if not sharp or sharp[-1] <= length // sharp[-1]:
        return 0
    usual = contrasts[best] if best > 1 else float(np.median([contrasts[c] for c in sharp]))
    return length // sharp[-1] if contrasts[sharp[-1]] >= _LENSLET_SHARE * usual else 0


def _unexplained_period(repetition: Repetition, ratios: npt.NDArray[np.float32], size: int) -> int:
    """Period of the content along an axis that views of this size do not explain; else 0.

    Args:
        repetition: Of the content.
        ratios: Of its edges.
        size: Of the views along the axis that were found, or the length of the axis.
    """
    lag = repetition.lag
    if not lag:
        return find_lone_border(ratios, repetition, _SHARPER) if size > len(ratios) else 0
    period, contrast = find_comb(ratios, lag, max(1, lag // 16))
    if size <= len(ratios):
        reach = max(1, size // 16)
        off = abs(lag - max(1, round(lag / size)) * size)
        own = repetition.at(range(size - reach, size + reach + 1))
        explains = off <= reach or 1 - repetition.at(range(lag, lag + 1)) >= _BETTER * (1 - own)
        is_sharper = off > size // 32 and contrast >= _SHARPER * _border_contrast(ratios, size)
        if explains and not is_sharper:
            return 0
    return period if contrast >= _SHARPER else lag


def _border_contrast(ratios: npt.NDArray[np.float32], size: int) -> float:
    """How much sharper than their surroundings the borders between views of this size are.

    The lower quartile over the borders: with twice too many views, half the borders are none.
    """
    return float(np.quantile(ratios[size - 1 :: size], 0.25))


def _view_difference(lines: np.ndarray, size: int, floor: np.float32) -> float:
    """How much neighboring views of this size differ, relative to unrelated content.

    The best of a few shifts around the size allows for disparity along the axis.
    """

    def difference(lag: int) -> float:
        return float(np.abs(lines[lag:] - lines[:-lag]).mean())

    reach = max(1, size // 16)
    # Fine texture repeats at one lag only, so that small disparities are all tried.
    shifts = {*range(-min(reach, _FINE_REACH), min(reach, _FINE_REACH) + 1)}
    shifts |= {
        sign * shift for shift in range(0, reach + 1, max(1, size // 64)) for sign in (-1, 1)
    }
    lags = [size + shift for shift in sorted(shifts) if size + shift < len(lines)]
    unrelated = [
        difference(lag)
        for lag in (size * tenths // 10 for tenths in (6, 7, 8, 12, 13, 14))
        if 0 < lag < len(lines)
    ]
    usual = float(np.median(unrelated))
    if usual < floor:
        return _DOUBT_DIFFERENCE  # where nothing changes, nothing repeats
    return min(difference(lag) for lag in lags) / usual
