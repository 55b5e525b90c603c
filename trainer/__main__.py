"""`python -m trainer train --config run.json`, alone or under torchrun; `python -m trainer plan --config run.json`.

Exit status: 0 for a run that ended in order (`summary.json` says how), 75 for one that a signal stopped after a
checkpoint, 1 for an error, 2 for settings that cannot work; 128 and the signal's number where a signal came before
there was anything to save. An error's message is also left in `<config>.error`. Under torchrun every rank runs this,
and `trainer.launch` ends with the status of the rank that says most; the first rank also opens Dagster Pipes when its
environment is there.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from trainer.config import read_run
from trainer.errors import TrainerError
from trainer.process.complaint import Complaint, leave_status, status_of
from trainer.process.signals import EXIT_UNFINISHED, PARENT_PID, StopRequest, die_with_parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="trainer", description="Train a GPT on shards, or plan to.")
    commands = parser.add_subparsers(dest="command", required=True)
    train_parser = commands.add_parser("train", help="train, going on from the newest checkpoint in `out`")
    train_parser.add_argument("--config", type=Path, required=True, help="the run's settings as JSON")
    plan_parser = commands.add_parser("plan", help="parameters, FLOPs, memory, hours and cost before anything runs")
    plan_parser.add_argument("--config", type=Path, required=True, help="the run's settings as JSON")
    plan_parser.add_argument("--devices", type=int, default=1, help="devices of each kind (default 1)")
    plan_parser.add_argument("--mfu", type=float, default=0.4, help="share of the peak to count on (default 0.4)")
    plan_parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    if options.command == "train":
        return _train(options.config)
    try:
        return _plan(options)
    except TrainerError as error:
        print(f"trainer: {error}", file=sys.stderr)
        return status_of(error)


def _train(config: Path) -> int:
    under_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    if under_torchrun:
        launched = os.environ.get(PARENT_PID)
        die_with_parent(int(launched) if launched else None)
    complaint = Complaint(config)
    try:
        stop = StopRequest()
        stop.install()
        complaint.begin()
        status = _run(config, stop)
    except Exception as error:
        status = complaint.about(error)
    complaint.end()
    leave_status(status)
    return status


def _run(config: Path, stop: StopRequest) -> int:
    with _reporting(first=os.environ.get("RANK", "0") == "0"):
        from trainer.process.ranks import join_ranks, leave_ranks
        from trainer.run.loop import train

        run = read_run(config)
        ranks = join_ranks(run.training.device)
        summary = train(run, ranks, stop)
    if summary.interrupted:
        return EXIT_UNFINISHED  # torchrun may be dead, and its store with it: leave without a farewell
    leave_ranks(ranks)
    return 0


def _plan(options: argparse.Namespace) -> int:
    from trainer.plan import plan, plan_table

    result = plan(read_run(options.config), devices=options.devices, mfu=options.mfu)
    print(json.dumps(dataclasses.asdict(result), indent=2) if options.json else plan_table(result))
    return 0


@contextlib.contextmanager
def _reporting(*, first: bool) -> Iterator[None]:
    """Send the first rank's log to Dagster where Pipes' environment is there, and to stderr otherwise."""
    logger = logging.getLogger("trainer")
    logger.setLevel(logging.INFO if first else logging.WARNING)
    if not (first and "DAGSTER_PIPES_CONTEXT" in os.environ):
        handler: logging.Handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        with _added(logger, handler):
            yield
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes, _added(logger, _PipesHandler(pipes)):
        yield


@contextlib.contextmanager
def _added(logger: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _PipesHandler(logging.Handler):
    """Log records as Dagster's events."""

    def __init__(self, pipes: Any) -> None:
        super().__init__()
        self._pipes = pipes

    def emit(self, record: logging.LogRecord) -> None:
        level = "warning" if record.levelno >= logging.WARNING else "info"
        try:
            getattr(self._pipes.log, level)(record.getMessage())
        except Exception:  # as the handlers of `logging` have it: a line that cannot be said ends no run
            self.handleError(record)


def _leave(status: int) -> NoReturn:
    """End the process with this status and no other: after an error nothing is waited for that may never come, and
    output that cannot be written changes nothing."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if status:
        os._exit(status)
    sys.exit()


if __name__ == "__main__":
    _leave(main())
