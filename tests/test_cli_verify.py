# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

from conftest import assert_refused, sanr

from sanrcodec.bitstream.container import SectionType
from sanrcodec.decoder import SanrFile


def test_verify_names_the_section(tmp_path: Path, file: Path) -> None:
    content = bytearray(file.read_bytes())
    latents = SanrFile(bytes(content)).sections[SectionType.LATENTS].payload
    content[content.index(latents) + len(latents) - 1] ^= 1
    file.write_bytes(content)
    assert_refused(sanr("verify", file), 1, "section LATENTS at byte")
