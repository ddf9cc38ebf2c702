# SPDX-License-Identifier: MIT
"""Fast steps on a CUDA device: captured as graphs, so that hundreds of kernels start as one.

Must not know what a step computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sanrcodec.encoder.schedule import Stage

__all__ = ["StepGraphs", "capture"]


_N_WARM_UP = 2  # runs before one is captured


def capture(
    part: Callable[[], None], state: Sequence[Tensor], pool: Any = None
) -> torch.cuda.CUDAGraph:
    """Capture a part of a step as a graph.

    Args:
        part: Must not wait for the device.
        state: All that it changes and a later run reads. It is left as it was.
        pool: Of memory, shared with other graphs; see ``torch.cuda.graph_pool_handle``.
    """
    kept = [t.detach().clone() for t in state]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_N_WARM_UP):
            part()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # NCCL watches its own work from another thread meanwhile.
    with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
        part()
    with torch.no_grad():
        for tensor, value in zip(state, kept, strict=True):
            tensor.copy_(value)
    return graph


class StepGraphs:
    """Runs the parts of steps, from graphs where there is a CUDA device.

    Args:
        device: That the parts run on.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.graphs: dict[tuple[str, Stage], torch.cuda.CUDAGraph] = {}

    def run(
        self,
        part: Callable[[Stage], None],
        stage: Stage,
        state: Callable[[], Sequence[Tensor]],
    ) -> None:
        """Run ``part(stage)``: the first time it is captured, the next times replayed.

        Args:
            part: Known by its name.
            stage: Of the step.
            state: Gives what the part changes, see :func:`capture`.
        """
        if self.device.type != "cuda":
            part(stage)
            return
        key = part.__name__, stage
        if key not in self.graphs:
            if any(past != stage for _, past in self.graphs):
                # Stages do not come back, and each graph holds all the memory that a step needs.
                self.clear()
            self.graphs[key] = capture(lambda: part(stage), state())
        self.graphs[key].replay()

    def clear(self) -> None:
        """Drop all graphs; a process group cannot end while one holds its collectives."""
        if self.graphs:
            torch.cuda.synchronize(self.device)
            self.graphs.clear()
