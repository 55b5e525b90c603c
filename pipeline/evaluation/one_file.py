"""A model and its tokenizer in one file of few bytes, and a scorer read back from it.

In: a scorer, how many bits a weight gets, and the shards that the model was trained on. Out: a file that holds
everything that writing or scoring text takes; its size is what a model costs on a disk, with nothing left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.base.errors import EvaluationError
from pipeline.evaluation.loading import Scorer

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.quantize import QuantizeSettings

TOKENIZER: Final = "tokenizer"
CALIBRATION_TOKENS: Final = 8_192
COMPRESSED: Final = ".xz"
"""Ending of the name of a file whose codes xz makes smaller."""


def write_one_file(scorer: Scorer, settings: QuantizeSettings, calibration_BT: Tensor | None, path: Path) -> int:
    """Write the scorer's model and tokenizer; returns the bytes of the file. A name that ends in `.xz` makes an xz
    stream.

    Raises ExportError for a number that the file cannot hold, TokenizerError for a tokenizer that it cannot.
    """
    import torch

    from pipeline.tokenization.compact import to_compact
    from trainer.quantize import quantize, write_quantized

    card, arrays = to_compact(scorer.tokenizer)
    return write_quantized(
        path,
        scorer.model,
        quantize(scorer.model, settings, calibration_BT),
        compressed=path.suffix == COMPRESSED,
        about={TOKENIZER: card},
        extra={name: torch.from_numpy(array.copy()) for name, array in arrays.items()},
    )


def read_one_file(path: Path) -> Scorer:
    """The model of such a file with its tokenizer. Raises EvaluationError for a file that holds no tokenizer,
    ExportError or TokenizerError for one that is damaged."""
    from pipeline.tokenization.compact import read_compact
    from trainer.quantize import read_quantized

    found = read_quantized(path)
    if TOKENIZER not in found.about:
        raise EvaluationError(f"{path}: holds a model without a tokenizer; write it with `squeeze export --bits`")
    tokenizer = read_compact(found.about[TOKENIZER], {name: tensor.numpy() for name, tensor in found.extra.items()})
    if tokenizer.vocab_size != found.model.config.vocab_size:
        raise EvaluationError(f"{path}: damaged: its tokenizer is another model's; write it again")
    return Scorer(found.model, tokenizer, found.model.config.context)


def calibration_text(manifests: Sequence[Path], context: int, tokens: int = CALIBRATION_TOKENS) -> Tensor:
    """About `tokens` tokens of a run's training text, int64 (B, context): whole sequences spread evenly over it.

    `manifests` are the `shards.json` of its epochs, in order. Raises DataError where they hold no sequence.
    """
    import numpy as np

    from trainer.data.reader import SequenceReader

    reader = SequenceReader(manifests, context)
    count = max(1, min(reader.sequences, tokens // context))
    ids_BT, _ = reader.tensors(np.linspace(0, reader.sequences - 1, count).astype(np.int64))
    return ids_BT
