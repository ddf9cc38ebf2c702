# SPDX-License-Identifier: MIT
"""The scripts that compare disparity and focus with the truth, where that is constructed."""

from __future__ import annotations

import sys
from pathlib import Path

import disparity_error
import numpy as np
import pytest
from planes import plane_file

import sanrcodec
from sanrcodec.io import write_float_map, write_mosaic


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sanrcodec.SanrFile:
    monkeypatch.chdir(tmp_path)
    Path("lf.sanr").write_bytes(plane_file((1.5,)))
    return sanrcodec.open("lf.sanr")


def test_disparity_of_a_plane(file: sanrcodec.SanrFile, capsys, monkeypatch) -> None:
    truth = np.full(file.shape[2:4], 1.5, np.float32)
    truth[20, 20:30] += (0.02, 0.05, 0.1, 1.0, np.nan, 0, 0, 0, 0, 0)
    write_float_map("truth.pfm", truth)
    np.testing.assert_array_equal(disparity_error.read_pfm(Path("truth.pfm").read_bytes()), truth)
    n = 20 * 36 - 1
    found = disparity_error.errors(file.disparity(1, 2), truth, 10)
    assert found["mean"] == pytest.approx(1.17 / n, abs=1e-4)
    assert found["bad 0.07"] == pytest.approx(100 * 2 / n)
    assert found["bad 0.03"] == pytest.approx(100 * 3 / n)
    assert found["bad 0.01"] == pytest.approx(100 * 4 / n)
    monkeypatch.setattr(sys, "argv", ["x", "lf.sanr", "truth.pfm", "--border", "10"])
    disparity_error.main()
    assert "bad 0.07" in capsys.readouterr().out
    with pytest.raises(ValueError, match="ground truth"):
        disparity_error.errors(file.disparity(1, 2), truth[1:], 0)


def test_focus_of_a_plane(file: sanrcodec.SanrFile, capsys, monkeypatch) -> None:
    """The original is what the file decodes to: only the resampling differs."""
    refocus_quality = pytest.importorskip("refocus_quality", exc_type=ImportError)
    write_mosaic(Path("lf.png"), np.asarray(file), file.grid, 8)
    monkeypatch.setattr(sys, "argv", ["x", "lf.sanr", "lf.png", "--aperture", "2", "--n", "2"])
    refocus_quality.main()
    told = capsys.readouterr().out
    assert "view 1,2: 100.00 dB" in told
    assert all(float(line.split()[3]) > 30 for line in told.splitlines() if "| +" in line), told
