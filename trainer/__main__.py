"""`python -m trainer train --config run.json`, alone or under torchrun; `python -m trainer plan --config run.json`.

Exit status: 0 for a run that ended in order (`summary.json` says how), 75 for one that a signal stopped after a
checkpoint, 1 for an error, 2 for settings that cannot work. An error's message is also left in `<config>.error`. Under
torchrun every rank runs this; the first also opens Dagster Pipes when its environment is there.
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
from typing import Any

from trainer.config import read_run
from trainer.errors import CheckpointError, ConfigError, DataError, TrainerError
from trainer.process.signals import EXIT_UNFINISHED, PARENT_PID, StopRequest, die_with_parent

EXIT_ERROR = 1
EXIT_SETTINGS = 2
_PEER_IS_GONE = ("Connection closed by peer", "Connection reset by peer", "Timed out waiting", "NCCL error")


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
    try:
        if options.command == "train":
            return _train(options.config)
        return _plan(options)
    except TrainerError as error:
        _complain(str(error), options.config)
        return EXIT_SETTINGS if isinstance(error, ConfigError | DataError | CheckpointError) else EXIT_ERROR
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _PEER_IS_GONE):
            raise
        reason = str(error).splitlines()[0]
        _complain(f"another rank ended or cannot be reached; its own message says why ({reason})", options.config)
        return EXIT_ERROR


def _complain(message: str, config: Path) -> None:
    """Say it on stderr, and leave it in `<config>.error` for whoever started the ranks; the first one to write wins."""
    rank = os.environ.get("RANK", "0")
    message = message if rank == "0" else f"rank {rank}: {message}"
    print(f"trainer: {message}", file=sys.stderr, flush=True)
    with contextlib.suppress(OSError), _error_file(config).open("x", encoding="utf-8") as file:
        file.write(message + "\n")


def _error_file(config: Path) -> Path:
    return config.with_name(config.name + ".error")


def _train(config: Path) -> int:
    under_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    if under_torchrun:
        launched = os.environ.get(PARENT_PID)
        die_with_parent(int(launched) if launched else None)
    stop = StopRequest()
    stop.install()
    first = os.environ.get("RANK", "0") == "0"
    if first:
        _error_file(config).unlink(missing_ok=True)
    with _reporting(first=first):
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
        logger.addHandler(handler)
        yield
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:
        logger.addHandler(_PipesHandler(pipes))
        yield


class _PipesHandler(logging.Handler):
    """Log records as Dagster's events."""

    def __init__(self, pipes: Any) -> None:
        super().__init__()
        self._pipes = pipes

    def emit(self, record: logging.LogRecord) -> None:
        level = "warning" if record.levelno >= logging.WARNING else "info"
        getattr(self._pipes.log, level)(record.getMessage())


if __name__ == "__main__":
    sys.exit(main())
