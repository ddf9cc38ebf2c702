# SPDX-License-Identifier: MIT
"""Random names of views: what is read without a doubt is right, and what is missing is noticed."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from sanrcodec.errors import LightFieldError
from sanrcodec.io import read_input

BEFORE = ("", "view_", "cam", "lf-", "scene3_", "2067_", "img (", "IMG_20200101_", "a1b2_", "left ")
BETWEEN = ("_", "x", ",", " ", "/", "__", " of column ")
AFTER = ("", "_b7", "_8bit", "_rgb", ")", "_0", "_f1.4", "_final2", "u")
OTHERS = ("depth_0_1.pgm", "thumb.pgm", "B.pgm", "readme.txt", "disp_001.pgm", "all_2x3.pgm")


def write(folder: Path, name: str, number: int) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(b"P5\n2 1\n255\n" + bytes(divmod(number, 256)))


@pytest.mark.parametrize("seed", range(100))
def test_random_names(tmp_path: Path, seed: int) -> None:
    choose = random.Random(seed)
    n_v, n_u = choose.randint(2, 5), choose.randint(2, 6)
    steps = [choose.choice((1, 1, 2, 5, 10)) for _ in range(2)]
    # Axes below zero reach zero: else a sign after a letter is as good as a hyphen.
    starts = [choose.choice((0, 0, 1, 5, -step)) for step in steps]
    n_digits, column_first = choose.randint(1, 4), choose.random() < 0.4
    before, between, after = (choose.choice(texts) for texts in (BEFORE, BETWEEN, AFTER))
    if min(starts) < 0 and before.endswith("-"):
        before = "lf_"
    names = {}
    for v, u in np.ndindex(n_v, n_u):
        places = [start + step * n for start, step, n in zip(starts, steps, (v, u), strict=True)]
        numbers = [
            f"{'-' * (place < 0)}{abs(place):0{n_digits}d}"
            for place in (places[::-1] if column_first else places)
        ]
        names[f"{before}{numbers[0]}{between}{numbers[1]}{after}.pgm"] = v * n_u + u
    for name, number in names.items():
        write(tmp_path, name, number)
    for other in choose.sample(OTHERS, choose.choice((0, 2))):
        write(tmp_path, other, 999)
    notes: list[str] = []
    light_field = read_input(tmp_path, notes=notes.append).light_field
    found = np.asarray(light_field.samples)[..., 0, :, 0].astype(int) @ [256, 1]
    expected = np.arange(n_v * n_u).reshape(n_v, n_u)
    if column_first and found.shape == expected.T.shape and (found == expected.T).all():
        assert any("rows first; if the column comes first" in note for note in notes)
    else:
        np.testing.assert_array_equal(found, expected)
    (tmp_path / choose.choice(list(names)[1:-1])).unlink()
    if n_v * n_u > 6:  # of few views a row or column is missing rather than one
        with pytest.raises(LightFieldError, match="1 view is missing"):
            read_input(tmp_path)
