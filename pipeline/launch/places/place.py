"""Where the nodes of a run are: what puts `pipeline.launch.node` on each of them, and takes it away again.

A place knows nothing of training. That a node lives, and how its part ended, is said through the folder of the run; a
place is asked only for what that cannot say: whether a node's process is gone without a word, and an end by force.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import Protocol

from pipeline.launch.local import modules_of_this
from pipeline.launch.run_folder import Attempt


class Placed(Protocol):
    """The nodes of one attempt."""

    def gone(self) -> dict[int, int]:
        """Exit statuses by node of those whose process is known to be gone, 0 where none is known. Cheap enough to be
        asked at any time."""
        ...

    def kill(self) -> None:
        """End whatever is left of them, by force, and return when it is gone."""
        ...


class Place(Protocol):
    """Puts nodes somewhere."""

    def start(self, attempt: Attempt) -> Placed:
        """Start every node's part. Raises LaunchError where that cannot be had."""
        ...

    def clear(self, attempt: Attempt) -> None:
        """Take away what is left of an attempt whose supervisor was killed, where its nodes would not notice that."""
        ...


def node_words(attempt: Attempt, node: str, python: str | None) -> list[str]:
    """What is to run on a node; `node`: its number, or a variable there that has it."""
    variables = modules_of_this(os.environ.get("PYTHONPATH"))
    named = [f"{name}={value}" for name, value in variables.items()]
    return ["env", *named, python or sys.executable, "-m", "pipeline.launch.node", str(attempt.folder), node]


def node_line(attempt: Attempt, node: str, python: str | None) -> str:
    """The same as a line for a shell, which it takes the place of."""
    return "exec " + shlex.join(node_words(attempt, node, python))
