"""The model that a run trained, from its folder or one of its checkpoints: to score it, export it, or write with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import CheckpointError, ConfigError
from trainer.model.config import ModelConfig
from trainer.records import read_json
from trainer.run.checkpoints.checkpoint import read_state
from trainer.run.checkpoints.tensors import load_tensors_into, model_tensors
from trainer.run.folder import CONFIG_FILE, STATE_FILE
from trainer.run.kept_weights import AVERAGED, weights_file

if TYPE_CHECKING:
    from trainer.model import GPT


def load_model(folder: Path, *, device: str = "cpu", weights: str = AVERAGED) -> GPT:
    """A trained model in evaluation mode, from a finished run's folder or one of its checkpoints, without what only
    training uses (`predict_ahead`).

    `weights`: a name of `kept_weights.NAMES`. Raises `CheckpointError` for a folder that holds no such weights.
    """
    from trainer.model import GPT

    if (folder / CONFIG_FILE).exists():
        config = _config(folder / CONFIG_FILE)
    elif (folder / STATE_FILE).exists():
        _, config = read_state(folder)
    else:
        raise CheckpointError(f"{folder}: neither {CONFIG_FILE} nor {STATE_FILE}; give the folder of a trained model")
    file = weights_file(folder, weights)
    _check_size(config, file)
    model = GPT(config)
    load_tensors_into(model_tensors(model), file)
    model.forget_ahead()
    return model.to(device).eval()


def _config(path: Path) -> ModelConfig:
    cure = "run `squeeze verify`, then train the model again"
    values = read_json(path, CheckpointError, what="a model's configuration", cure=cure)
    try:
        config = ModelConfig.from_dict(values)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}; {cure}") from None
    return config


def least_numbers(config: ModelConfig) -> int:
    """Parameters that a model of this configuration has at least, without making one."""
    blocks = max(1, config.layers // config.repeats)
    inner = config.ff_width or config.width
    tables = config.vocab_size * (config.embedding_width or config.width)
    least = tables + blocks * config.width * (config.width + inner)
    if config.position == "learned":
        least += config.context * config.width
    return least


def _check_size(config: ModelConfig, file: Path) -> None:
    """Refuse a configuration of far more numbers than the file has bytes, before memory is asked for them."""
    if not file.exists():
        raise CheckpointError(f"{file}: no such file")
    least = least_numbers(config)
    if least > file.stat().st_size:
        raise CheckpointError(
            f"{file}: of another architecture: its {file.stat().st_size:,} bytes cannot hold the {least:,} numbers and "
            f"more of {config.layers:,} layers of width {config.width:,}"
        )
