# SPDX-License-Identifier: MIT
"""How long the steps of a fit take, before it begins; must leave the fit as it was."""

from __future__ import annotations

import time

import torch

from sanrcodec.encoder.kernels import runs_on
from sanrcodec.encoder.last_good import LastGood
from sanrcodec.encoder.process import random_state, restore_random_state
from sanrcodec.encoder.schedule import Schedule
from sanrcodec.encoder.steps import Steps

__all__ = ["expected_pace"]

_FEWEST_STEPS = 60  # of whole views; a shorter fit is over before it pays to try some
_N_TIMES, _SHORT_SECONDS = 3, 0.2  # a step is tried again while it is short
# Of a step on an H100: however small it is, and per pixel of a view, of the scene and of each view
# that it looks at; and what its memory copies.
_CUDA_SECONDS, _CUDA_BYTES_PER_SECOND = 1.0e-3, 1.3e12
_CUDA_SECONDS_PER_PIXEL, _CUDA_SECONDS_PER_PIXEL_OF_VIEW = 6.3e-9, 1.4e-9
_WITHOUT_KERNELS = 3.0  # times as long
_COPIED_BYTES = 1 << 27


def expected_pace(
    run: Steps, state: LastGood, schedule: Schedule, n_steps: int
) -> list[float] | None:
    """Try steps of a fit at each size that it works at, or reckon what they take on a GPU.

    There a step is a captured graph, and to capture one takes longer than many steps. What a copy
    takes tells how fast the GPU is. Collective.

    Args:
        run: The fit. It is as before afterwards, and so are random numbers.
        state: A copy of its state.
        schedule: Of it.
        n_steps: Planned.

    Returns:
        Seconds of a step at each level, or None for a fit that is short.
    """
    if n_steps * schedule.work(0.0, 1.0) < _FEWEST_STEPS:
        return None
    levels = sorted({phase.level for phase in schedule.phases})
    if run.device.type == "cuda":
        seconds = {level: _on_cuda(run, level) for level in levels}
    else:
        seconds = _tried(run, state, levels)
    return [seconds.get(level, 0.0) for level in range(levels[-1] + 1)]


def _tried(run: Steps, state: LastGood, levels: list[int]) -> dict[int, float]:
    """Seconds of a step at each level."""
    before, random = run.model.level, random_state(run.device)
    seconds = {}
    for level in levels:
        run.attempt(level)  # what is made once, and memory that later steps use again
        times: list[float] = []
        more = True
        while more:
            begun = time.perf_counter()
            run.attempt(level)
            times.append(time.perf_counter() - begun)
            # Of several processes all do the same.
            wanted = len(times) < _N_TIMES and sum(times) < _SHORT_SECONDS
            more = bool(run.model.ranks.follow(wanted)[0])
        seconds[level] = min(times)
    state.restore()
    run.model.set_level(before)
    restore_random_state(run.device, random)
    return seconds


def _on_cuda(run: Steps, level: int) -> float:
    model = run.model
    n_pixels = model.header.height * model.header.width * 0.25**level / model.ranks.size
    slower = _CUDA_BYTES_PER_SECOND / _copied_per_second(run.device)
    per_pixel = _CUDA_SECONDS_PER_PIXEL + _CUDA_SECONDS_PER_PIXEL_OF_VIEW * len(run.views.index)
    seconds = _CUDA_SECONDS + slower * per_pixel * n_pixels
    return seconds if runs_on(run.count) else _WITHOUT_KERNELS * seconds


def _copied_per_second(device: torch.device) -> float:
    """Bytes that a GPU copies within its memory."""
    source = torch.zeros(_COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for event in (begin, end):
        for _ in range(4):
            target.copy_(source)
        event.record()
    end.synchronize()
    seconds = 1e-3 * max(float(begin.elapsed_time(end)), 1e-3)
    return 4 * _COPIED_BYTES / seconds
