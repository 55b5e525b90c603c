"""What maps a function over the independent parts of an asset: in this process, or in a few fresh ones.

An asset's function takes an `Executor` and never learns what is behind it. The plan is its own: what a part is
never depends on how many workers there are, so the bytes are the same everywhere, and an executor is only a queue.

The contract of a part, which lets it run on any engine:

- it is a module-level function of picklable arguments, and it changes none of them;
- it reads the files named in its arguments, and writes only below folders named in its arguments, under names of its
  own, an index last;
- it may run twice, even at once: the same arguments give the same files.
"""

from __future__ import annotations

import ctypes
import functools
import os
import pickle
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Generic, Protocol, Self, TypeVar

from pipeline.base.errors import WorkerError
from trainer.process.cores import core_count

R = TypeVar("R")
T = TypeVar("T")
_PR_SET_PDEATHSIG: Final = 1
_AHEAD: Final = 4
"""Tasks a slot that wait in a process's queue: enough to keep it busy, few enough to pickle late."""


class Shared(Generic[T]):
    """A value that many tasks read and none changes, sent once to each worker instead of once with each task."""

    def __init__(self, value: T, file: Path | None = None) -> None:
        self._value: T | None = value
        self._file = file

    @property
    def value(self) -> T:
        if self._value is None and self._file is not None:
            self._value = _unpickled(self._file)
        return self._value  # type: ignore[return-value]

    def __getstate__(self) -> dict[str, Any]:
        """With a file, the file's place alone travels."""
        return {"_value": None if self._file else self._value, "_file": self._file}


class Executor(Protocol):
    """Maps functions over parts. Used as a context manager; workers end with the block."""

    slots: int
    """Tasks that run at the same time."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def share(self, value: T) -> Shared[T]:
        """Hand a large value to every task: pass what this returns, and read its `value` in the task."""
        ...

    def map(
        self,
        function: Callable[..., R],
        tasks: Sequence[tuple[Any, ...]],
        *,
        ordered: bool = True,
        worth: bool = True,
        most_at_once: int | None = None,
    ) -> Iterator[R]:
        """`function(*task)` for every task, results in the tasks' order, or as they finish where not `ordered`.

        Where the work is not `worth` starting workers for, or there is one task, it is done in this process.
        most_at_once: tasks that memory has room for, where those are fewer than the slots. Raises what a task raises;
        WorkerError where a worker was killed from outside.
        """
        ...


class InProcess:
    """Everything in this process, one task after the other: what tests and small work use."""

    slots: int = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def share(self, value: T) -> Shared[T]:
        return Shared(value)

    def map(
        self,
        function: Callable[..., R],
        tasks: Sequence[tuple[Any, ...]],
        *,
        ordered: bool = True,
        worth: bool = True,
        most_at_once: int | None = None,
    ) -> Iterator[R]:
        return (function(*task) for task in tasks)


class Processes(InProcess):
    """Fresh processes on this machine, started when the first work comes that is worth it.

    They are spawned, not forked (a forked child would inherit locks, threads and open files), and die with the process
    that started them, however that ends.
    """

    def __init__(self, slots: int = 0, *, setting: str = "workers") -> None:
        """slots: processes; 0 takes one a core. setting: what to lower where memory runs out, for the error's text."""
        self.slots = slots or core_count()
        self._setting = setting
        self._pool: ProcessPoolExecutor | None = None
        self._folder: Path | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            if kind is not None:  # nobody waits for what the running tasks would still write
                for worker in list(self._pool._processes.values()):
                    worker.kill()
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def share(self, value: T) -> Shared[T]:
        if self.slots == 1:
            return Shared(value)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="squeeze-shared-"))
        file = self._folder / f"{len(list(self._folder.iterdir()))}.pickle"
        with file.open("wb") as stream:
            pickle.dump(value, stream, protocol=pickle.HIGHEST_PROTOCOL)
        return Shared(value, file)

    def map(
        self,
        function: Callable[..., R],
        tasks: Sequence[tuple[Any, ...]],
        *,
        ordered: bool = True,
        worth: bool = True,
        most_at_once: int | None = None,
    ) -> Iterator[R]:
        slots = min(self.slots, most_at_once or self.slots)
        if slots == 1 or len(tasks) < 2 or not worth:
            yield from super().map(function, tasks)
            return
        if self._pool is None:
            parent = (os.getpid(),)
            self._pool = ProcessPoolExecutor(
                self.slots, mp_context=get_context("spawn"), initializer=die_with_parent, initargs=parent
            )
        # a queue in front of every slot keeps it busy; fewer tasks than slots are kept to by having no queue
        in_flight = self.slots * _AHEAD if slots == self.slots else slots
        waiting = iter(tasks)
        running: set[Future[R]] = set()
        in_order: deque[Future[R]] = deque()
        try:
            while True:
                submitted = [self._pool.submit(function, *task) for task in islice(waiting, in_flight - len(running))]
                if not (running or submitted):
                    return
                done, running = wait(running.union(submitted), return_when=FIRST_COMPLETED)
                if ordered:  # results that are early wait: a task that takes long stops no worker
                    in_order.extend(submitted)
                    while in_order and in_order[0].done():
                        yield in_order.popleft().result()
                else:
                    for future in done:
                        yield future.result()
        except BrokenProcessPool:
            raise WorkerError(
                f"a worker process was killed, most likely for want of memory; lower {self._setting} and run the same "
                "command again: finished parts are kept"
            ) from None
        finally:
            for future in running:
                future.cancel()


def die_with_parent(parent: int) -> None:
    """Linux: kill this worker when its parent's process ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


@functools.lru_cache(maxsize=4)
def _unpickled(file: Path) -> Any:
    """A shared value, once a worker: every map's values have files of their own."""
    with file.open("rb") as stream:
        return pickle.load(stream)
