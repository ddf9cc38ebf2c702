# SPDX-License-Identifier: MIT
"""The snippet of docs/embedding.md runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from planes import plane_file

PAGE = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")


def test_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fields = {"n_v": 9, "n_u": 9, "margin_x": 12, "margin_y": 12}
    Path("lf.sanr").write_bytes(plane_file((1.5, -0.5), 0.75, **fields))
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, np.ndarray] = {}
    exec(compile(block, "embedding.md", "exec"), names)
    assert names["preview"].shape == (10, 14, 3)
    assert names["view"].shape == (40, 56, 3)
    assert names["part"].shape == (8, 8, 3)
    np.testing.assert_array_equal(names["row"][4], names["view"])
