# SPDX-License-Identifier: MIT
"""What an encoding changes in the whole process, and how to leave it as it was.

Must not know of light fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch

__all__ = ["tf32_allowed", "working_on"]

T = TypeVar("T")


@contextmanager
def working_on(device: torch.device) -> Iterator[None]:
    """Work on a device, with random numbers of our own, and on a GPU with TF32.

    All of this is global in torch. What the caller had set is back afterwards.
    """
    on_gpu = device.type == "cuda"
    with ExitStack() as stack:
        if on_gpu:
            stack.enter_context(torch.cuda.device(device))
            stack.enter_context(tf32_allowed())
        stack.enter_context(torch.random.fork_rng([device] if on_gpu else []))
        yield


@contextmanager
def tf32_allowed() -> Iterator[None]:
    """Let GPUs round the factors of float32 products to TF32, until the end."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    precision = _readable(torch.get_float32_matmul_precision)
    of_cudnn = _readable(lambda: cudnn.allow_tf32)
    # Since 2.9, torch also has a precision of each kind of operation. It refuses to read the older
    # settings while these contradict them, but one can always be derived from the other.
    kinds: list[Any] = [matmul]
    kinds += [getattr(cudnn, name, None) for name in ("conv", "rnn")]
    kinds += [getattr(torch.backends.mkldnn, "matmul", None)]
    kept = [getattr(kind, "fp32_precision", None) for kind in kinds]
    matmul.allow_tf32 = True
    cudnn.allow_tf32 = True
    try:
        yield
    finally:
        if precision is not None:
            torch.set_float32_matmul_precision(precision)
        else:
            matmul.allow_tf32 = kept[0] != "tf32"
        cudnn.allow_tf32 = "ieee" in kept[1:3] if of_cudnn is None else of_cudnn
        for kind, value in zip(kinds, kept, strict=True):
            if value is not None:
                kind.fp32_precision = value


def _readable(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except RuntimeError:
        return None
