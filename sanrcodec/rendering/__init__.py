# SPDX-License-Identifier: MIT
"""Pictures that an opened file can give beside its views; reads no bytes, writes no files."""
