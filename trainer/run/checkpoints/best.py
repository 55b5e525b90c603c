"""Which checkpoint evaluated best while the run went on: `checkpoints/best.json`, and its weights in the end.

In: the mean held-out loss of each evaluation. Out: the step of the lowest one, whose checkpoint is kept until the run
ends and then leaves its weights in `best.safetensors`. What cannot be read counts as not there: it costs the choice of
a best checkpoint, never the run.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from trainer.files import whole_path, write_json
from trainer.run.folder import BEST_FILE, EMA_FILE, MODEL_FILE, checkpoint_at

log = logging.getLogger(__name__)

RECORD_FILE = "best.json"


@dataclass(frozen=True)
class BestCheckpoint:
    """The checkpoint with the lowest held-out loss, in nats a token."""

    step: int
    loss: float


def read_best(checkpoints: Path) -> BestCheckpoint | None:
    """The best checkpoint so far; none where nothing was evaluated yet, or the record is damaged."""
    path = checkpoints / RECORD_FILE
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_bytes())
        return BestCheckpoint(int(record["step"]), float(record["loss"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: cannot be read (%r); the best checkpoint is chosen anew", path, error)
        return None


def note_evaluation(checkpoints: Path, step: int, loss: float) -> None:
    """Remember the checkpoint of `step` where its loss is lower than the best one's."""
    best = read_best(checkpoints)
    if math.isfinite(loss) and (best is None or loss < best.loss):
        write_json(checkpoints / RECORD_FILE, asdict(BestCheckpoint(step, loss)), indent=2)


def keep_best_weights(checkpoints: Path, out: Path) -> BestCheckpoint | None:
    """Put the weights that evaluated best beside the final ones, as they were evaluated: averaged where there are any.

    None where no checkpoint is known to be the best, or it is not there any more.
    """
    best = read_best(checkpoints)
    if best is None:
        return None
    place = checkpoint_at(checkpoints, best.step)
    evaluated = place / EMA_FILE if (place / EMA_FILE).exists() else place / MODEL_FILE
    if not evaluated.exists():
        log.warning("%s evaluated best, but is not there any more: no %s is left", place, BEST_FILE)
        return None
    with whole_path(out / BEST_FILE) as temporary:
        shutil.copyfile(evaluated, temporary)
    return best
