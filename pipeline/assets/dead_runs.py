"""Runs whose process is gone, and which Dagster takes for running: they are ended, or would keep a place in its queue.

Dagster's run monitoring asks run launchers that can say so; the one that starts processes cannot, and a run of
`dagster job execute` has none. So every run leaves which process it is, and whoever looks from the same machine sees
whether that one lives: the next run when it begins, and a sensor. Of a run of another machine nothing is said.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import dagster as dg

from pipeline.reporting.decorating import decorating

HOST_TAG: Final = ".dagster/squeeze_host"
"""Of a name that the web UI does not show."""
PROCESS_TAG: Final = ".dagster/squeeze_process"
_AT_WORK: Final = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def this_process() -> str:
    """A name for this process that no other has or will have; empty where the system has none to give (no Linux)."""
    if sys.platform != "linux":
        return ""
    return "/".join((*_place(), str(os.getpid()), _started(os.getpid()) or ""))


def is_dead(process: str) -> bool:
    """Whether a process of that name has ended; False where nobody can say, as of another machine or container."""
    there = process.split("/")
    if sys.platform != "linux" or len(there) != 5:
        return False
    machine, boot, namespace, pid, started = there
    here = _place()
    if machine and machine == here[0] and boot != here[1]:
        return True
    return (machine, boot, namespace) == here and _started(int(pid)) != started


def mark_run(run: dg.DagsterRun, instance: dg.DagsterInstance, log: logging.Logger) -> None:
    """Leave which process a run is."""
    with decorating(log, "nobody will notice by itself where this run's process is killed"):
        if process := this_process():
            instance.add_run_tags(run.run_id, {HOST_TAG: socket.gethostname(), PROCESS_TAG: process})


def end_dead_runs(instance: dg.DagsterInstance) -> Iterator[str]:
    """End every run of this machine whose process is gone; yields the id of each."""
    of_here = dg.RunsFilter(statuses=_AT_WORK, tags={HOST_TAG: socket.gethostname()})
    for run in instance.get_runs(of_here):
        if is_dead(run.tags.get(PROCESS_TAG, "")):
            if run.status is dg.DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, message="Its process is gone.")
            else:
                instance.report_run_failed(run, message="Its process is gone: killed, or the machine restarted.")
            if instance.event_log_storage.supports_global_concurrency_limits:
                instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)  # its place in a pool
            yield run.run_id


def sensor() -> dg.SensorDefinition:
    """`end_dead_runs`: looks for them twice a minute."""

    @dg.sensor(
        name="end_dead_runs",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ends runs of this machine whose process is gone, which would keep their place in the queue.",
    )
    def end(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        ended = list(end_dead_runs(context.instance))
        return dg.SkipReason(f"ended: {', '.join(ended)}" if ended else "every run at work has a living process")

    return end


def _place() -> tuple[str, str, str]:
    """(machine, start of its system, the processes seen from here): where a process id means one process."""
    texts = []
    for file in (Path("/etc/machine-id"), Path("/proc/sys/kernel/random/boot_id")):
        try:
            texts.append(file.read_text(encoding="ascii").strip())
        except OSError:
            texts.append("")
    return texts[0], texts[1], Path("/proc/self/ns/pid").readlink().name


def _started(pid: int) -> str | None:
    """When a process was started, in clock ticks since the system's start; none where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
