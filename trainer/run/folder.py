"""The names in a run's folder, for whoever writes or reads one: the trainer, the pipeline, the benchmarks.

    <out>/  config.json  run.json  model.safetensors  [ema.safetensors]  [best.safetensors]  summary.json
            metrics.jsonl  [evaluations.jsonl]  [tracking.json]  checkpoints/
    <out>/checkpoints/  step_00000200/
    step_00000200/      model.safetensors  optimizer.safetensors  [ema.safetensors]  state.json  state.json.sha256

Free of torch. A folder under `checkpoints` that has a checkpoint's name is a whole one: it was renamed to it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from trainer.errors import CheckpointError

CONFIG_FILE: Final = "config.json"
RUN_FILE: Final = "run.json"
MODEL_FILE: Final = "model.safetensors"
EMA_FILE: Final = "ema.safetensors"
BEST_FILE: Final = "best.safetensors"
SUMMARY_FILE: Final = "summary.json"
METRICS_FILE: Final = "metrics.jsonl"
EVALUATIONS_FILE: Final = "evaluations.jsonl"
TRACKING_FILE: Final = "tracking.json"
_WEIGHTS: Final = (MODEL_FILE, EMA_FILE, BEST_FILE)
FILES: Final = (CONFIG_FILE, RUN_FILE, *_WEIGHTS, SUMMARY_FILE, METRICS_FILE, EVALUATIONS_FILE, TRACKING_FILE)
CHECKPOINTS: Final = "checkpoints"

OPTIMIZER_FILE: Final = "optimizer.safetensors"
STATE_FILE: Final = "state.json"
SEAL_FILE: Final = "state.json.sha256"

_CHECKPOINT: Final = re.compile(r"step_(\d{8,})")


def checkpoint_at(checkpoints: Path, step: int) -> Path:
    """Where the checkpoint of a step is, or would be."""
    return checkpoints / f"step_{step:08d}"


def step_of(place: Path) -> int:
    """The step that a checkpoint's name says."""
    return int(place.name.removeprefix("step_"))


def sorted_checkpoints(checkpoints: Path) -> list[Path]:
    """All finished checkpoints, lowest step first; none where the folder is not there.

    Raises `CheckpointError` for a folder that cannot be read: it may hold some.
    """
    try:
        places = list(checkpoints.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(f"{checkpoints}: cannot be read ({error.strerror})") from None
    return sorted((place for place in places if _CHECKPOINT.fullmatch(place.name)), key=step_of)
