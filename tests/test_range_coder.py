# SPDX-License-Identifier: MIT
"""The coder in plain Python gives the words and symbols of constriction."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from make_vectors import FOLDER

from sanrcodec.bitstream import coder, range_coder
from sanrcodec.bitstream.coder import SymbolDecoder, SymbolEncoder
from sanrcodec.errors import CorruptSectionError


@pytest.mark.slow
@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(0, 300), st.sampled_from([0, 5, 22, 39]))
def test_same_words_and_verdicts(seed: int, n: int, scale: int) -> None:
    pytest.importorskip("constriction")
    random = np.random.default_rng(seed)
    location = random.integers(-40, 40, n).astype(np.int32)
    scales = np.where(random.random(n) < 0.5, scale, random.integers(0, 40, n)).astype(np.int32)
    values = random.integers(-90, 90, n).astype(np.int32)

    def coded() -> bytes:
        encoder = SymbolEncoder()
        encoder.code(values, location, scales)
        return encoder.finish()

    def verdict(payload: bytes) -> list[int] | str:
        try:
            decoder = SymbolDecoder(payload)
            found = decoder.code(None, location, scales).tolist()
            decoder.finish()
        except CorruptSectionError:
            return "refused"
        return list(found)

    payload = coded()
    others = [payload, payload + bytes(4), payload[:-4], payload[:-8] + bytes(4)]
    damaged = bytearray(payload)
    if damaged:
        damaged[random.integers(len(damaged))] ^= 1 << int(random.integers(8))
    others.append(bytes(damaged))
    expected = [verdict(other) for other in others]
    assert expected[0] == values.tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(range_coder, "constriction", None)
        coder._model.cache_clear()
        assert coded() == payload
        found = [verdict(other) for other in others]
    coder._model.cache_clear()
    assert found == expected


@pytest.mark.slow
def test_vectors_and_faulty_files_without_constriction() -> None:
    code = "from sanrcodec.cli import main; main(['conformance', 'tests'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "SANR_RANGE_CODER": "python", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    frozen = [FOLDER / "expected.json", ROOT / "tests" / "faulty" / "expected.json"]
    n_files = sum(len(json.loads(path.read_text(encoding="utf-8"))) for path in frozen)
    assert f"{n_files} files" in done.stdout


def test_a_missing_library_is_replaced() -> None:
    code = (
        "import sys; sys.modules['constriction'] = None\n"
        "import sanrcodec\n"
        "from sanrcodec.bitstream import range_coder\n"
        "assert range_coder.constriction is None\n"
        f"print(sanrcodec.open({str(FOLDER / 'single_view.sanr')!r}).view(0, 0).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(24, 32, 3)"
