#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Install sanrcodec in a fresh environment, then encode and decode a light field made by code.
#
# Usage: examples/quickstart.sh [FOLDER]   (results go to FOLDER, by default a new temporary one)
# SANR_TORCH chooses the build of PyTorch, for example SANR_TORCH="torch==2.6.0".
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${1:-$(mktemp -d)}
venv=$root/.venv-quickstart

[[ -d $venv ]] || "${PYTHON:-python3}" -m venv "$venv"
bin=$venv/bin
[[ -d $bin ]] || bin=$venv/Scripts # Windows
PATH=$bin:$PATH
python -m pip install --quiet "${SANR_TORCH:-torch==2.13.0}"
python -m pip install --quiet "$root[encoder]"

mkdir -p "$out"
cd "$out"
python "$root/examples/synthetic.py" lf.png --grid 9x9 --size 96x96
sanr encode lf.png -o lf.sanr --preset fast --time-budget 90
sanr decode lf.sanr --view 4,4 -o view_04_04.png
sanr info lf.sanr
echo "results are in $out"
