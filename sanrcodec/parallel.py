# SPDX-License-Identifier: MIT
"""Calls of a function side by side, by threads, with the results in order; knows no light field.

Goes on in the thread of the caller where there are no others: in a process that was forked
meanwhile, in one that may start no more threads, and in one that is about to end.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Generic, TypeVar

__all__ = ["in_order"]

A = TypeVar("A")
T = TypeVar("T")


def in_order(function: Callable[[A], T], items: Iterable[A], n_threads: int) -> Iterator[T]:
    """Call a function with each item, once, and yield what it returns, in the order of the items.

    Args:
        function: Called by several threads; what it raises is raised when its turn comes.
        items: As many as there are threads, and one more, are ahead of the one that is yielded.
        n_threads: At most.
    """
    rest, ahead = iter(items), deque[_Call[A, T]]()
    pool, process = ThreadPoolExecutor(n_threads), os.getpid()
    try:
        while os.getpid() == process:
            for item in islice(rest, 1 + n_threads - len(ahead)):
                ahead.append(_Call(function, item, pool))
            if not ahead:
                return
            yield ahead.popleft().result()
        # A fork has no threads but one: what they had begun is called again.
        for item in [*(call.item for call in ahead), *rest]:
            yield function(item)
    finally:
        if os.getpid() == process:
            for call in ahead:
                call.future.cancel()
            pool.shutdown()


class _Call(Generic[A, T]):
    """A call that a thread of the pool makes, or else the one that asks for its result."""

    def __init__(self, function: Callable[[A], T], item: A, pool: ThreadPoolExecutor) -> None:
        self.function, self.item = function, item
        self.future: Future[T] = Future()
        self._is_left = False
        try:
            pool.submit(self._make)
        except RuntimeError:  # no thread could be started; another one may make the call still
            self._is_left = True

    def result(self) -> T:
        """What the function returns."""
        if self._is_left and self.future.cancel():
            return self.function(self.item)
        return self.future.result()

    def _make(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.function(self.item))
        except BaseException as error:
            self.future.set_exception(error)
