"""A finished model and its tokenizer, loaded together and checked against each other before any time is spent."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from pipeline.base.errors import EvaluationError
from trainer.records import read_json
from trainer.run.kept_weights import AVERAGED, BEST_IS_RENAMED, mistake

log = logging.getLogger(__name__)


def _known(weights: Any) -> Any:
    if weights == "best":
        raise ValueError(BEST_IS_RENAMED)
    return weights


Weights = Annotated[Literal["averaged", "model", "ema", "lowest_loss"], BeforeValidator(_known)]
"""Which weights of a run are loaded: `averaged`: the average where the run kept one, else the last ones; `model`: the
last ones; `ema`: the average; `lowest_loss`: those of the lowest validation loss during the run."""


@dataclass(frozen=True)
class Scorer:
    """A model with the tokenizer it was trained on. `model(ids_BT)` gives logits_BTV."""

    model: Any
    tokenizer: Any
    context: int
    """Tokens the model was trained at, and sees at most."""

    @property
    def eot_id(self) -> int:
        return int(self.tokenizer.eot_id)


def load_scorer(model_folder: Path, tokenizer_folder: Path, *, device: str = "cpu", weights: str = AVERAGED) -> Scorer:
    """Load a `model` artifact's weights and the tokenizer of its shards.

    Raises:
        EvaluationError: a folder is no model or no tokenizer, the two have different vocabularies, or the run kept no
            such weights.
    """
    from pipeline.tokenization import is_tokenizer, load_tokenizer
    from trainer.errors import CheckpointError
    from trainer.run.trained_model import load_model

    wrong = mistake(weights)
    if wrong is not None:
        raise EvaluationError(f"weights: {wrong}")
    vocab_size = _vocabulary_of(model_folder)
    if not is_tokenizer(tokenizer_folder):
        raise EvaluationError(
            f"{tokenizer_folder} holds no tokenizer (squeeze_tokenizer.json is missing): give the folder of the "
            "tokenizer that the model was trained on, tokenizer/<name> in the store"
        )
    tokenizer = load_tokenizer(tokenizer_folder)
    if tokenizer.vocab_size != vocab_size:
        raise EvaluationError(
            f"the tokenizer {tokenizer_folder} has {tokenizer.vocab_size:,} tokens, but the model {model_folder} was "
            f"built for {vocab_size:,}: give the tokenizer that its shards were encoded with"
        )
    try:
        model = load_model(model_folder, device=device, weights=weights)
    except CheckpointError as error:
        raise EvaluationError(str(error)) from error
    model.eval()
    return Scorer(model, tokenizer, int(model.config.context))


def _vocabulary_of(model_folder: Path) -> int:
    """Tokens the model was built for. Raises EvaluationError when the folder is no finished model."""
    path = model_folder / "config.json"
    cure = "give the folder of the asset `model`, which holds model.safetensors and config.json"
    what = "the configuration of a model"

    def refuse(said: str) -> EvaluationError:
        return EvaluationError(f"{model_folder} is not a finished model: {said}")

    config = read_json(path, refuse, what=what, cure=cure)
    if not isinstance(config, dict) or type(config.get("vocab_size")) is not int:
        raise refuse(f"{path}: not {what} (it has no vocab_size); {cure}")
    return int(config["vocab_size"])


def usable_device(device: str | None) -> str:
    """The device if torch can use it here, else `cpu` (with a word in the log); for `auto` the best there is."""
    import torch

    from trainer.process.ranks import choose_device

    if device == "auto":
        return choose_device(device)
    kind = (device or "cpu").partition(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if there.get(kind, True):
        return device or "cpu"
    log.warning("there is no %s here: the model runs on the processor", device)
    return "cpu"
