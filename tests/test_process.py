# SPDX-License-Identifier: MIT
"""An encoding leaves the process of its caller as it was."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from conftest import ROOT

from sanrcodec.lightfield import LightField

torch = pytest.importorskip("torch")

# What a caller may have set, one after the other: nothing, the older flags, and the names of
# precisions, which came with torch 2.9 and may contradict the flags.
SETTINGS = (
    "pass",
    "matmul.allow_tf32 = True",
    "cudnn.allow_tf32 = False",
    "torch.set_float32_matmul_precision('medium')",
    "torch.set_float32_matmul_precision('highest')",
    "matmul.fp32_precision = 'tf32'",
    "cudnn.conv.fp32_precision = 'ieee'",
    "torch.backends.fp32_precision = 'ieee'",
)
SCRIPT = """
import sys
import torch
from sanrcodec.encoder.process import tf32_allowed
matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
owners = [torch.backends, matmul, cudnn, torch.backends.mkldnn]
owners += [getattr(cudnn, name, None) for name in ("conv", "rnn")]
owners += [getattr(torch.backends.mkldnn, name, None) for name in ("matmul", "conv", "rnn")]
def read(owner, name):
    try:
        return str(getattr(owner, name, None))
    except RuntimeError:
        return "contradictory"
def state():
    found = [read(o, name) for o in owners for name in ("fp32_precision", "allow_tf32")]
    try:
        return [*found, torch.get_float32_matmul_precision()]
    except RuntimeError:
        return [*found, "contradictory"]
for setting in sys.argv[1:]:
    if "fp32_precision" in setting and not hasattr(torch.backends, "fp32_precision"):
        continue
    exec(setting)
    before = state()
    with tf32_allowed():
        assert matmul.allow_tf32 and cudnn.allow_tf32
    assert state() == before, (setting, before, state())
"""


def test_random_numbers_of_the_caller_go_on(
    fit: Callable[..., Any], light_field: LightField
) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    fit(light_field, steps=3, seed=9)
    assert torch.equal(torch.rand(4), expected)
    torch.manual_seed(3)
    with pytest.raises(ZeroDivisionError):
        fit(light_field, steps=3, should_stop=lambda: 1 / 0)
    assert torch.equal(torch.rand(4), expected)


def default_dtype(dtype: Any) -> AbstractContextManager[None]:
    @contextmanager
    def changed() -> Iterator[None]:
        torch.set_default_dtype(dtype)
        try:
            yield
            assert torch.get_default_dtype() == dtype
        finally:
            torch.set_default_dtype(torch.float32)

    return changed()


MODES: dict[str, Callable[[], Any]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "meta": lambda: torch.device("meta"),
}


@pytest.mark.parametrize("mode", MODES)
def test_modes_of_the_caller_take_no_part(
    fit: Callable[..., Any], light_field: LightField, mode: str
) -> None:
    expected = fit(light_field, steps=3).content
    with MODES[mode]():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        found = fit(light_field, steps=3)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    assert found.content == expected


@pytest.mark.slow
def test_precision_is_as_the_caller_set_it() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT, *SETTINGS], cwd=ROOT, check=True)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's allocator")
def test_memory_of_large_tensors_is_kept_while_a_cpu_works_and_then_given_back() -> None:
    """A large tensor costs page faults once, not each time."""
    script = """
import resource, torch
from sanrcodec.encoder.process import working_on
torch.set_num_threads(1)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.zeros(80 * 2**18)  # 80 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
first, before = faults(), resident()
with working_on(torch.device("cpu")):
    kept = faults(), faults()
    held = resident() - before
left = resident() - before
print(first, *kept, faults(), held, left)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, begun, kept, after, held, left = map(int, done.stdout.split())
    assert kept < begun / 20 < before / 20
    # At least once: what lies above it in the heap may keep its place, but not its pages.
    assert after > before / 8
    assert held > 60 * 2**20 > 10 * 2**20 > left
