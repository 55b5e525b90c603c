"""BabyLM's evaluation data as tasks of lm-eval: BLiMP, its supplement and EWoK, filtered by the challenge's vocabulary.

In: the folder that the challenge hands out as `evaluation_data` (of 2024's pipeline, or `full_eval` or `fast_eval` in
those since), which has a folder for each of them with JSON lines, a file a phenomenon:

- `blimp_filtered/`, `supplement_filtered/`: `sentence_good` and `sentence_bad`.
- `ewok_filtered/`: `Context1`, `Target1` and `Target2`: of two ends, which one fits the first context?

Out: a folder of task files and the names of their groups. A task is `babylm_supplement_turn_taking`, the group of a
folder `babylm_supplement`. The right choice comes second, so that a tie counts as wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.base.errors import EvaluationError, NotPossibleError
from pipeline.base.files import sha256_of, write_text

if TYPE_CHECKING:
    from datasets import DatasetDict

GROUP: Final = "babylm"
VERSION: Final = 1.0


@dataclass(frozen=True)
class Kind:
    """What the items of a folder are."""

    columns: tuple[str, ...]
    """What each has; others are not read."""
    text: str
    choices: str
    """In lm-eval's templates, the right one last."""
    delimiter: str = ""


_SENTENCES: Final = Kind(("sentence_good", "sentence_bad"), "", "{{[sentence_bad, sentence_good]}}")
FOLDERS: Final[Mapping[str, Kind]] = {
    "blimp": _SENTENCES,
    "supplement": _SENTENCES,
    "ewok": Kind(("Context1", "Target1", "Target2"), "{{Context1}}", "{{[Target2, Target1]}}", " "),
}
"""By the folder's name without `_filtered`."""


def bundle_files(bundle: Path) -> dict[str, list[Path]]:
    """The files of each folder that is there, in order."""
    found = {name: sorted((bundle / f"{name}_filtered").glob("*.jsonl")) for name in FOLDERS}
    return {name: files for name, files in found.items() if files}


def bundle_content(bundle: Path) -> dict[str, str]:
    """SHA-256 of every file that is scored, by its path inside; nothing where there is none."""
    files = [file for of_folder in bundle_files(bundle).values() for file in of_folder]
    return {file.relative_to(bundle).as_posix(): sha256_of(file) for file in files}


def write_tasks(folder: Path, bundle: Path, limit: int | None = None) -> list[str]:
    """Write a file for each task and a group for each folder that the bundle has; returns the groups.

    Raises NotPossibleError where it has none.
    """
    groups = []
    for name, files in bundle_files(bundle).items():
        groups.append(f"{GROUP}_{name}")
        tasks = {f"{groups[-1]}_{file.stem.replace('-', '_')}": file for file in files}
        for task, file in tasks.items():
            write_text(folder / f"{task}.yaml", _task(task, FOLDERS[name], name, file, limit))
        of_all: dict[str, Any] = {
            "group": groups[-1],
            "task": list(tasks),
            "aggregate_metric_list": [{"metric": "acc", "weight_by_size": False}],
            "metadata": {"version": VERSION},
        }
        write_text(folder / f"{groups[-1]}.yaml", "".join(f"{key}: {json.dumps(of_all[key])}\n" for key in of_all))
    if not groups:
        raise NotPossibleError(
            f"bundle: {bundle.absolute()} has none of {', '.join(f'{name}_filtered' for name in FOLDERS)} with JSON "
            "lines: unpack BabyLM's evaluation data there (docs/evaluation.md)",
            passing=True,
        )
    return groups


def _task(task: str, kind: Kind, folder: str, file: Path, limit: int | None) -> str:
    config: dict[str, Any] = {
        "task": task,
        "dataset_path": "arrow",
        "dataset_kwargs": {"file": str(file.absolute()), "folder": folder, "limit": limit},
        "test_split": "test",
        "output_type": "multiple_choice",
        "num_fewshot": 0,
        "doc_to_text": kind.text,
        "target_delimiter": kind.delimiter,
        "doc_to_choice": kind.choices,
        "doc_to_target": 1,
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": VERSION},
    }
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in config.items()]
    return "".join([*lines, f"custom_dataset: !function {__name__}.load\n"])


def load(file: str, folder: str, limit: int | None, **_: Any) -> DatasetDict:
    """A task's items, for lm-eval's `custom_dataset` (which also passes the task's metadata along).

    Raises EvaluationError naming the file and line that is no such item.
    """
    from datasets import Dataset, DatasetDict

    rows: list[dict[str, str]] = []
    columns = FOLDERS[folder].columns
    with Path(file).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if limit is not None and len(rows) == limit:
                break
            rows.append(_item(line, columns, f"{file}: line {number}"))
    if not rows:
        raise EvaluationError(f"{file} has no items")
    return DatasetDict({"test": Dataset.from_list(rows)})


def _item(line: str, columns: tuple[str, ...], where: str) -> dict[str, str]:
    try:
        record = json.loads(line)
        item = {column: record[column] for column in columns}
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{where} is not an item with {', '.join(columns)} ({error!r})") from error
    wrong = [column for column, text in item.items() if not isinstance(text, str) or not text]
    if wrong:
        raise EvaluationError(f"{where} has no text in {', '.join(wrong)}")
    return item
