# SPDX-License-Identifier: MIT
"""What a device runs, in Triton's language. Must not call torch."""

from __future__ import annotations

import triton

__all__ = ["TRITON"]

TRITON = ".".join(triton.__version__.split(".")[:2])
