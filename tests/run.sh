#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Run all checks and all tests in an environment of their own.
#
# Usage: tests/run.sh [PYTEST OPTIONS]
# SANR_TORCH chooses the build of PyTorch, for example SANR_TORCH="torch==2.6.0".
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=.venv-test

[[ -d $venv ]] || "${PYTHON:-python3}" -m venv "$venv"
bin=$venv/bin
[[ -d $bin ]] || bin=$venv/Scripts # Windows
PATH=$PWD/$bin:$PATH
python -m pip install --quiet "${SANR_TORCH:-torch==2.13.0}"
python -m pip install --quiet -e '.[encoder,test]'

ruff check .
ruff format --check .
mypy sanrcodec
# One process of tests for each core, with one thread each.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
python -m pytest --numprocesses auto --dist worksteal "$@"
