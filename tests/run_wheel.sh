#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Build the wheel, install it in an environment without PyTorch, and decode a vector there; then without
# constriction.
#
# Usage: tests/run_wheel.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${PYTHON:-python3}" -m venv "$work/venv"
bin=$work/venv/bin
[[ -d $bin ]] || bin=$work/venv/Scripts # Windows
PATH=$bin:$PATH
python -m pip install --quiet build
python -m build --outdir "$work/dist" "$root" # the wheel from the sdist, past any old build/
python -m pip uninstall --quiet --yes build
python -m pip install --quiet "$work"/dist/sanrcodec-*.whl

cd "$work" # else the checkout would be imported
vector=$root/tests/vectors/default.sanr
python -c "import importlib.util as u; assert u.find_spec('torch') is None, 'PyTorch is installed'"
sanr info "$vector"
sanr verify "$vector"
sanr decode "$vector" --view 1,1 -o view.png
[[ -s view.png ]]
sanr export "$vector" -o page.html
[[ -s page.html ]]
if message=$(sanr encode view.png -o view.sanr --grid 1x1 2>&1); then
    echo "sanr encode ran without PyTorch" >&2
    exit 1
fi
grep -q 'encoding needs PyTorch: pip install torch' <<<"$message"
# As on musl, where constriction is left out by hand.
python -m pip uninstall --quiet --yes constriction
sanr verify "$vector"
echo "the wheel decodes without PyTorch, and without constriction"
