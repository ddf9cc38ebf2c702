# SPDX-License-Identifier: MIT
"""Random numbers, modes of torch and memory are the caller's: how to leave them as they were.

Must not know of light fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from sanrcodec.encoder.allocator import memory_kept

__all__ = [
    "random_state",
    "restore_random_state",
    "seed_random_numbers",
    "tf32_allowed",
    "working_on",
]

T = TypeVar("T")


@contextmanager
def working_on(device: torch.device) -> Iterator[None]:
    """Work on a device, with own random numbers; on a GPU with TF32, on a CPU with kept memory.

    All of this is global. What the caller had set is back afterwards, and takes no part.
    """
    with ExitStack() as stack:
        stack.enter_context(_usual_modes(device))
        stack.callback(restore_random_state, device, random_state(device))
        if device.type == "cuda":
            stack.enter_context(torch.cuda.device(device))
            stack.enter_context(tf32_allowed())
        else:
            stack.enter_context(memory_kept())
        yield


@contextmanager
def _usual_modes(device: torch.device) -> Iterator[None]:
    """Gradients, float32 and tensors on the CPU by default, whatever the caller has set."""
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in {"cpu", device.type}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.empty(0).device.type != "cpu":  # each operation takes longer within
            stack.enter_context(torch.device("cpu"))
        stack.callback(torch.set_default_dtype, dtype)
        torch.set_default_dtype(torch.float32)
        yield


def seed_random_numbers(device: torch.device, number: int) -> None:
    """Seed the generators that work on a device draws from, and no others.

    Args:
        device: Whose default generator is seeded, besides that of the CPU.
        number: 0 to 2**63 - 1.
    """
    torch.default_generator.manual_seed(number)
    if device.type != "cpu":
        with _current(device):
            _module(device).manual_seed(number)


def random_state(device: torch.device) -> list[Tensor]:
    """State of the generators that work on a device draws from: the CPU's, then the device's."""
    state = [torch.get_rng_state()]
    if device.type != "cpu":
        with _current(device):
            state.append(_module(device).get_rng_state())
    return state


def restore_random_state(device: torch.device, state: Sequence[Tensor]) -> None:
    """Go back to an earlier :func:`random_state`, as far as it is known of this kind of device."""
    torch.set_rng_state(state[0])
    if device.type != "cpu" and len(state) > 1:
        with _current(device):
            _module(device).set_rng_state(state[1])


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


def _module(device: torch.device) -> Any:
    """What torch has for a type of devices, such as ``torch.cuda``."""
    return getattr(torch, device.type)


def _current(device: torch.device) -> AbstractContextManager[Any]:
    """Make a device the current one of its type."""
    current: AbstractContextManager[Any] = _module(device).device(device)
    return current


def _readable(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except RuntimeError:
        return None
