# SPDX-License-Identifier: MIT
"""Exact integer arithmetic carried by floats; knows nothing of scenes, latents or files.

A matrix product of integers is exact in float64 in any summation order while every partial sum
stays below 2**53, and in float32 below 2**24. See format_spec.md section 7.
"""
