# SPDX-License-Identifier: MIT
"""Views that do not fit where they are, by their content; reads no names and corrects nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from sanrcodec.io.likeness import FLAT, LEAST_SIDE, Look, apart, looker
from sanrcodec.io.reading import Samples

__all__ = ["find_misplaced", "find_twins"]

_Place = tuple[int, int]

# Of real light fields 0.5 to 0.8, 1 where the parallax is so wide that no two views are alike, and
# 1.13 at the dim rim of a lenslet image; 1.4 to 32 where a view is of another place or scene.
_LEAST_SHARE = 1.3


def find_misplaced(samples: Samples, look: Look | None = None) -> list[_Place]:
    """Find where neighbors are less alike than views that are twice as far apart.

    There a view may be out of place, turned, missing before others, or of another scene; or the
    cameras are unevenly spaced.

    Args:
        samples: Array, or stand-in, ``[V, U, H, W, C]``.
        look: What has read them, if anything.

    Returns:
        Places ``v, u``, the clearest first. Those in lines of two views, or at the ends of lines of
        three, cannot be told, nor dark ones.
    """
    if min(samples.shape[2:4]) < LEAST_SIDE:
        return []
    look, (n_v, n_u) = look or looker(samples), samples.shape[:2]
    shares = {
        (v, u): max(
            _share(look, [(k, u) for k in range(n_v)], v),
            _share(look, [(v, k) for k in range(n_u)], u),
        )
        for v, u in np.ndindex(n_v, n_u)
    }
    odd = [place for place, share in shares.items() if share > _LEAST_SHARE]
    return sorted(odd, key=lambda place: -shares[place])


def find_twins(samples: Samples, look: Look | None = None) -> list[tuple[_Place, _Place]]:
    """Find views that are the same image as an earlier one, sample by sample.

    Args:
        samples: Array, or stand-in, ``[V, U, H, W, C]``.
        look: What has read them, if anything.

    Returns:
        Pairs of places, the earlier one first; none if all views are one image, nor of those of one
        color.
    """
    look, twins = look or looker(samples), []
    firsts: dict[bytes, list[_Place]] = defaultdict(list)  # by what is left of them
    for v, u in np.ndindex(samples.shape[:2]):
        reduced = look(v, u)
        if reduced.min() == reduced.max():
            continue
        alike = firsts[reduced.tobytes()]
        same = [place for place in alike if np.array_equal(samples[place], samples[v, u])]
        if same:
            twins.append((same[0], (v, u)))
        else:
            alike.append((v, u))
    n_images = sum(map(len, firsts.values()))
    return twins if n_images > 1 else []


def _share(look: Look, line: Sequence[_Place], at: int) -> float:
    """Difference of a view from its neighbors, as a share of that of views twice as far apart.

    0 where the line does not tell; of both neighbors the more alike counts.
    """
    if 0 < at < len(line) - 1:
        left, here, right = line[at - 1 : at + 2]
        nearer = np.minimum(apart(look, here, left), apart(look, here, right))  # keeps NaN
        farther = apart(look, left, right)
    elif len(line) > 3:
        here, beside, _, beyond = line[:4] if at == 0 else line[:-5:-1]
        nearer, farther = apart(look, here, beside), apart(look, beside, beyond)
    else:
        return 0.0
    return float(np.nan_to_num(nearer / np.maximum(farther, FLAT)))
