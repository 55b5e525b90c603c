"""The models that a run learns from beside its text: finished runs, which say how likely each next token is.

In: `data.teachers`, folders of finished runs. Out: their models, evaluating and without gradients, on each rank, and
what it took to train them, for the student's own summary. They see the tokens of each pass as the student does,
documents apart where its are. What makes them what they are, the hash of their weights, is part of the run's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.config import RunConfig, read_run
from trainer.data.shards import TokenizerRef, read_manifest
from trainer.errors import ConfigError, DataError
from trainer.run.figures.summary import TeacherRecord, read_summary
from trainer.run.folder import RUN_FILE
from trainer.run.trained_model import load_model

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainer.model import GPT
    from trainer.model.distillation import SoftTargets


def teacher_records(config: RunConfig) -> list[TeacherRecord]:
    """What the teachers are and took, from their summaries. Raises `ConfigError` for a folder of no finished run."""
    named, given = config.training.teacher, config.data.teachers
    if len(named) > len(given):
        raise ConfigError(
            f"training.teacher names {', '.join(named)}, but data.teachers gives {len(given)} folders of finished "
            "runs; the asset `model` fills them in, and by hand each is the `out` of a run"
        )
    return [_record(Path(path)) for path in given]


def _record(folder: Path) -> TeacherRecord:
    try:
        summary = read_summary(folder)
    except DataError as error:
        raise ConfigError(f"data.teachers: {error}") from None
    if summary is None or summary.content_hash is None:
        raise ConfigError(f"data.teachers: {folder} is no finished run's folder; train the teacher to its end first")
    return TeacherRecord(
        summary.content_hash, summary.parameters.total, summary.tokens, summary.whole_flops, summary.whole_device_hours
    )


class Teachers:
    """Several models, whose distributions are averaged."""

    def __init__(self, models: Sequence[GPT], vocabulary: int, weight: float, temperature: float) -> None:
        """`vocabulary`: of the tokenizer that student and teachers share."""
        for model in models:
            model.eval().requires_grad_(requires_grad=False)
        self._models, self._vocabulary = list(models), vocabulary
        self._weight, self._temperature = weight, temperature

    def soft_targets(self, ids_BT: Tensor, documents_BT: Tensor | None) -> SoftTargets:
        """What they say about the token after each of `ids_BT`."""
        import torch

        from trainer.model.distillation import SoftTargets

        with torch.no_grad():
            hidden = tuple(model.hidden(ids_BT, documents_BT=documents_BT).flatten(0, 1) for model in self._models)
        logits = tuple(model.logits for model in self._models)
        return SoftTargets(logits, hidden, self._vocabulary, self._weight, self._temperature)

    def flops_per_token(self, context: int) -> float:
        """Of their forward passes: a third of what training them takes."""
        return sum(model.flops_per_token(context) for model in self._models) / 3


def load_teachers(config: RunConfig, tokenizer: TokenizerRef, device: torch.device) -> Teachers | None:
    """The run's teachers on a device; none where it has none.

    Raises `ConfigError` for one of another tokenizer, or one with fewer learned positions than the student's context.
    """
    models = []
    for path in map(Path, config.data.teachers):
        _require_same_tokenizer(path, tokenizer)
        model = load_model(path)
        if model.config.vocab_size < tokenizer.vocab_size:
            raise ConfigError(
                f"data.teachers: {path} has {model.config.vocab_size:,} rows, the tokenizer of these shards has "
                f"{tokenizer.vocab_size:,} tokens: a teacher must have been trained with the same tokenizer"
            )
        if model.config.position == "learned" and model.config.context < config.model.context:
            raise ConfigError(
                f"data.teachers: {path} has {model.config.context:,} learned positions, fewer than model.context "
                f"{config.model.context:,}: take a shorter context or a teacher with RoPE"
            )
        models.append(model.to(device))
    if not models:
        return None
    training = config.training
    return Teachers(models, tokenizer.vocab_size, training.teacher_weight, training.teacher_temperature)


def _require_same_tokenizer(folder: Path, tokenizer: TokenizerRef) -> None:
    """Refuse a teacher of another tokenizer, as far as its summary, or shards of its that are still there, say."""
    summary = read_summary(folder)
    known = None if summary is None else summary.tokenizer
    if known is None:
        epoch = Path(read_run(folder / RUN_FILE).data.epochs[0])
        known = read_manifest(epoch).tokenizer.content_hash if epoch.exists() else tokenizer.content_hash
    if known != tokenizer.content_hash:
        raise ConfigError(
            f"data.teachers: {folder} was trained with tokenizer {known[:12]}, these shards are of "
            f"{tokenizer.content_hash[:12]}: a teacher must have been trained with the same tokenizer"
        )
