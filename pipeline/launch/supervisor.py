"""`python -m pipeline.launch.supervisor OUT`: looks after a run's nodes, and outlives Dagster where it is to.

In: the folder of a run with the job that its launcher left there. It holds the folder's lock as long as it lives, puts
every node's part where the settings say, and starts all of them again from the newest checkpoint where one is lost.
Out: `exit.json`, written before the lock is given back; without it, the supervisor was killed.

All or nothing: a rank without the others computes nothing, so where one node ends in any other way than the others, the
others are asked to end, and then made to.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from pipeline.base.errors import LaunchError
from pipeline.base.lock import exclusive
from pipeline.launch.places.command import by_command, this_machine
from pipeline.launch.places.place import Place, Placed
from pipeline.launch.places.ray_cluster import RayPlace
from pipeline.launch.places.slurm import SlurmPlace
from pipeline.launch.run_folder import Attempt, Exit, RunFolder
from pipeline.launch.settings import LaunchSettings
from trainer.process.complaint import EXIT_ERROR, EXIT_SETTINGS
from trainer.process.signals import EXIT_UNFINISHED, GRACE_SECONDS, die_with_parent, heeded_stops
from trainer.run.folder import CHECKPOINTS, sorted_checkpoints, step_of

POLL_SECONDS: Final = 0.5
PEER_SECONDS: Final = 15.0
"""How long nodes that lost another have to notice that themselves, and to save."""
STOP_SECONDS: Final = GRACE_SECONDS + 25
"""From the request to stop to the end by force; a node kills its own part before that."""


class Supervisor:
    """Looks after one run."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.launch = folder.job().launch
        self.place = place_of(self.launch)
        self.asked = ""
        """Why the run is to end; empty while it is not."""
        self._attended, self._attended_at = "", time.monotonic()

    def run(self) -> Exit:
        """Every attempt, to the run's end."""
        for number in heeded_stops():
            signal.signal(number, self._ask)
        self._settle()
        fruitless = 0
        while True:
            before = self._newest_step()
            try:
                end = self._attempt()
            except LaunchError as error:
                return Exit(EXIT_SETTINGS, str(error))
            if end.status in (0, EXIT_SETTINGS) or self.asked:
                return Exit(end.status, self.asked or end.said)
            fruitless = 1 if self._newest_step() > before else fruitless + 1
            if fruitless >= self.launch.attempts:
                return end
            self._log(f"{end.said or 'the trainer ended early'}: starting again from step {self._newest_step()}")

    def _attempt(self) -> Exit:
        attempt = self.folder.new_attempt()
        attempt.beat()
        placed = self.place.start(attempt)
        try:
            return Watch(self, attempt, placed).to_the_end()
        finally:
            placed.kill()
            shutil.rmtree(attempt.folder, ignore_errors=True)

    def should_stop(self) -> bool:
        """Whether the run is to end: somebody has asked for it, or nobody has looked at it for too long."""
        if not self.asked and self.folder.asked_to_stop():
            self.asked = "stopped"
        if (attended := self.folder.attended()) != self._attended:
            self._attended, self._attended_at = attended, time.monotonic()
        hours = self.launch.unattended_hours
        if not self.asked and hours is not None and time.monotonic() - self._attended_at > hours * 3600:
            self.asked = f"nobody was attached to the trainer for {hours:g} hours (launch.unattended_hours)"
        return bool(self.asked)

    def _settle(self) -> None:
        """End what a supervisor that was killed has left, before anything is started beside it."""
        for attempt in self.folder.attempts():
            attempt.ask_to_stop()
            nodes = range(self.launch.nodes)
            last, last_at = [attempt.node(node) for node in nodes], time.monotonic()
            while any(state is not None and state.status is None for state in last):
                time.sleep(POLL_SECONDS)
                now = [attempt.node(node) for node in nodes]
                if now != last:
                    last, last_at = now, time.monotonic()
                elif time.monotonic() - last_at > self.launch.lost_seconds:
                    break
            self.place.clear(attempt)
            shutil.rmtree(attempt.folder, ignore_errors=True)

    def _newest_step(self) -> int:
        checkpoints = sorted_checkpoints(self.folder.out / CHECKPOINTS)
        return step_of(checkpoints[-1]) if checkpoints else 0

    def _log(self, line: str) -> None:
        with self.folder.log.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self.asked = self.asked or f"stopped by {signal.Signals(number).name}"


class Watch:
    """One attempt, from its start to the end of its last node."""

    def __init__(self, supervisor: Supervisor, attempt: Attempt, placed: Placed) -> None:
        self._supervisor, self._attempt, self._placed = supervisor, attempt, placed
        self._nodes = range(supervisor.launch.nodes)
        self._ended: dict[int, int] = {}
        self._said = ""
        self._heard: dict[int, tuple[str, float]] = {}
        self._gone_at: dict[int, float] = {}
        self._failed_at: float | None = None
        self._stop_at: float | None = None

    def to_the_end(self) -> Exit:
        """Wait for every node's end, and bring it about where one has failed or the run is to stop."""
        while len(self._ended) < len(self._nodes):
            now = time.monotonic()
            with contextlib.suppress(OSError):  # a file system that comes back; nodes have patience
                self._attempt.beat()
            self._look(now)
            if any(self._ended.values()) and self._failed_at is None:
                self._failed_at = now
            late = self._failed_at is not None and now - self._failed_at > PEER_SECONDS
            if self._stop_at is None and (late or self._supervisor.should_stop()):
                self._stop_at = now
                self._attempt.ask_to_stop()
            if self._stop_at is not None and now - self._stop_at > STOP_SECONDS:
                self._placed.kill()
                break
            time.sleep(POLL_SECONDS)
        return Exit(status_of_nodes(list(self._ended.values()), len(self._nodes)), self._said)

    def _look(self, now: float) -> None:
        """Take in which nodes have ended, by their own words, by their process, or by their silence."""
        gone = self._placed.gone()
        for node in self._nodes:
            if node in self._ended:
                continue
            state = self._attempt.node(node)
            if state is not None and state.beat != self._heard.get(node, ("", 0.0))[0]:
                self._heard[node] = (state.beat, now)
            if state is not None and state.status is not None:
                self._end(node, state.status, state.said)
            elif node in gone and self._is_silent(node, gone[node], now):
                self._end(node, gone[node] or EXIT_ERROR, f"node {node} ended without a word")
            elif node in self._heard and now - self._heard[node][1] > self._supervisor.launch.lost_seconds:
                self._end(node, EXIT_ERROR, f"nothing is heard of node {node} any more")

    def _is_silent(self, node: int, status: int, now: float) -> bool:
        """Whether a node that is gone will say nothing more; where it seems to have ended well, its word may be on its
        way through a file system that shows changes late."""
        since = self._gone_at.setdefault(node, now)
        return status != 0 or now - since > self._supervisor.launch.lost_seconds

    def _end(self, node: int, status: int, said: str) -> None:
        self._ended[node] = status
        if status and not self._said:
            self._said = said or f"node {node} ended with status {status}"


def status_of_nodes(statuses: Sequence[int], nodes: int) -> int:
    """What the nodes' statuses come to: a mistake in the settings before an error, that before a stop after a
    checkpoint; an error where nothing is known of one."""
    if EXIT_SETTINGS in statuses:
        return EXIT_SETTINGS
    if len(statuses) < nodes or any(status not in (0, EXIT_UNFINISHED) for status in statuses):
        return EXIT_ERROR
    return EXIT_UNFINISHED if EXIT_UNFINISHED in statuses else 0


def place_of(launch: LaunchSettings) -> Place:
    """Where the settings want the nodes."""
    if launch.kind == "slurm":
        return SlurmPlace(launch.slurm, launch.nodes)
    if launch.kind == "ray":
        return RayPlace(launch.ray, launch.nodes)
    if launch.kind == "command" and launch.command is not None:
        return by_command(launch.command, launch.nodes)
    return this_machine()


def main() -> int:
    folder = RunFolder(Path(sys.argv[1]))
    if not folder.job().launch.detached:
        die_with_parent()
    with exclusive(folder.lock, "looking after a trainer"):
        folder.write_supervisor(os.getpid())
        try:
            end = Supervisor(folder).run()
        except Exception as error:
            traceback.print_exception(error)
            end = Exit(EXIT_ERROR, f"{type(error).__name__}: {error} (a fault of the supervisor; see {folder.path})")
        folder.write_exit(end)
    return 0


if __name__ == "__main__":
    sys.exit(main())
