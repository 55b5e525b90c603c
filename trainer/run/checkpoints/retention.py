"""Which of a run's checkpoints may go: `training.keep_checkpoints` of them stay, and the best one.

A checkpoint is counted, and can be deleted, only where this run wrote it: in this process, or in an earlier one, which
reading it whole must show. One that cannot be read is its owner's to judge: a copy may mend it, another version may
read it; one of another run is another's. And if such a one counted, it would push out every good one as it is written.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from trainer.errors import CheckpointError
from trainer.run.folder import sorted_checkpoints, step_of

log = logging.getLogger(__name__)


class Retention:
    """Deletes the checkpoints that newer ones make superfluous. For one rank alone.

    `check` raises `CheckpointError` for a checkpoint that cannot be read, or is of another run.
    """

    def __init__(self, checkpoints: Path, keep: int, check: Callable[[Path], object]) -> None:
        self._checkpoints, self._keep, self._check = checkpoints, keep, check
        self._usable: dict[Path, bool] = {}
        """By place, so that what earlier runs left is read once."""

    def remove_old(self, written: Path, best_step: int | None) -> None:
        """Keep `written`, the newest before it until there are `keep` that can be used, and the best one.

        What is of a higher step than `written` was passed over when the run started, and is left alone.
        """
        self._usable[written] = True
        places = [place for place in sorted_checkpoints(self._checkpoints) if step_of(place) <= step_of(written)]
        if len(places) <= self._keep:
            return
        for place in [place for place in places if self._is_ours(place)][: -self._keep]:
            if step_of(place) != best_step:
                shutil.rmtree(place, ignore_errors=True)

    def _is_ours(self, place: Path) -> bool:
        if place not in self._usable:
            try:
                self._check(place)
            except CheckpointError as error:
                log.warning("%s; %s stays where it is beside the %d to keep", error, place.name, self._keep)
                self._usable[place] = False
            else:
                self._usable[place] = True
        return self._usable[place]
