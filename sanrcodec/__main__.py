# SPDX-License-Identifier: MIT
"""``python -m sanrcodec`` and ``sanr``: imports the commands; Ctrl-C until then is no traceback."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; exits."""
    try:
        from sanrcodec.cli import main as sanr
    except KeyboardInterrupt:
        # The words and the code of click, which answers from now on.
        sys.stderr.write("\nAborted!\n")
        sys.exit(1)
    sanr(prog_name="sanr")


if __name__ == "__main__":
    main()
