# SPDX-License-Identifier: MIT
"""The file that the other examples look at: a small light field made by code, encoded once."""

from __future__ import annotations

import sys
from pathlib import Path

import synthetic

import sanrcodec

__all__ = ["sample_file", "sample_light_field"]


def sample_light_field() -> sanrcodec.LightField:
    """Five by five views of 64 x 96 pixels."""
    return sanrcodec.LightField(synthetic.render((5, 5), (64, 96), seed=3))


def sample_file(argument: list[str]) -> Path:
    """The file named on the command line, else ``sample.sanr`` here, encoded if it is not there."""
    if argument:
        if not Path(argument[0]).is_file():
            sys.exit(f"{argument[0]} is no file, expected a .sanr file; leave it out to make one")
        return Path(argument[0])
    path = Path("sample.sanr")
    if not path.exists():
        print("encoding a small light field, half a minute ...")
        sanrcodec.encode(sample_light_field(), preset="fast", steps=150, lmbda=4).save(path)
    return path
