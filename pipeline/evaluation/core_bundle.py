"""CORE's tasks out of an evaluation bundle: what is asked, with which examples before it, and what guessing gives.

In: the folder of a bundle as DCLM's evaluation has it and nanochat ships it: `core.yaml` (the tasks), `eval_data/`
(JSON lines) and `eval_meta_data.csv` (what guessing gives, in percent). Out: each task's items as prompts. There are
three kinds of items (Li et al. 2024, "DataComp-LM"):

- `multiple_choice`: `query`, `choices`, `gold`; the same beginning, several ends.
- `schema`: `context_options`, `continuation`, `gold`; several beginnings, the same end.
- `language_modeling`: `context`, `continuation`; one beginning and the end that is to come.

Items are shuffled by a fixed seed, and the examples before item i are drawn from the others by the seed 1234 + i, as
nanochat takes its figures.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.base.bounded_yaml import load_yaml
from pipeline.base.errors import EvaluationError, NotPossibleError
from pipeline.base.files import sha256_of

TASKS_FILE: Final = "core.yaml"
GUESSING_FILE: Final = "eval_meta_data.csv"
DATA: Final = "eval_data"
DELIMITER: Final = " "
SHUFFLED_BY: Final = 1337
EXAMPLES_BY: Final = 1234
KINDS: Final = ("multiple_choice", "schema", "language_modeling")


@dataclass(frozen=True)
class CoreTask:
    """One of the bundle's tasks."""

    label: str
    kind: str
    file: Path
    shots: int
    delimiter: str
    guessing: float
    """Share of items that guessing gets right."""

    @property
    def name(self) -> str:
        """What its scores are called: lm-eval has tasks of the same labels that ask otherwise."""
        return f"core_{self.label}"


@dataclass(frozen=True)
class CoreItem:
    """What is asked: several whole texts, of which one is right, or one beginning and its end."""

    texts: tuple[str, ...]
    """Of a choice, one text a choice; of language modelling the beginning alone, then with its end."""
    right: int
    """Which text is right; of language modelling 1."""


def read_tasks(bundle: Path, wanted: Sequence[str] = ()) -> list[CoreTask]:
    """The bundle's tasks in its order, or the wanted ones of them.

    Raises:
        NotPossibleError: there is no bundle.
        EvaluationError: its files are not as they should be, or it lacks a wanted task.
    """
    path = bundle / TASKS_FILE
    if not path.is_file():
        raise NotPossibleError(
            f"bundle: {bundle.absolute()} has no {TASKS_FILE}: unpack CORE's evaluation bundle there "
            "(docs/evaluation.md)",
            passing=True,
        )
    from ruamel.yaml.error import YAMLError

    try:
        guessing = _guessing(bundle / GUESSING_FILE)
        data: Any = load_yaml(path.read_text(encoding="utf-8"))
        tasks = [_task(bundle, entry, guessing) for entry in data["icl_tasks"]]
    except (OSError, YAMLError, KeyError, TypeError, ValueError, IndexError) as error:
        raise EvaluationError(f"{path}: not the tasks of an evaluation bundle ({error!r})") from error
    known = {task.label: task for task in tasks}
    missing = [name for name in wanted if name not in known]
    if missing:
        raise EvaluationError(f"{path} has no task {', '.join(missing)}; it has {', '.join(known)}")
    return [known[name] for name in wanted] if wanted else tasks


def _guessing(path: Path) -> dict[str, float]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row["Eval Task"]: float(row["Random baseline"]) / 100 for row in csv.DictReader(file)}


def _task(bundle: Path, entry: Mapping[str, Any], guessing: Mapping[str, float]) -> CoreTask:
    kind = str(entry["icl_task_type"])
    if kind not in KINDS:
        raise ValueError(f"{entry['label']} is of the kind {kind}, not {', '.join(KINDS)}")
    return CoreTask(
        label=str(entry["label"]),
        kind=kind,
        file=bundle / DATA / str(entry["dataset_uri"]),
        shots=int(entry["num_fewshot"][0]),
        delimiter=str(entry.get("continuation_delimiter", DELIMITER)),
        guessing=guessing[str(entry["label"])],
    )


def bundle_content(bundle: Path) -> dict[str, str]:
    """SHA-256 of every file of a bundle by its path inside; nothing where there is none."""
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    return {path.relative_to(bundle).as_posix(): sha256_of(path) for path in files}


def read_items(task: CoreTask, limit: int | None = None) -> list[CoreItem]:
    """A task's items with the examples before them, the first `limit` of the shuffled ones.

    Raises EvaluationError naming the file and the line that is no item of the task's kind.
    """
    records = _records(task)
    random.Random(SHUFFLED_BY).shuffle(records)
    if not records or task.shots >= len(records):
        raise EvaluationError(
            f"{task.file} has {len(records)} items, not more than the {task.shots} examples before each"
        )
    return [
        _item(task, records, number) for number in range(len(records) if limit is None else min(limit, len(records)))
    ]


def _records(task: CoreTask) -> list[dict[str, Any]]:
    needed = {
        "multiple_choice": ("query", "choices", "gold"),
        "schema": ("context_options", "continuation", "gold"),
        "language_modeling": ("context", "continuation"),
    }[task.kind]
    records = []
    try:
        with task.file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                record = json.loads(line)
                if missing := [name for name in needed if name not in record]:
                    raise ValueError(f"line {number} has no {', '.join(missing)}, which {task.kind} needs")
                records.append(record)
    except (OSError, ValueError, TypeError) as error:
        raise EvaluationError(f"{task.file}: not items of {task.name} ({error})") from error
    return records


def _item(task: CoreTask, records: Sequence[Mapping[str, Any]], number: int) -> CoreItem:
    others = [place for place in range(len(records)) if place != number]
    chosen = random.Random(EXAMPLES_BY + number).sample(others, task.shots) if task.shots else []
    before = "".join(f"{_solved(task, records[place])}\n\n" for place in chosen)
    record = records[number]
    if task.kind == "language_modeling":
        beginning = f"{before}{record['context'].strip()}{task.delimiter}"
        # a blank at the end would be a token of its own, which the text with its end does not have
        return CoreItem((beginning.strip(), beginning + record["continuation"]), 1)
    if task.kind == "schema":
        ends = (f"{context}{task.delimiter}{record['continuation']}" for context in record["context_options"])
    else:
        ends = (f"{record['query']}{task.delimiter}{choice}" for choice in record["choices"])
    return CoreItem(tuple(before + end for end in ends), int(record["gold"]))


def _solved(task: CoreTask, record: Mapping[str, Any]) -> str:
    """An item with its right answer, as it stands before others."""
    if task.kind == "language_modeling":
        return f"{record['context'].strip()}{task.delimiter}{record['continuation']}"
    if task.kind == "schema":
        return f"{record['context_options'][record['gold']]}{task.delimiter}{record['continuation']}"
    return f"{record['query']}{task.delimiter}{record['choices'][record['gold']]}"
