"""Worker processes that begin without the program that starts them.

A spawned process first imports its parent's main module anew, as it cannot know what of that it will be asked for. The
main module of a run is Dagster's command line, which takes a worker two seconds to import, and nothing that workers are
given is of it: a task is a function of a module of its own (see `Executor`). Such a worker begins in 0.1 seconds, and a
script without `if __name__ == "__main__"` starts workers as any other does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any


class _WithoutMain(SpawnProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 (multiprocessing's own name)
        with _no_main():
            return SpawnProcess._Popen(process_obj)


class Spawning(SpawnContext):
    """Multiprocessing's `spawn`, whose processes import no main module."""

    Process = _WithoutMain


@contextmanager
def _no_main() -> Iterator[None]:
    """Show multiprocessing a main module that comes from nowhere, as where one types into an interpreter."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
