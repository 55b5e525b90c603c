"""An executor whose parts run where nothing of the run can be seen, as on a node that shares no folder with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pipeline.base.executor import InProcess, name_of
from pipeline.engine import carried
from pipeline.engine.carried import Carrier, run_carried, with_files

R = TypeVar("R")


class Elsewhere(InProcess):
    """One node and one bucket in folders of this machine; the run's folder is hidden while the node works."""

    slots = machines = 2
    elsewhere = True

    def __init__(self, folder: Path, home: Path, root: Path, patch: pytest.MonkeyPatch) -> None:
        """folder: for the node and the bucket. home: what is hidden. root: of the carrier, in or above `home`."""
        patch.setattr(carried, "_reference_type", lambda: bytearray)  # Ray's is not needed
        patch.setenv("SQUEEZE_NODE", str(folder / "node"))
        self._carrier, self._home = Carrier((folder / "bucket").as_uri(), root, 1.0), home
        self._one_at_a_time = threading.Lock()
        self.parts: set[str] = set()
        """The function of every task that ran, by name."""

    def map(self, function: Callable[..., R], tasks: Sequence[tuple[Any, ...]], **options: Any) -> Iterator[R]:
        self.parts.add(name_of(function))
        for task in tasks:
            yield self._there(function, *task)

    def run(
        self, function: Callable[..., R], task: tuple[Any, ...], *, reads: Iterable[Path] = (), stop: Any = None
    ) -> R:
        self.parts.add(name_of(function))
        return self._there(with_files, tuple(reads), function, *task)

    def _there(self, function: Callable[..., R], *task: Any) -> R:
        with self._one_at_a_time:  # as another thread's run would hide its files
            load = self._carrier.load(function, *task)
            with self._hidden():
                unload = run_carried(load)
            result: R = self._carrier.unload(unload)
            return result

    @contextmanager
    def _hidden(self) -> Iterator[None]:
        aside = self._home.with_name("hidden")
        self._home.rename(aside)
        try:
            yield
        finally:
            aside.rename(self._home)
