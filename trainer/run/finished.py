"""A run that has finished already, and is started again: its summary says so, and nothing is computed or written.

In: the settings, what the shards are, and the folder of a run. Out: the summary that lies there, where it is of the
same training on the same shards, scored on the same data, and the weights beside it are those it speaks of. Otherwise
the run goes on, or begins, as if no summary were there.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.config import RunConfig, read_run
from trainer.errors import ConfigError, DataError
from trainer.process.ranks import Ranks
from trainer.run.figures.summary import RunSummary, TeacherRecord, read_summary
from trainer.run.folder import RUN_FILE, SUMMARY_FILE
from trainer.run.outcome import weights_hash

log = logging.getLogger(__name__)


def finished_before(
    config: RunConfig, shards: str, teachers: Sequence[TeacherRecord], ranks: Ranks
) -> RunSummary | None:
    """The summary of a run that needs nothing any more; none where there is something to do. Equal on every rank.

    `shards`: the reader's hash of what it reads; `teachers`: what it learns from.
    """
    out = Path(config.out)
    finished = ranks.is_first and _is_finished(out, config, shards, teachers)
    if not ranks.broadcast(finished):
        return None
    summary = read_summary(out)
    if summary is not None:
        log.info(
            "%s: this run is done (%s after %d steps); to train it anew, remove %s and the checkpoints, or choose "
            "another out",
            *(out, summary.state, summary.steps, SUMMARY_FILE),
        )
    return summary


def weights_are_whole(out: Path) -> bool:
    """Whether the weights in a run's folder are those that its summary speaks of."""
    try:
        summary = read_summary(out)
        return summary is not None and summary.content_hash is not None and weights_hash(out) == summary.content_hash
    except (DataError, OSError) as error:
        log.warning("%s; the run's end is written again", error)
        return False


def _is_finished(out: Path, config: RunConfig, shards: str, teachers: Sequence[TeacherRecord]) -> bool:
    if not (out / SUMMARY_FILE).exists():
        return False
    try:
        summary, before = read_summary(out), read_run(out / RUN_FILE)
    except (DataError, ConfigError, OSError, ValueError) as error:
        log.warning("%s; the run goes on from its checkpoints", error)
        return False
    if summary is None or summary.content_hash is None or summary.shards != shards or _what(before) != _what(config):
        return False
    taught = [teacher.content_hash for teacher in summary.teachers]
    return taught == [teacher.content_hash for teacher in teachers] and weights_are_whole(out)


def _what(config: RunConfig) -> list[Any]:
    """What decides a run's end, but for the shards."""
    scored = config.with_paths(os.path.realpath).data
    return [
        config.model,
        config.training.identity(),
        config.training.final_evaluate_tokens,
        dataclasses.replace(scored, epochs=("any",)),
    ]
