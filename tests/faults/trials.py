"""One fault after another on a tiny project: what is injected, and whether the end is that of no fault at all."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.end_to_end.tiny_project import Project
from tests.faults.building import Building
from tests.faults.jobs import Jobs
from tests.faults.outcome import Outcome
from tests.faults.training import Training

GROUNDS: Final[dict[str, Any]] = {ground.name: ground for ground in (Building, Training, Jobs)}
SAY_EVERY = 300
"""Seconds between two looks at what came of a long session so far."""


def session(seconds: float, seed: int = 0, most: int | None = None, of: Sequence[str] = ()) -> Outcome:
    """Trials with the seeds from `seed` on, for that long or that many, on all grounds or the named ones in turns."""
    outcome = Outcome()
    logging.disable(logging.CRITICAL)
    shared_memory = Path("/dev/shm")  # where a sync takes no time
    with tempfile.TemporaryDirectory(dir=shared_memory if shared_memory.is_dir() else None) as name:
        folder = Path(name)
        project = Project(folder)
        grounds = [_begun(GROUNDS[ground], project, folder / ground, outcome) for ground in of or GROUNDS]
        turn = [ground for ground in grounds for _ in range(ground.share)]
        seeds = {ground.name: seed for ground in grounds}
        begin, said, tried = time.monotonic(), time.monotonic(), 0
        while time.monotonic() < begin + seconds and (most is None or tried < most):
            ground = turn[tried % len(turn)]
            wrong = len(outcome.wrong)
            ground.trial(seeds[ground.name], outcome)
            seeds[ground.name] += 1
            tried += 1
            if len(outcome.wrong) > wrong or time.monotonic() > said + SAY_EVERY:
                said = time.monotonic()
                print(outcome, file=sys.stderr, flush=True)
    return outcome


def _begun(kind: Any, project: Project, folder: Path, outcome: Outcome) -> Any:
    folder.mkdir()
    return kind(project.profile, folder, outcome)
