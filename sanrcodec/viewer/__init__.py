# SPDX-License-Identifier: MIT
"""A viewer of .sanr files for browsers, and the decoder in JavaScript that it runs.

Must not decode anything in Python.
"""
