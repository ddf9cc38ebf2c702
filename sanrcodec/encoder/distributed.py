# SPDX-License-Identifier: MIT
"""Several processes at one fit, as ``torchrun`` starts them; a single process is one rank of one.

Rank 0 decides, reads and writes; what it found is shared, errors too, so that no rank waits for
one that has given up. Knows nothing of light fields.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import Function

from sanrcodec.errors import SanrError

__all__ = ["ALONE", "Ranks", "apart", "joined"]

# Longer than anything that one rank does while the others wait, the self-check above all.
_TIMEOUT = timedelta(minutes=30)

T = TypeVar("T")

_works_apart = ContextVar("_works_apart", default=False)


class Ranks:
    """This process among those of the job; every method but :meth:`local_device` is collective.

    Attributes:
        rank, size: Number of this process, and of all.
        has_neighbors: Whether torchrun may have started other processes on the same host.
    """

    def __init__(self, rank: int = 0, size: int = 1, has_neighbors: bool | None = None) -> None:
        self.rank, self.size = rank, size
        self.has_neighbors = size > 1 if has_neighbors is None else has_neighbors
        self._group: Any = None  # of tensors; None is the default group, gloo

    def local_device(self, name: str | None) -> str:
        """Name of this rank's device: without a number, each rank of a host gets a GPU of its own.

        Raises:
            SanrError: several ranks would share one GPU.
        """
        name = name or ("cuda" if torch.cuda.is_available() else "cpu")
        if self.has_neighbors and name == "cuda":
            return f"cuda:{os.environ['LOCAL_RANK']}"
        if (
            self.has_neighbors
            and name.startswith("cuda:")
            and os.environ["LOCAL_WORLD_SIZE"] != "1"
        ):
            raise SanrError(f"device {name} cannot serve several processes; use cuda or cpu")
        return name

    @property
    def n_on_host(self) -> int:
        """Those of them that run on this host."""
        return int(os.environ["LOCAL_WORLD_SIZE"]) if self.size > 1 else 1

    def use(self, device: torch.device) -> None:
        """Exchange tensors on this device from now on: by NCCL on GPUs, else by gloo."""
        if self.size > 1 and device.type == "cuda":
            self._group = dist.new_group(backend="nccl", timeout=_TIMEOUT)

    @property
    def uses_nccl(self) -> bool:
        """Whether tensors travel from GPU to GPU."""
        return self._group is not None

    def average_(self, x: Tensor) -> None:
        """Replace ``x`` by its mean over the ranks, the same bits on each."""
        if self.size > 1:
            with _peers():
                dist.all_reduce(x, group=self._group)
            x /= self.size

    def mean(self, x: Tensor) -> Tensor:
        """The mean over the ranks, of which all must make the same cost.

        So its gradient is the same everywhere, and not exchanged: what is behind ``x`` gets it on
        each rank, and the mean over the ranks of what comes of that is the gradient of the cost.
        """
        if self.size == 1:
            return x
        mean: Tensor = _Mean.apply(x, self)  # type: ignore[no-untyped-call]
        return mean

    def follow(self, *values: float) -> list[float]:
        """Return rank 0's values."""
        if self.size == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64)
        with _peers():
            dist.broadcast(shared, 0)
        return shared.tolist()

    def gather(self, value: T) -> list[T]:
        """Return the values of all ranks, on each of them."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with _peers():
            dist.all_gather_object(values, value)
        return values

    def share(self, make: Callable[[], T]) -> T:
        """Return what ``make`` gives on rank 0, or raise its :class:`SanrError`, on all ranks."""
        if self.size == 1:
            return make()
        answer = [_attempt(make) if self.rank == 0 else None]
        with _peers():
            dist.broadcast_object_list(answer, 0)
        return _result(cast("tuple[T | None, SanrError | None]", answer[0]))

    def each(self, make: Callable[[], T]) -> T:
        """Return what ``make`` gives here; raise on all ranks if it raises on one."""
        answer = _attempt(make)
        for error in self.gather(answer[1]):
            if error is not None:
                raise error
        return _result(answer)


class _Mean(Function):
    """:meth:`Ranks.mean`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        """Average."""
        mean = x.clone()
        ranks.average_(mean)
        return mean

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Pass the gradient on."""
        return gradients[0], None


ALONE = Ranks()


@contextmanager
def apart() -> Iterator[None]:
    """Within, each process that torchrun started encodes what it is given by itself."""
    before = _works_apart.set(True)
    try:
        yield
    finally:
        _works_apart.reset(before)


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the other processes if torchrun started this one.

    Raises:
        SanrError: torchrun did so only by half, or a process of the job is gone.
    """
    _check_environment()
    if _works_apart.get():
        yield Ranks(has_neighbors=dist.is_available() and dist.is_torchelastic_launched())
        return
    if not dist.is_available() or not dist.is_torchelastic_launched() or dist.is_initialized():
        yield ALONE
        return
    with _peers():
        dist.init_process_group("gloo", timeout=_TIMEOUT)
    ranks, done = Ranks(dist.get_rank(), dist.get_world_size()), False
    try:
        yield ranks
        done = True
    finally:
        # After an error NCCL might wait for a process that is gone.
        if done or not ranks.uses_nccl:
            dist.destroy_process_group()


def _check_environment() -> None:
    """Refuse what torchrun would not have left: torch would hang, or each process work alone."""
    launched = "TORCHELASTIC_RUN_ID" in os.environ
    if not launched and "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1":
        raise SanrError(
            "RANK and WORLD_SIZE are set, but torchrun did not start this process; "
            "start it by torchrun, or unset them"
        )
    numbers = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")
    wrong = [name for name in numbers if not os.environ.get(name, "").isdecimal()]
    wrong += [] if os.environ.get("MASTER_ADDR") else ["MASTER_ADDR"]
    if not wrong and int(os.environ["RANK"]) >= int(os.environ["WORLD_SIZE"]):
        wrong = ["RANK"]
    if launched and wrong:
        raise SanrError(
            f"{', '.join(wrong)} in the environment of torchrun is missing or wrong; "
            "start by torchrun, or unset TORCHELASTIC_RUN_ID"
        )


@contextmanager
def _peers() -> Iterator[None]:
    """Tell in one line that another process is gone."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise SanrError(f"lost another process of this job ({reason})") from None


def _attempt(make: Callable[[], T]) -> tuple[T | None, SanrError | None]:
    try:
        return make(), None
    except SanrError as error:
        return None, error


def _result(answer: tuple[T | None, SanrError | None]) -> T:
    value, error = answer
    if error is not None:
        raise error
    return cast(T, value)
