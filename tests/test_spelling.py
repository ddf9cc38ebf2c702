# SPDX-License-Identifier: MIT
"""American spelling in code, comments and pages."""

from __future__ import annotations

import re

from conftest import ROOT

# In two parts, so that this file has none of them.
BRITISH = re.compile(
    "|".join(
        start + end
        for start, end in (
            ("colo", "ur"), ("cent", "re"), ("neighb", "our"), ("gr", "ey"), ("lice", "nce"),
            ("behavi", "our"), ("arte", "fact"), ("fav", "our"), ("judge", "ment"),
            ("catalog", "ue"), ("label", "led"), ("model", "led"), ("cancel", "led"),
            ("quanti", "s"), ("optimi", "s"), ("normali", "s"), ("initiali", "s"),
            ("minimi", "s"), ("synthesi", "se"), ("serialis", "e"), ("whi", "lst"),
        )
    ),
    re.IGNORECASE,
)  # fmt: skip
ENDINGS = {".py", ".md", ".mjs", ".mts", ".js", ".html", ".css", ".cfg", ".toml", ".yaml", ".cff"}
FOLDERS = "sanrcodec tests benchmarks tools examples results docs".split()


def test_spelling_is_american() -> None:
    paths = [*ROOT.glob("*"), *(p for folder in FOLDERS for p in (ROOT / folder).rglob("*"))]
    texts = {p: p.read_text(encoding="utf-8") for p in paths if p.suffix in ENDINGS}
    assert len(texts) > 150
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path, text in texts.items()
        for match in BRITISH.finditer(text)
    ]
    assert not found
