# SPDX-License-Identifier: MIT
"""Table of the naming schemes that are in use for views; reads no file and no folder."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = [
    "CONVENTIONS",
    "Convention",
    "counts_time",
    "find_convention",
    "first_index",
    "is_no_view",
]


@dataclass(frozen=True, slots=True)
class Convention:
    """How one program or data set names its views.

    Attributes:
        name: For messages.
        pattern: Of the whole file name without its ending, in lower case. Its groups are the
            numbers that count: two are row and column, a single one counts views row by row.
        first: Which index comes first, ``rows`` or ``columns``.
        common: Whether other programs use such names, too, perhaps in another order.
    """

    name: str
    pattern: re.Pattern[str]
    first: str = "rows"
    common: bool = False


_INDEX = r"([-+]?\d+)"
CONVENTIONS = (
    Convention("view_VV_UU of sanr decode", re.compile(rf"view_{_INDEX}_{_INDEX}")),
    # EPFL's saveImages.m, JPLM ("S_T") and WaSP agree on columns first.
    Convention("JPEG Pleno CCC_RRR", re.compile(r"(\d{3})_(\d{3})"), "columns", True),
    Convention("Stanford out_VV_UU", re.compile(r"out_(\d+)_(\d+)(?:_.*)?")),
    Convention("plenopticam J_I", re.compile(r"(\d{1,2})_(\d{1,2})"), common=True),
    Convention("Original Camera_VV_UU", re.compile(r"original camera_(\d+)_(\d+)(?:_.*)?")),
    Convention("HCI input_CamNNN", re.compile(r"input_cam(\d+)")),
)

# What stands right before a number and tells its axis; (t, s) and (j, i) as in JPEG Pleno and
# in MATLAB's toolboxes, where the first of both is the row.
_WORDS = {
    "rows": frozenset("r row rows v ver vert vertical y t j".split()),
    "columns": frozenset("c col cols column columns u h hor horz horizontal x s i".split()),
}
_TIMES = frozenset("frame frames time timestamp exposure iso".split())

# Words in names of images that lie beside the views and are none.
_NO_VIEW = re.compile(
    r"(?<![a-z])(gt|depth|depthmap|disp|disparity|mask|masks|label|labels|normals?|seg|segmentation"
    r"|thumb|thumbnail|thumbnails|preview|collage|montage|contact|mosaic|refo|refocus|refocused"
    r"|confidence|conf|objectids?|unused|error|flow|calib|calibration|white)(?![a-z])"
)


def find_convention(stem: str) -> Convention | None:
    """Return the convention of a file name without its ending, else None."""
    return next((c for c in CONVENTIONS if c.pattern.fullmatch(stem.lower())), None)


def first_index(texts: tuple[str, str]) -> str | None:
    """Tell from the texts before two numbers which index the first one is.

    Args:
        texts: What stands before each of both, such as ``("lf_r", "_c")``.

    Returns:
        ``rows`` or ``columns``; None where the words do not tell, or contradict each other.
    """
    axes = [
        next((a for a, known in _WORDS.items() if _last_word(text) in known), None)
        for text in texts
    ]
    return axes[0] if set(axes) == set(_WORDS) else None


def counts_time(text: str) -> bool:
    """Tell from the text before a number whether it counts moments or settings, not views."""
    return _last_word(text) in _TIMES


def is_no_view(name: str) -> bool:
    """Tell whether an image lies beside the views and is none, such as a depth map, by its name."""
    return _NO_VIEW.search(name.lower()) is not None


def _last_word(text: str) -> str:
    words: list[str] = re.findall(r"[a-z]+", text.lower())
    return words[-1] if words else ""
