# SPDX-License-Identifier: MIT
"""``python -m sanrcodec`` is the command ``sanr``."""

from __future__ import annotations

from sanrcodec.cli import main

if __name__ == "__main__":
    main(prog_name="sanr")
