# SPDX-License-Identifier: MIT
"""The views of each step, as targets on the device; their samples stay on the host.

Must not know of models or costs.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sanrcodec.color import YCC_FROM_RGB
from sanrcodec.encoder.images import color_planes
from sanrcodec.lightfield import LightField

__all__ = ["ViewBatches", "order_of_views"]

_READ_AHEAD = 2  # steps


def order_of_views(views: np.ndarray, batch: int, steps: int, seed: int) -> np.ndarray:
    """Views of each step, int64 ``[steps, batch]``: every view once per round, in random order.

    Args:
        views: int64 ``[n]``, those that take part.
        batch: Views of a step.
        steps: Of the fit.
        seed: Of the order.
    """
    generator = torch.Generator().manual_seed(seed)
    rounds = -(-steps * batch // len(views))
    order = torch.cat([torch.randperm(len(views), generator=generator) for _ in range(rounds)])
    places: np.ndarray = views[order[: steps * batch].reshape(steps, batch).numpy()]
    return places


class _HostBatch(NamedTuple):
    """Views on their way to the device, and when the last copy of them has arrived there."""

    samples: Tensor
    numbers: Tensor
    copied: torch.cuda.Event | None


class ViewBatches:
    """The views of each step, as YCbCr targets.

    All samples stay on the host, where a thread reads those of the next steps ahead: the device
    holds one batch, however many views there are.

    Args:
        light_field: Whose views are read, one after the other.
        order: int64 ``[n, B]``, the views of each step.
        device: Of the targets.
        rows: Of the views that are kept; all of them by default.

    Attributes:
        index: int64 ``[B]``, the views of the step that was loaded last. Like the samples it keeps
            its place on the device, so that a CUDA graph can read it.
    """

    def __init__(
        self,
        light_field: LightField,
        order: np.ndarray,
        device: torch.device,
        rows: range | None = None,
    ) -> None:
        self.light_field, self.order = light_field, order
        _, _, height, width, n_channels = light_field.shape
        self._rows = rows = range(height) if rows is None else rows
        shape = order.shape[1], len(rows), width, n_channels
        # Not every torch computes with uint16: its bits travel as int16.
        dtype = torch.uint8 if light_field.samples.dtype == np.uint8 else torch.int16
        self.index = torch.zeros(order.shape[1], dtype=torch.int64, device=device)
        self._samples = torch.zeros(shape, dtype=dtype, device=device)
        self._peak = float((1 << light_field.bit_depth) - 1)
        self._matrix = torch.tensor(YCC_FROM_RGB, device=device)
        on_gpu = device.type == "cuda"
        # Beside those being read ahead, the buffers whose copies to the device may still go on.
        self._buffers = [
            _HostBatch(
                torch.zeros(shape, dtype=dtype, pin_memory=on_gpu),
                torch.zeros(order.shape[1], dtype=torch.int64, pin_memory=on_gpu),
                torch.cuda.Event() if on_gpu else None,
            )
            for _ in range(2 * _READ_AHEAD)
        ]
        self._pool = ThreadPoolExecutor(1)
        self._pending: deque[Future[_HostBatch]] = deque()
        self._next = 0

    def start(self, step: int) -> None:
        """Begin to read, perhaps anew; :meth:`load` will load this step first."""
        while self._pending:
            self._pending.popleft().result()
        self._next = step
        for _ in range(_READ_AHEAD):
            self._request()

    def load(self) -> None:
        """Bring the next step's views to their place on the device."""
        batch = self._pending.popleft().result()
        self._samples.copy_(batch.samples, non_blocking=True)
        self.index.copy_(batch.numbers, non_blocking=True)
        if batch.copied:
            batch.copied.record()
        self._request()

    def targets(self) -> Tensor:
        """The loaded rows, float32 ``[B, C, h, W]``: YCbCr with chroma around 0, or gray."""
        samples = self._samples
        if samples.dtype == torch.int16:
            samples = samples.int() & 0xFFFF
        return color_planes(samples.float() / self._peak, self._matrix)

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(cancel_futures=True)

    def _request(self) -> None:
        batch = self._buffers[self._next % len(self._buffers)]
        if batch.copied:
            batch.copied.synchronize()
        self._pending.append(self._pool.submit(self._read, batch, self._next))
        self._next += 1

    def _read(self, batch: _HostBatch, step: int) -> _HostBatch:
        index = self.order[step % len(self.order)]
        batch.numbers.numpy()[:] = index
        samples = batch.samples.numpy()
        if samples.dtype == np.int16:
            samples = samples.view(np.uint16)
        rows = slice(self._rows.start, self._rows.stop)
        for target, i in zip(samples, index.tolist(), strict=True):
            target[...] = self.light_field.view(*divmod(i, self.light_field.grid[1]))[rows]
        return batch
