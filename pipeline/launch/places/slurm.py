"""Nodes that Slurm gives: one job for an attempt, with one task a node.

Slurm is asked with its own commands (sbatch, squeue, scancel). What squeue says of a job is believed only where it says
that the job is over: after the death of a node's daemon Slurm has been seen to call a job running that nobody ran.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from typing import Final

from pipeline.base.errors import LaunchError
from pipeline.launch.places.place import node_line
from pipeline.launch.run_folder import Attempt
from pipeline.launch.settings import SlurmSettings

ASK_SECONDS: Final = 3.0
COMMAND_SECONDS: Final = 60.0
CANCEL_SECONDS: Final = 90.0
"""From scancel to the time when the job is taken for gone, whatever Slurm says."""
WARNING: Final = "--signal=TERM@60"
"""A minute before a job's limit its nodes are told."""
ALIVE: Final = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING")


class SlurmPlace:
    """Submits a job for each attempt."""

    def __init__(self, settings: SlurmSettings, nodes: int) -> None:
        self._settings, self._nodes = settings, nodes

    def start(self, attempt: Attempt) -> SlurmPlaced:
        settings = self._settings
        options = [f"--nodes={self._nodes}", "--ntasks-per-node=1", "--no-requeue", "--job-name=squeeze", WARNING]
        options += [f"--partition={settings.partition}"] if settings.partition else []
        options += [f"--time={settings.time}"] if settings.time else []
        options += [f"--output={attempt.run.path / 'slurm.log'}", "--open-mode=append", *settings.options]
        line = node_line(attempt, "SLURM_NODEID", settings.python)
        # tasks that lost another save first, and are ended by the supervisor, not by srun
        script = f"#!/bin/sh\nexec srun --kill-on-bad-exit=0 --unbuffered sh -c {shlex.quote(line)}\n"
        said = _ask(["sbatch", "--parsable", *options], script)
        job = said.strip().partition(";")[0]
        attempt.write_placed({"job": job})
        return SlurmPlaced(job, self._nodes)

    def clear(self, attempt: Attempt) -> None:
        if job := attempt.placed().get("job"):
            SlurmPlaced(job, self._nodes).kill()


class SlurmPlaced:
    """A job."""

    def __init__(self, job: str, nodes: int) -> None:
        self.job, self._nodes = job, nodes
        self._asked_at = time.monotonic()
        self._over = False

    def gone(self) -> dict[int, int]:
        if not self._over and time.monotonic() - self._asked_at > ASK_SECONDS:
            self._asked_at = time.monotonic()
            self._over = state_of(self.job) == ""
        return dict.fromkeys(range(self._nodes), 0) if self._over else {}

    def kill(self) -> None:
        deadline = time.monotonic() + CANCEL_SECONDS
        while state_of(self.job) != "" and time.monotonic() < deadline:
            _run(["scancel", self.job])
            time.sleep(1.0)


def state_of(job: str) -> str | None:
    """What Slurm calls a job's state; empty where it is over or unknown, none where Slurm cannot be asked now."""
    try:
        done = _run(["squeue", "--noheader", f"--jobs={job}", "--format=%T"])
    except LaunchError:
        return None
    if done.returncode:
        return "" if "Invalid job id" in done.stderr else None
    state = done.stdout.strip()
    return state if state in ALIVE else ""


def _ask(words: list[str], given: str) -> str:
    done = _run(words, given)
    if done.returncode:
        raise LaunchError(f"{words[0]} refused the job: {(done.stderr or done.stdout).strip()} (launch.slurm)")
    return done.stdout


def _run(words: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words, input=given, env=os.environ, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
    except FileNotFoundError:
        raise LaunchError(f"launch.kind is slurm, and there is no {words[0]} on this machine") from None
    except subprocess.TimeoutExpired:
        raise LaunchError(f"{words[0]} did not answer within {COMMAND_SECONDS:.0f} s") from None
