"""A local process pool for the independent parts of a stage.

Workers are spawned, not forked (a forked child would inherit locks, threads and open files), and die with the process
that started them, however that ends. One worker, or one part, runs in the caller's own process: small jobs do not pay
for a pool.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final

from pipeline.base.errors import ShardError

_PR_SET_PDEATHSIG: Final = 1
FEW_TOKENS: Final = 250_000_000
"""Work on fewer tokens than this ends before a pool has started."""


def cpu_count() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """Maps functions over tasks in up to `count` processes, started at the first use: `with Workers(2) as workers`."""

    def __init__(self, count: int | None) -> None:
        self.count = count or cpu_count()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """`function(*task)` for every task, results in the order they finish.

        Raises what a task raises; `ShardError` where a worker was killed from outside.
        """
        if self.count == 1 or len(tasks) < 2:
            for task in tasks:
                yield function(*task)
            return
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.count, context, initializer=die_with_parent, initargs=(os.getpid(),))
        futures = [self._pool.submit(function, *task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise ShardError(
                "shards: a worker process was killed, most likely for want of memory; lower shards.memory_mb or "
                "shards.workers and run again: finished parts are kept"
            ) from None
        finally:
            for future in futures:
                future.cancel()


def die_with_parent(parent: int) -> None:
    """Linux: kill this worker when its parent's process ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
