"""The same function over many parts, in this process or in a pool of fresh ones, with the results in the parts' order.

Nothing may depend on how many processes there are. They are spawned, not forked: a lock or thread of the parent's must
not outlive it in a child.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from types import TracebackType
from typing import Final, Self, TypeVar

from pipeline.base.errors import CurationError
from pipeline.base.executor import die_with_parent

Result = TypeVar("Result")
WORTH_BYTES: Final = 24_000_000
"""Starting processes takes about a second, in which one core reads this much text word by word."""


KILLED: Final = (
    "a worker process was killed, most likely for want of memory; lower curation.workers and run again: finished "
    "parts are kept"
)


def process_pool(workers: int) -> ProcessPoolExecutor:
    """Fresh processes that die with this one, however it ends."""
    parent = (os.getpid(),)
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=die_with_parent, initargs=parent)


class Pool:
    """Processes that start when the first large piece of work comes, and serve until the pool is left."""

    def __init__(self, workers: int = 0) -> None:
        """`workers`: processes; 0 takes one a core, 1 does everything in this process."""
        self._workers = workers or os.cpu_count() or 1
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=kind is not None)

    def map(self, work: Callable[..., Result], tasks: Sequence[tuple[object, ...]], *, worth: bool) -> Iterator[Result]:
        """The results of `work(*task)`, in order; `worth` says whether it is enough work for several processes."""
        if not worth or self._workers < 2 or len(tasks) < 2:
            for task in tasks:
                yield work(*task)
            return
        if self._executor is None:
            self._executor = process_pool(self._workers)
        try:
            yield from self._executor.map(work, *zip(*tasks, strict=True))
        except BrokenProcessPool:
            raise CurationError(KILLED) from None
