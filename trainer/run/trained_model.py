"""The model that a run trained, from its folder or one of its checkpoints: to score it, export it, or write with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import CheckpointError
from trainer.model.config import ModelConfig
from trainer.run.checkpoints.checkpoint import read_state
from trainer.run.checkpoints.tensors import load_tensors_into, model_tensors
from trainer.run.folder import CONFIG_FILE, STATE_FILE
from trainer.run.kept_weights import AVERAGED, weights_file

if TYPE_CHECKING:
    from trainer.model import GPT


def load_model(folder: Path, *, device: str = "cpu", weights: str = AVERAGED) -> GPT:
    """A trained model in evaluation mode, from a finished run's folder or one of its checkpoints.

    `weights`: a name of `kept_weights.NAMES`. Raises `CheckpointError` for a folder that holds no such weights.
    """
    from trainer.model import GPT

    if (folder / CONFIG_FILE).exists():
        config = ModelConfig.from_dict(json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")))
    elif (folder / STATE_FILE).exists():
        _, config = read_state(folder)
    else:
        raise CheckpointError(f"{folder}: neither {CONFIG_FILE} nor {STATE_FILE}; give the folder of a trained model")
    file = weights_file(folder, weights)
    model = GPT(config)
    load_tensors_into(model_tensors(model), file)
    return model.to(device).eval()
