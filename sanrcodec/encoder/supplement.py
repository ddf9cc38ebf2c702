# SPDX-License-Identifier: MIT
"""A file and residuals of single views, where they pay: what its scene cannot show.

Must not choose blocks, nor change what a file already has.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sanrcodec.bitstream import container
from sanrcodec.bitstream.container import SectionType
from sanrcodec.bitstream.residuals import ViewResiduals, pack_residuals, unpack_residuals
from sanrcodec.decoder import SanrFile
from sanrcodec.encoder.block_errors import BlockErrors, find_block_errors
from sanrcodec.encoder.quality import FindErrors, measured_again
from sanrcodec.encoder.residuals import choose_residuals
from sanrcodec.encoder.settle import Written
from sanrcodec.encoder.target import Target
from sanrcodec.errors import LightFieldError, SanrError
from sanrcodec.lightfield import LightField

__all__ = ["error_finder", "supplemented"]

_PRICES = (1.0, 2.0, 4.0, 8.0)  # of a bit, until a target allows the file


def error_finder(
    light_field: LightField,
    lmbda: float,
    dead_pixels: Mapping[tuple[int, int], npt.NDArray[np.bool_]],
    is_dead: npt.NDArray[np.bool_] | None,
) -> FindErrors:
    """What finds the errors of views for :func:`supplemented`.

    Args:
        light_field: The original.
        lmbda: Weight of the rate.
        dead_pixels: bool ``[H, W]`` of views that have some; they get no residual.
        is_dead: bool ``[V, U]``, views that show nothing of the scene; likewise. Or None.
    """
    n_v, n_u = light_field.grid

    def find(i: int, reference: np.ndarray, decoded: np.ndarray) -> BlockErrors:
        place = divmod(i, n_u)
        hidden = dead_pixels.get(place)
        if is_dead is not None and is_dead[place]:
            hidden = np.ones(reference.shape[:2], np.bool_)
        price = lmbda * n_v * n_u
        return find_block_errors(reference, decoded, light_field.bit_depth, price, hidden)

    return find


def supplemented(
    written: Written, light_field: LightField, lmbda: float, target: Target | None = None
) -> Written:
    """Add residuals to a file.

    Args:
        written: The file; its quality has the errors of all views, or none if it is not known.
        light_field: The original.
        lmbda: Weight of the rate.
        target: Residuals may use only what is left up to it.

    Returns:
        The file with residuals, and its quality; the same file if none pay.

    Raises:
        SanrError: the residuals do not decode to what was coded (a defect of the encoder).
    """
    errors = written.quality.errors
    for factor in _PRICES if errors else ():
        price = factor * lmbda * len(errors)
        chosen = choose_residuals(written.decoded.header, errors, price)
        if chosen is None:
            break
        tables, views = chosen
        payload = pack_residuals(written.decoded.header, tables, views)
        content = _with_section(written.decoded, payload)
        if target and target.bits is not None and 8 * len(content) > target.bits:
            continue
        _check(written.decoded, payload, views)
        try:
            found = _measured(written, content, light_field, views)
        except (LightFieldError, MemoryError):  # the file is good without
            break
        if target is None or not target.exceeds(8 * len(content), found.quality.mean):
            return found
    return written._replace(quality=written.quality._replace(errors=()))


def _with_section(opened: SanrFile, payload: bytes) -> bytes:
    """The file with the section of residuals after that of latents."""
    parts = [(section.type, section.payload) for section in opened.sections.values()]
    at = [kind for kind, _ in parts].index(SectionType.LATENTS) + 1
    return container.pack([*parts[:at], (SectionType.RESIDUALS, payload), *parts[at:]])


def _check(opened: SanrFile, payload: bytes, views: Sequence[ViewResiduals]) -> None:
    _, found = unpack_residuals(opened.header, payload)
    for one, other in zip(found, views, strict=True):
        same = np.array_equal(one.places, other.places) and np.array_equal(one.flags, other.flags)
        if not (same and np.array_equal(one.levels, other.levels)):
            raise SanrError(
                "self-check failed: the coded residuals decode to others; please report this"
            )


def _measured(
    written: Written, content: bytes, light_field: LightField, views: Sequence[ViewResiduals]
) -> Written:
    """The file, its views with residuals decoded and measured."""
    decoded = SanrFile(content, max_pixels=math.inf, max_work=math.inf)
    n_u = light_field.grid[1]

    def changed() -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        for i, residuals in enumerate(views):
            if residuals.places.size:
                place = divmod(i, n_u)
                yield i, light_field.view(*place), decoded.view(*place)

    quality = measured_again(written.quality, changed(), light_field.bit_depth)
    estimated = written.estimated_bytes + len(content) - len(written.content)
    return Written(content, estimated, decoded, quality)
