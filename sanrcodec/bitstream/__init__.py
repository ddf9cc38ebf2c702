# SPDX-License-Identifier: MIT
"""Bytes <-> header, weights and latents, all integers; knows nothing of how they become views."""
