# SPDX-License-Identifier: MIT
"""Fitted model -> integers -> bytes, checked by decoding them again."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from sanrcodec.bitstream import container
from sanrcodec.bitstream.container import SectionType
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.latents import pack_latents
from sanrcodec.bitstream.weights import pack_weights
from sanrcodec.decoder import SanrFile
from sanrcodec.encoder.model import SceneModel
from sanrcodec.errors import SanrError
from sanrcodec.scene.parts import bounded_weights, default_weights

__all__ = ["export", "smallest_size"]

_WORD_BYTES = 4  # of the range coder


def export(model: SceneModel, metadata: dict[str, Any] | None) -> tuple[bytes, SanrFile]:
    """Code a model as a whole .sanr file.

    Args:
        model: The fitted model.
        metadata: For the ancillary METADATA section, or None to omit it.

    Returns:
        The file, and the same opened again, its weights and latents decoded and found equal.

    Raises:
        SanrError: the file does not decode to the integers that went in (a defect of the encoder).
    """
    weights, latents = model.integers()
    weights = bounded_weights(model.header, weights)
    sections: list[tuple[int, bytes]] = [
        (SectionType.HEADER, model.header.pack()),
        (SectionType.WEIGHTS, pack_weights(default_weights(model.header), weights)),
        (SectionType.LATENTS, pack_latents(model.header, weights, latents)),
    ]
    if metadata:
        sections.append(
            (SectionType.METADATA, json.dumps(metadata, separators=(",", ":")).encode())
        )
    content = container.pack(sections)
    opened = SanrFile(content, max_pixels=math.inf, max_work=math.inf)
    same = all(np.array_equal(opened.weights[k], weights[k]) for k in weights)
    same = same and all(np.array_equal(a, b) for a, b in zip(opened.latents, latents, strict=True))
    if not same:
        raise SanrError(
            "self-check failed: the coded file decodes to other integers; please report this"
        )
    return content, opened


def smallest_size(header: StreamHeader) -> int:
    """Bytes that a file with this header has at least, whatever is in it.

    Nothing codes weights in fewer bits than that they are the default ones. Of latents there is at
    least a word; a fit that keeps no latent but zero takes hardly more.
    """
    weights = default_weights(header)
    sections = [
        (SectionType.HEADER, header.pack()),
        (SectionType.WEIGHTS, pack_weights(weights, weights)),
        (SectionType.LATENTS, bytes(_WORD_BYTES)),
    ]
    return len(container.pack(sections))
