# SPDX-License-Identifier: MIT
"""What a device runs, in Triton's language. Must not call torch."""
