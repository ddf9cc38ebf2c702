# SPDX-License-Identifier: MIT
"""The scripts that compare disparity and focus with the truth, where that is constructed."""

from __future__ import annotations

import sys
from pathlib import Path

import disparity_error
import numpy as np
import pytest
from conftest import load_example
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


def test_true_disparity_of_the_example() -> None:
    """What it says of the middle view is where the other views show the same color."""
    example = load_example("synthetic")
    size, far_and_near = (48, 64), (-1.0, 2.0)
    views = example.render((3, 3), size, seed=2, disparity=far_and_near).astype(float)
    truth = example.true_disparity(size, seed=2, disparity=far_and_near)
    assert truth.min() == pytest.approx(-1)
    assert truth.max() == pytest.approx(2)
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]

    def error(disparity: np.ndarray) -> float:
        """Median, which what is covered or leaves the view does not move."""
        found = []
        for v, u in ((0, 1), (2, 1), (1, 0), (1, 2)):
            y = np.clip(np.rint(rows + (v - 1) * disparity), 0, size[0] - 1).astype(int)
            x = np.clip(np.rint(columns + (u - 1) * disparity), 0, size[1] - 1).astype(int)
            found.append(np.abs(views[v, u][y, x] - views[1, 1]).mean(2))
        return float(np.median(found))

    assert error(truth) < 0.5 * min(error(-truth), error(truth + 1), error(truth - 1))
