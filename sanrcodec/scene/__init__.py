# SPDX-License-Identifier: MIT
"""Integers -> canonical scene -> views, in exact integer arithmetic; reads no bytes.

One file per part of the model: the weight tensors that it needs, its integer form, and its cost.
encoder.scene has the float twin of each part under the same name.
"""
