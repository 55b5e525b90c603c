"""Nodes that are reached by a command each: this machine itself, ssh, kubectl, or whatever else runs a line elsewhere.

A command lasts as long as its node's part and ends with its status. Where it is killed, or this process is, what it has
started notices: by its own parent's death here and behind sshd, and anywhere by the silence of its supervisor.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence

from pipeline.base.errors import LaunchError
from pipeline.launch.places.place import node_line, node_words
from pipeline.launch.run_folder import Attempt
from pipeline.launch.settings import CommandSettings


class CommandPlace:
    """Starts one process of this machine for each node."""

    def __init__(self, nodes: int, words: Callable[[Attempt, int], Sequence[str]]) -> None:
        self._nodes, self._words = nodes, words

    def start(self, attempt: Attempt) -> CommandPlaced:
        placed = CommandPlaced()
        try:
            for node in range(self._nodes):
                placed.add(self._words(attempt, node), attempt, node)
        except OSError as error:
            placed.kill()
            raise LaunchError(f"launch.command: {error.filename} cannot be run here ({error.strerror})") from None
        return placed

    def clear(self, attempt: Attempt) -> None:
        """Nothing: they have noticed."""


class CommandPlaced:
    """A process for each node."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    def add(self, words: Sequence[str], attempt: Attempt, node: int) -> None:
        with attempt.run.node_log(node).open("ab") as output:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self._processes.append(process)

    def gone(self) -> dict[int, int]:
        return {node: status for node, process in enumerate(self._processes) if (status := process.poll()) is not None}

    def kill(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()


def this_machine() -> CommandPlace:
    """One node, which is here."""
    return CommandPlace(1, lambda attempt, node: node_words(attempt, str(node), None))


def by_command(settings: CommandSettings, nodes: int) -> CommandPlace:
    """Nodes that a template's command reaches."""

    def words(attempt: Attempt, node: int) -> list[str]:
        fields = {"node": str(node), "program": node_line(attempt, str(node), settings.python)}
        if node < len(settings.hosts):
            fields["host"] = settings.hosts[node]
        return [word.format(**fields) for word in shlex.split(settings.template)]

    return CommandPlace(nodes, words)
