"""What maps a function over the independent parts of an asset: in this process, or in a few fresh ones.

An asset's function takes an `Executor` and never learns what is behind it. The plan is its own: what a part is
never depends on how many workers there are, so the bytes are the same everywhere, and an executor is only a queue.
Those of other machines are in `pipeline.engine`.

The contract of a part, which lets it run on any engine:

- it is a module-level function of picklable arguments, and it changes none of them;
- it reads the files named by paths in its arguments, not what else a folder named there holds, and writes only below
  folders named in its arguments, under names of its own, an index last;
- it may run twice, even at once: the same arguments give the same files.
"""

from __future__ import annotations

import ctypes
import functools
import multiprocessing
import os
import pickle
import secrets
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Final, Generic, Protocol, Self, TypeVar

from pipeline.base.errors import WorkerError
from pipeline.base.spawning import Spawning
from trainer.process.allocator import keep_freed_memory
from trainer.process.cores import core_count

F = TypeVar("F", bound=Hashable)
R = TypeVar("R")
T = TypeVar("T")
_PR_SET_PDEATHSIG: Final = 1
AHEAD: Final = 4
"""Tasks a slot that wait in an engine's queue: enough to keep it busy, few enough to pickle late."""


class Shared(Generic[T]):
    """A value that many tasks read and none changes, sent once to each worker instead of once with each task."""

    def __init__(self, value: T) -> None:
        self._value: T | None = value
        self._fetch: Callable[[], T] | None = None

    @property
    def value(self) -> T:
        if self._value is None and self._fetch is not None:
            return self._fetch()
        return self._value  # type: ignore[return-value]

    def send(self, put: Callable[[T], Callable[[], T]]) -> None:
        """Have tasks get the value by what `put` returns, which travels in its place."""
        if self._fetch is None:
            self._fetch = put(self.value)

    def __getstate__(self) -> dict[str, Any]:
        return {"_value": None if self._fetch else self._value, "_fetch": self._fetch}


class Executor(Protocol):
    """Maps functions over parts. Used as a context manager; workers end with the block."""

    @property
    def slots(self) -> int:
        """Tasks that run at the same time."""
        ...

    @property
    def machines(self) -> int:
        """How many have a memory of their own, among which the slots are shared out."""
        ...

    @property
    def elsewhere(self) -> bool:
        """Whether work that is given to `run` is done by other machines."""
        ...

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

    def run(
        self,
        function: Callable[..., R],
        task: tuple[Any, ...],
        *,
        reads: Iterable[Path] = (),
        stop: Event | None = None,
    ) -> R:
        """`function(*task)`, one piece of work that may take hours, such as a suite or a run of a study: on another
        machine where there are any, else in this thread. Several threads may ask at once.

        reads: files that it reads below folders named in its arguments. stop: set by another thread where nobody waits
        for the result any more; what goes on elsewhere is ended. Raises as `map`, and WorkerError after `stop`.
        """
        ...


class InProcess:
    """Everything in this process, one task after the other: what tests and small work use."""

    slots = 1
    machines = 1
    elsewhere = False

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

    def run(
        self,
        function: Callable[..., R],
        task: tuple[Any, ...],
        *,
        reads: Iterable[Path] = (),
        stop: Event | None = None,
    ) -> R:
        return function(*task)


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
        self._shared: list[Shared[Any]] = []

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
        self._shared.clear()

    def share(self, value: T) -> Shared[T]:
        self._shared.append(shared := Shared(value))
        return shared

    def _put(self, value: T) -> Callable[[], T]:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="squeeze-shared-"))
        return put_pickled(value, self._folder)

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
        if getattr(_without_partials(function), "__module__", "") == "__main__":
            raise WorkerError(
                f"{name_of(function)} is a function of the program itself, which workers do not import: have it in a "
                "module of its own"
            )
        if self._pool is None:
            parent = (os.getpid(),)
            self._pool = ProcessPoolExecutor(
                self.slots, mp_context=Spawning(), initializer=_begin_worker, initargs=parent
            )
        for shared in self._shared:
            shared.send(self._put)
        # a queue in front of every slot keeps it busy; fewer tasks than slots are kept to by having no queue
        most = self.slots * AHEAD if slots == self.slots else slots
        start = functools.partial(self._pool.submit, function)
        running: set[Future[R]] = set()
        try:
            yield from flow(tasks, start, _ended, Future[R].result, running=running, most=most, ordered=ordered)
        except BrokenProcessPool:
            raise WorkerError(
                f"a worker process was killed, most likely for want of memory; lower {self._setting} and run the same "
                "command again: finished parts are kept"
            ) from None
        finally:
            for future in running:
                future.cancel()


def flow(
    tasks: Sequence[tuple[Any, ...]],
    start: Callable[..., F],
    ended: Callable[[set[F]], set[F]],
    result: Callable[[F], R],
    *,
    running: set[F],
    most: int,
    ordered: bool,
) -> Iterator[R]:
    """The results of tasks of which at most so many have been started and not ended.

    start: begins `start(*task)`, and returns what stands for it. ended: waits until some of the running have ended, and
    returns those. result: what one that has ended returned. running: kept up to date, for whoever gives up on them.
    """
    waiting = iter(tasks)
    in_order: deque[F] = deque()
    while True:
        started = [start(*task) for task in islice(waiting, most - len(running))]
        running.update(started)
        if not running:
            return
        done = ended(running)
        running -= done
        if ordered:  # results that are early wait: a task that takes long stops no worker
            in_order.extend(started)
            while in_order and in_order[0] not in running:
                yield result(in_order.popleft())
        else:
            for one in done:
                yield result(one)


def name_of(function: Callable[..., Any]) -> str:
    """What an engine's own pages call the tasks of a function."""
    return getattr(_without_partials(function), "__name__", "part")


def _without_partials(function: Callable[..., Any]) -> Callable[..., Any]:
    return _without_partials(function.func) if isinstance(function, functools.partial) else function


def require_wanted(stop: Event | None) -> None:
    """Raise WorkerError where nobody waits for a piece of work any more."""
    if stop is not None and stop.is_set():
        raise WorkerError("stopped before its end; the same command does it again")


def _ended(running: set[Future[R]]) -> set[Future[R]]:
    return wait(running, return_when=FIRST_COMPLETED).done


def _begin_worker(parent: int) -> None:
    die_with_parent(parent)
    keep_freed_memory()


def die_with_parent(parent: int) -> None:
    """Linux: kill this worker when its parent's process ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def die_with_run() -> None:
    """Linux: kill this process of one asset when that of its run ends."""
    run = multiprocessing.parent_process()
    if run is not None and run.pid is not None:
        die_with_parent(run.pid)


def put_pickled(value: T, folder: Path) -> Callable[[], T]:
    """Leave a value in a folder that only this run writes and reads; what gets it from there, once a process."""
    file = folder / f"{secrets.token_hex(8)}.pickle"
    with file.open("wb") as stream:
        pickle.dump(value, stream, protocol=pickle.HIGHEST_PROTOCOL)
    return functools.partial(_unpickled, file)


@functools.lru_cache(maxsize=4)
def _unpickled(file: Path) -> Any:
    with file.open("rb") as stream:
        return pickle.load(stream)
