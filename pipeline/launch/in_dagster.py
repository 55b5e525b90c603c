"""A program that belongs to a run of Dagster's: its log lines are the run's, and it stops when the run is stopped."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import dagster as dg

from pipeline.launch.launcher import Handle, Launcher, Program


def run_in_dagster(launcher: Launcher, program: Program, context: dg.AssetExecutionContext) -> int:
    """Start the program and stay with it to its end; returns its exit status.

    Log lines come through Dagster Pipes, over files, from a child of this process, and otherwise from its handle.
    Whatever interrupts this thread stops the program first.
    """
    with _started(launcher, program, context) as handle:
        return stay_with(handle, context)


def stay_with(handle: Handle, context: dg.AssetExecutionContext) -> int:
    """Wait for a program's end, or stop it where this thread is interrupted; returns its exit status."""
    try:
        while (status := handle.wait()) is None:
            continue
    except BaseException:
        context.log.info("stopped: asking the trainer to end after a checkpoint")
        handle.stop()
        raise
    return status


@contextlib.contextmanager
def _started(launcher: Launcher, program: Program, context: dg.AssetExecutionContext) -> Iterator[Handle]:
    if not launcher.inherits:
        yield launcher.start(program, context.log)
        return
    files = (dg.PipesTempFileContextInjector(), dg.PipesTempFileMessageReader())
    with dg.open_pipes_session(context, *files) as pipes:
        environment = {**program.environment, **pipes.get_bootstrap_env_vars()}
        yield launcher.start(dataclasses.replace(program, environment=environment), context.log)
