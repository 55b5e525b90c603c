"""What an element of a Slurm array runs: its share of the tasks in a folder (see `slurm_array`)."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import EngineError
from pipeline.engine.same_code import require_same
from trainer.process.allocator import keep_freed_memory

TASKS: Final = "tasks.pickle"
ALIVE: Final = "alive"
ABANDONED: Final = 900.0
"""Seconds without a sign of whoever waits, after which nobody does: it was killed, with no chance to cancel."""


def result_file(folder: Path, task: int) -> Path:
    """Where a task's result is left."""
    return folder / f"result-{task:06d}.pickle"


def work(folder: Path, element: int, elements: int) -> None:
    """Do an element's tasks that have no result yet. What a task raises is its result."""
    with (folder / TASKS).open("rb") as file:
        expected, function, tasks = pickle.load(file)
    for number in range(element, len(tasks), elements):
        path = result_file(folder, number)
        if path.exists():
            continue
        if _abandoned(folder, element):
            return
        try:
            require_same(expected)
            result = (True, function(*tasks[number]))
        except Exception as error:
            result = (False, _sendable(error))
        _leave(result, path)


def _leave(result: tuple[bool, Any], path: Path) -> None:
    temporary = path.with_name(f"{os.uname().nodename}-{os.getpid()}.part")
    with temporary.open("wb") as file:
        pickle.dump(result, file, protocol=pickle.HIGHEST_PROTOCOL)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _abandoned(folder: Path, element: int) -> bool:
    """Whether nobody waits. By the folder's own clock, which is that of the machine that keeps it."""
    mine = folder / f"clock-{element}"
    mine.touch()
    try:
        return mine.stat().st_mtime - (folder / ALIVE).stat().st_mtime > ABANDONED
    except FileNotFoundError:  # whoever waited has removed the folder
        return True


def _sendable(error: Exception) -> Exception:
    """The error, or what it says where it cannot be pickled; with its trace, for the log."""
    error.add_note(f"on {os.uname().nodename}: {''.join(traceback.format_tb(error.__traceback__))}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return EngineError(f"{type(error).__name__}: {error}")
    return error


def main(words: list[str]) -> None:
    folder, elements = words
    keep_freed_memory()
    work(Path(folder), int(os.environ["SLURM_ARRAY_TASK_ID"]), int(elements))


if __name__ == "__main__":
    main(sys.argv[1:])
