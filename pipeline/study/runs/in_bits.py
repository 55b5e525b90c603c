"""A finished run's model in one file of few bits a weight, tokenizer included, and what the file scores when read back.

In: the folder of a run that kept its weights, its tokenizer and the shards of its first epoch. Out: the file, its bytes
and its bits per byte on the sample that the runs' own scores are of.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.study.runs.seed_process import score_sample

if TYPE_CHECKING:
    from pipeline.evaluation.loading import Scorer
    from trainer.quantize import QuantizeSettings

MOST_COMPRESSED: Final = 8
"""Bits up to which the file is an xz stream: wider numbers hardly get smaller."""


@dataclass(frozen=True)
class FileFigures:
    """A model's file in numbers."""

    bits: int
    """Of a weight."""
    bytes: int
    """Of the whole file."""
    bits_per_byte: dict[str, float]
    """By corpus, and of the pooled sample (`all`)."""


def file_name(name: str, bits: int) -> str:
    """`entry.xz`, or a name that makes no xz stream where weights are too wide for one."""
    return f"{name}.xz" if bits <= MOST_COMPRESSED else f"{name}.safetensors"


def score_in_bits(
    run: Path,
    tokenizer: Path,
    epoch: Path,
    settings: QuantizeSettings,
    sample: Path,
    apart: Collection[str],
    file: Path,
) -> FileFigures:
    """Write the run's model and tokenizer to `file`, read it back and score it.

    Args:
        run: folder with the run's weights.
        tokenizer: folder of its tokenizer.
        epoch: the `shards.json` of the training text that weights are rounded by.
        settings: bits, groups and method.
        sample: the part of the held-out sample.
        apart: corpora left out of the pooled score.
        file: where to; a name that ends in `.xz` makes an xz stream.

    Raises ExportError or TokenizerError for a model or a tokenizer that such a file cannot hold.
    """
    from pipeline.evaluation.loading import load_scorer
    from pipeline.evaluation.one_file import calibration_text, read_one_file, write_one_file

    scorer: Scorer = load_scorer(run, tokenizer)
    text = calibration_text([epoch], scorer.context) if settings.calibrated else None
    size = write_one_file(scorer, settings, text, file)
    return FileFigures(settings.bits, size, score_sample(read_one_file(file), sample, apart))
