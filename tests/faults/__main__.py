"""`python -m tests.faults`: what a machine can do to a project, done at random for hours, and what came of it.

    python -m tests.faults run --hours 8         # kills, full and broken disks, damaged files, two runs at once
    python -m tests.faults run --of building --seed 17 --most 1  # one of these again
    python -m tests.faults fuzz --hours 1        # damaged files to every reader
    python -m tests.faults fuzz --input NAME:SEED  # one of them again

Ends with status 1 where something was lost, wrong, or reported in words that are not the project's own.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.end_to_end.tiny_project import Project
from tests.faults.reader import STORE_VARIABLE
from tests.faults.trials import GROUNDS, session


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    fuzzing = commands.add_parser("fuzz", help="damaged files to every reader")
    fuzzing.add_argument("--hours", type=float, default=0.01)
    fuzzing.add_argument("--seed", type=int, default=0)
    fuzzing.add_argument("--readers", nargs="*", default=())
    fuzzing.add_argument("--input", help="NAME:SEED of one input")
    running = commands.add_parser("run", help="faults at random moments of a tiny project's runs")
    running.add_argument("--hours", type=float, default=0.01)
    running.add_argument("--seed", type=int, default=0)
    running.add_argument("--most", type=int, help="faults at most")
    running.add_argument("--of", nargs="*", default=(), choices=GROUNDS, help="where; without it, everywhere in turns")
    given = parser.parse_args(arguments)
    if given.command == "run":
        return _run(given)
    with tempfile.TemporaryDirectory() as folder:
        if STORE_VARIABLE not in os.environ:  # where a finished tiny project is at hand, it may be named
            project = Project(Path(folder))
            project.full_train()
            os.environ[STORE_VARIABLE] = str(project.folder / ".squeeze")
        return _fuzz(given)


def _run(given: argparse.Namespace) -> int:
    outcome = session(given.hours * 3600, given.seed, given.most, given.of)
    print(outcome, flush=True)
    return 1 if outcome.wrong else 0


def _fuzz(given: argparse.Namespace) -> int:
    from tests.faults.fuzz import fuzz, try_input

    if given.input:
        try_input(given.input)
        return 0
    tally = fuzz(given.hours * 3600, given.seed, given.readers)
    print(tally, flush=True)
    return 1 if tally.foreign else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
