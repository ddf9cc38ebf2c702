# SPDX-License-Identifier: MIT
"""Small files that claim huge samples; judges numbers of a header, and reads nothing."""

from __future__ import annotations

from sanrcodec.errors import LightFieldError

__all__ = ["refuse_bomb"]

_FREE_BYTES = 2**27  # a black view of 44 megapixels, say, may have any size in its file
# Natural views shrink by 2 to 100, rendered ones by more; what deflate can do at all is 1032.
_MOST_RATIO = 250


def refuse_bomb(n_sample_bytes: int, n_file_bytes: int) -> None:
    """Refuse, before anything is allocated, more samples than a file of this size can mean.

    Args:
        n_sample_bytes: What the samples would take in memory, as the header claims.
        n_file_bytes: Size of the file.

    Raises:
        LightFieldError: the samples are many, and hundreds of times the file.
    """
    if n_sample_bytes > max(_FREE_BYTES, _MOST_RATIO * n_file_bytes):
        raise LightFieldError(
            f"{n_file_bytes} bytes claim {n_sample_bytes >> 20} MiB of samples, more than "
            f"{_MOST_RATIO} times as many: damaged, or made to fill the memory; "
            "if it is right, store every view as a file of its own"
        )
