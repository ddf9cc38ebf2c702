# SPDX-License-Identifier: MIT
"""The vectors notice a decoder that leaves out a rule."""

from __future__ import annotations

import mutants
import pytest


@pytest.mark.slow
def test_every_mutant_changes_one_place() -> None:
    assert len(mutants.mutants()) > 60
    for name in mutants.mutants():
        mutants.module_of(name)


@pytest.mark.slow
def test_the_reference_decoder_is_caught_by_none() -> None:
    module = mutants.module_of(None)
    assert not [name for name in mutants.frozen() if mutants.catches(module, name)]


@pytest.mark.slow
@pytest.mark.parametrize("name", mutants.mutants())
def test_every_mutant_is_caught(name: str) -> None:
    assert next(mutants.caught_by(name, every=False), None) is not None
