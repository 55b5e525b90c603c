"""A finished model as what says which text is hard for a small model: `loss_model: {model: ...}`.

In: a trained model's folder, and documents as tokens of its tokenizer, of which the last ends the document. Out: the
bits that each document takes, as evaluation counts them (`trainer.scoring.documents`): alone, in windows that overlap
by half. It is computed in float32 by processors, as they round alike where GPUs do not.

What the model was trained on it finds easier than what it was not: whose order is to say what is hard, and not what was
read, takes a model of other text, or one that read its text once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from pipeline.base.errors import ShardError
from pipeline.sharding.losses.ngrams import Tokens
from trainer.data.shards import TokenizerRef
from trainer.errors import TrainerError
from trainer.run.figures.summary import read_summary
from trainer.run.folder import CONFIG_FILE
from trainer.run.kept_weights import AVERAGED, weights_file

SETTING: Final = "loss_model.model"


@dataclass(frozen=True)
class TrainedModel:
    """A model in evaluation mode, and the token that ends a document."""

    digits: ClassVar[int] = 3
    """Of a loss a byte: float32 rounds otherwise on another processor."""
    few: ClassVar[int] = 250_000
    """Work on fewer tokens ends before other processes have started."""

    model: Any
    end: int

    @classmethod
    def read(cls, folder: Path, end: int) -> Self:
        """The model of a folder. Raises `ShardError` where it holds none."""
        from trainer.run.trained_model import load_model

        try:
            return cls(load_model(folder), end)
        except TrainerError as error:
            raise ShardError(f"{SETTING}: {error}") from error

    @staticmethod
    def files(folder: Path) -> tuple[Path, ...]:
        """What `read` reads."""
        return folder / CONFIG_FILE, weights_file(folder, AVERAGED)

    def bits_of(self, documents: Tokens) -> np.ndarray:
        """The bits that each document takes without the token that ends it, float64 [D]."""
        from trainer.scoring.documents import score_documents

        texts = [
            documents.values[first : last - 1]
            for first, last in zip(documents.offsets[:-1], documents.offsets[1:], strict=True)
        ]
        nats, _ = score_documents(self.model, texts, eot_id=self.end, context=int(self.model.config.context))
        return nats / math.log(2)


def tokens_read_by(folder: Path, tokenizer: TokenizerRef) -> int:
    """The tokens that a model was trained on. Raises `ShardError` for a folder of no finished model, and for one of
    another tokenizer than that of the tokens it is to score."""
    try:
        summary = read_summary(folder)
    except TrainerError as error:
        raise ShardError(f"{SETTING}: {error}") from error
    if summary is None or summary.interrupted:
        raise ShardError(f"{SETTING}: {folder} holds no finished model; train it to its end first")
    if summary.tokenizer != tokenizer.content_hash:
        theirs = summary.tokenizer[:12] if summary.tokenizer else "that it does not name"
        raise ShardError(
            f"{SETTING}: the model was trained with the tokenizer {theirs}, these tokens are of "
            f"{tokenizer.content_hash[:12]}: take a model of the same corpora and tokenizers"
        )
    return summary.tokens
