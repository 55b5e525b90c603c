"""Parts as tasks of a Ray cluster: its scheduler as a queue, and nothing else of it.

Connects when the first work comes that is worth it, and stays connected for the rest of the run: Ray takes seconds to
start. A part whose worker or node is lost is attempted again elsewhere, three times. Ray kills what runs for a process
that is gone, so nothing outlives the run.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Final, TypeVar

from pipeline.base.errors import EngineError, WorkerError
from pipeline.base.executor import AHEAD, InProcess, Shared, flow, name_of, require_wanted
from pipeline.base.ray_connection import connected_to_ray, first_line
from pipeline.engine.carried import Carrier, run_carried, with_files
from pipeline.engine.same_code import Versions, require_same, versions
from pipeline.engine.settings import RayEngine
from trainer.process.allocator import freed_memory_kept
from trainer.process.cores import core_count

R = TypeVar("R")
T = TypeVar("T")
ATTEMPTS: Final = 3
"""Of a part, beyond the first, where its worker was lost."""
PATIENCE: Final = 15.0
"""Seconds that a cancelled part may take to end."""
LOOK_EVERY: Final = 0.5
"""Seconds between two looks at whether a piece of work is still wanted."""


class RayTasks(InProcess):
    """Maps over the nodes of a cluster that see one folder under one path, or share a bucket."""

    elsewhere = True

    def __init__(
        self, settings: RayEngine, workers: int = 0, *, setting: str = "workers", carrier: Carrier | None = None
    ) -> None:
        """workers: most parts at once on a node, 0 for as many as it has CPUs for. setting: as for `Processes`.
        carrier: brings files to nodes and back; none where they see the same."""
        self._settings, self._workers, self._setting, self._carrier = settings, workers, setting, carrier
        self._shared: list[Shared[Any]] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shared.clear()

    @property
    def slots(self) -> int:  # type: ignore[override]
        return self._settings.slots or sum(self._nodes)

    @property
    def machines(self) -> int:  # type: ignore[override]
        return max(1, len(self._nodes))

    def share(self, value: T) -> Shared[T]:
        self._shared.append(shared := Shared(value))
        return shared

    def map(
        self,
        function: Callable[..., R],
        tasks: Sequence[tuple[Any, ...]],
        *,
        ordered: bool = True,
        worth: bool = True,
        most_at_once: int | None = None,
    ) -> Iterator[R]:
        if len(tasks) < 2 or not worth:
            yield from super().map(function, tasks)
            return
        slots = min(self.slots, most_at_once or self.slots)
        ray = _connected(self._settings)
        for shared in self._shared:
            shared.send(_put)
        start = functools.partial(self._start, self._remote(ray, function), function)
        most = slots * AHEAD if slots == self.slots else slots
        running: set[Any] = set()
        try:
            yield from flow(tasks, start, _ended, self._result, running=running, most=most, ordered=ordered)
        finally:
            _give_up(running)

    def run(
        self,
        function: Callable[..., R],
        task: tuple[Any, ...],
        *,
        reads: Iterable[Path] = (),
        stop: Event | None = None,
    ) -> R:
        ray = _connected(self._settings)
        reference = self._start(self._remote(ray, function), with_files, tuple(reads), function, *task)
        running = {reference}
        try:
            while not ray.wait([reference], timeout=LOOK_EVERY)[0]:
                require_wanted(stop)
            running.clear()
            result: R = self._result(reference)
            return result
        finally:
            _give_up(running)

    def _remote(self, ray: Any, function: Callable[..., Any]) -> Any:
        return ray.remote(run_part).options(
            name=name_of(function),
            num_cpus=self._settings.cpus,
            max_retries=ATTEMPTS,
            scheduling_strategy="SPREAD",
        )

    def _start(self, remote: Any, function: Callable[..., R], *task: Any) -> Any:
        if self._carrier is None:
            return remote.remote(versions(), function, *task)
        return remote.remote(versions(), run_carried, self._carrier.load(function, *task))

    def _result(self, reference: Any) -> Any:
        """What a task returned. Raises what it raised itself, without Ray's wrapping."""
        import ray
        from ray import exceptions

        try:
            returned = ray.get(reference)
            return self._carrier.unload(returned) if self._carrier is not None else returned
        except exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else EngineError(str(error))
            raise cause from None
        except (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError, exceptions.NodeDiedError) as error:
            raise WorkerError(
                f"a Ray worker was killed {ATTEMPTS + 1} times over one part, most likely for want of memory; lower "
                f"{self._setting} and run the same command again: finished parts are kept ({first_line(error)})"
            ) from None
        except exceptions.RayError as error:
            raise EngineError(
                f"Ray lost a part: {first_line(error)}; run the same command again: finished parts are kept"
            ) from None

    @property
    def _nodes(self) -> list[int]:
        """Parts that each node has room for. Raises EngineError where none has for any."""
        cpus = self._settings.cpus
        found = [node["Resources"].get("CPU", 0.0) for node in _connected(self._settings).nodes() if node["Alive"]]
        room = [int(has / cpus) for has in found if has >= cpus]
        if not room and not self._settings.slots:
            raise EngineError(
                f"engine.cpus is {cpus:g}, and the nodes of the Ray cluster have {', '.join(f'{n:g}' for n in found)}: "
                "a part would wait for ever. Lower it, or give engine.slots where nodes are started on demand"
            )
        return [min(parts, self._workers or parts) for parts in room]


def run_part(expected: Versions, function: Callable[..., R], *task: Any) -> R:
    """On a worker: the function's result, after a look at whether it is the same function there."""
    require_same(expected)
    with freed_memory_kept():
        return function(*task)


def _connected(settings: RayEngine) -> Any:
    """Ray, connected once a process. Raises EngineError where it is missing, or there is no cluster at the address."""
    address = settings.address or os.environ.get("RAY_ADDRESS") or "local"
    own = {"num_cpus": settings.slots or core_count(), "include_dashboard": False} if address == "local" else {}
    return connected_to_ray(address, EngineError, "engine: ray", **own)


def _put(value: T) -> Callable[[], T]:
    import ray

    return functools.partial(_fetched, ray.put(value))


@functools.lru_cache(maxsize=4)
def _fetched(reference: Any) -> Any:
    """A shared value, once a worker."""
    import ray

    return ray.get(reference)


def _ended(running: set[Any]) -> set[Any]:
    import ray

    every = list(running)
    ready, others = ray.wait(every, num_returns=1)
    if others:
        ready += ray.wait(others, num_returns=len(others), timeout=0)[0]
    return set(ready)


def _give_up(running: set[Any]) -> None:
    """Cancel what nobody waits for, and see it end: the folder that it writes into may be built in again."""
    if not running:
        return
    import ray

    for reference in running:
        ray.cancel(reference, force=True)
    ray.wait(list(running), num_returns=len(running), timeout=PATIENCE)
