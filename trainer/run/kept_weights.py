"""Which weights of a run are meant, by the names that profiles, commands and lm-eval's arguments share.

In: a run's folder, or one of its checkpoints, and a name. Out: the file that holds them. What a run did not keep is
refused, never replaced by other weights: `lowest_loss` is `best.safetensors`, and nothing else is ever called so. Free
of torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from trainer.errors import CheckpointError
from trainer.run.folder import BEST_FILE, EMA_FILE, MODEL_FILE

AVERAGED: Final = "averaged"
"""The average where the run kept one, else the last weights."""
FILES: Final = {"model": MODEL_FILE, "ema": EMA_FILE, "lowest_loss": BEST_FILE}
NAMES: Final = (AVERAGED, *FILES)
BEST_IS_RENAMED: Final = (
    "best is called averaged now: it always was the average of the run's weights where there is one; those that "
    "evaluated best are called lowest_loss"
)
_KEPT_WHERE: Final = {"ema": "training.ema_horizon or average_share", "lowest_loss": "training.evaluate_every"}


def mistake(name: str) -> str | None:
    """What is wrong with a name of weights; none where there is nothing."""
    if name in NAMES:
        return None
    return BEST_IS_RENAMED if name == "best" else f"found {name!r}; there are {', '.join(NAMES)}"


def weights_file(folder: Path, name: str = AVERAGED) -> Path:
    """The file of those weights. Raises `CheckpointError` for another name, or weights that were not kept."""
    wrong = mistake(name)
    if wrong is not None:
        raise CheckpointError(f"weights: {wrong}")
    if name == AVERAGED:
        name = "ema" if (folder / EMA_FILE).exists() else "model"
    path = folder / FILES[name]
    if not path.exists():
        kept = f"; a run keeps them where {_KEPT_WHERE[name]} is set" if name in _KEPT_WHERE else ""
        raise CheckpointError(f"weights: {name} cannot be loaded ({path}: no such file){kept}")
    return path
