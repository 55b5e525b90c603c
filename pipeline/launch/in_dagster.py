"""A program that belongs to a run of Dagster's: its log lines are the run's, and it stops when the run is stopped."""

from __future__ import annotations

import dataclasses

import dagster as dg

from pipeline.launch.launcher import Launcher, Program


def run_in_dagster(launcher: Launcher, program: Program, context: dg.AssetExecutionContext) -> int:
    """Start the program and stay with it to its end; returns its exit status.

    Log lines come through Dagster Pipes, over files. Whatever interrupts this thread stops the program first.
    """
    files = (dg.PipesTempFileContextInjector(), dg.PipesTempFileMessageReader())
    with dg.open_pipes_session(context, *files) as pipes:
        environment = {**program.environment, **pipes.get_bootstrap_env_vars()}
        handle = launcher.start(dataclasses.replace(program, environment=environment), context.log)
        try:
            while (status := handle.wait()) is None:
                continue
        except BaseException:
            context.log.info("stopped: asking the trainer to end after a checkpoint")
            handle.stop()
            raise
    return status
