# SPDX-License-Identifier: MIT
"""Number formats that several parts of the scene share; each part keeps those of its own.

"Q7" is an integer in units of 2**-7. See format_spec.md section 7.
"""

from __future__ import annotations

__all__ = [
    "ANGULAR_BITS",
    "FEATURE_BITS",
    "FEATURE_MAX",
    "LATENT_BITS",
    "LATENT_MAX_Q",
    "POSITION_BITS",
]

LATENT_BITS = 7  # fraction bits of an upsampled latent in latent steps
LATENT_MAX_Q = 65535  # largest magnitude of an upsampled latent
FEATURE_BITS = 12
FEATURE_MAX = 32767
ANGULAR_BITS = 8  # fraction bits of a view's position in views
POSITION_BITS = 5  # fraction bits of a sampling position in canvas pixels
