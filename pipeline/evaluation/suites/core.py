"""CORE: 22 tasks with examples before each question, each as far above guessing as it is, in one figure.

In: a model, and the evaluation bundle of DCLM and nanochat in a folder. Out: for each task the share of right answers,
the same with guessing at 0 and all at 1 (`centered`), and the bits per byte of the right answers; CORE is the mean of
the centered shares. A choice is the text of the lowest mean loss over what its texts do not share, a tie wrong; an end
is right where each of its tokens is the model's likeliest.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import Field

from pipeline.base.canonical import text_hash
from pipeline.base.files import whole_path
from pipeline.base.settings import runtime
from pipeline.evaluation.core_bundle import CoreItem, CoreTask, bundle_content, read_items, read_tasks
from pipeline.evaluation.item_values import ItemValues, item_rows, item_values
from pipeline.evaluation.lm_eval.gold_answers import ANSWER_BITS
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.results import Details, Score, SuiteResult, finish
from pipeline.evaluation.suites.suite import SuiteInputs, SuiteSettings

if TYPE_CHECKING:
    from pipeline.evaluation.lm_eval.packing import Request

CORE_VERSION: Final = "1"
ITEMS_FILE: Final = "core.parquet"
CORE: Final = "core"
CENTERED: Final = "centered"


@dataclass(frozen=True)
class CoreDetails(Details):
    """Everything is by task, as its scores are called."""

    items_file: ClassVar[str] = ITEMS_FILE
    guessing: Mapping[str, float]
    cut: Mapping[str, int]
    """Texts whose beginning did not fit the model's context."""

    def chance(self, task: str) -> float | None:
        return self.guessing.get(task)

    def remarks(self) -> Iterator[tuple[str, str]]:
        for task, count in self.cut.items():
            yield task, f"{count:,} texts were cut on the left to the model's context"

    def values(self, score: Score, items: Mapping[str, list[Any]]) -> ItemValues | None:
        tasks = sorted(self.guessing) if score.task == CORE else [score.task]
        numbers = {task: number for number, task in enumerate(tasks)}
        keys, pairs, groups = [], [], []
        for task, digest, right, bits in item_rows(items, "task", "hash", "right", "bits_per_byte"):
            if task in numbers:
                keys.append((task, digest))
                amounts = {ANSWER_BITS: bits, CENTERED: _centered(right, self.guessing[task]), "acc": right}
                pairs.append((float(amounts[score.metric]), 1.0))
                groups.append(numbers[task])
        return item_values(keys, pairs, groups=groups)


class CoreSuite(SuiteSettings):
    """CORE's tasks from an evaluation bundle."""

    version: ClassVar[str] = CORE_VERSION
    description: ClassVar[str] = "CORE: 22 tasks with examples before each question, centered on guessing."
    details: ClassVar[type[Details]] = CoreDetails

    kind: Literal["core"] = "core"
    bundle: str = runtime("eval_bundle")
    """The folder of the evaluation bundle, which holds `core.yaml`; a relative one lies in the folder of the profile
    that names it, the default where the command runs. Where it lies changes nothing; other content is another suite."""
    tasks: tuple[str, ...] = ()
    """Labels of `core.yaml`; none: all."""
    limit: int | None = Field(None, gt=1)
    """Only so many items of each task; none: all, as CORE is defined."""
    batch_tokens: int = runtime(8192, gt=0)

    def local_files(self) -> Mapping[str, Any]:
        return {"bundle": bundle_content(Path(self.bundle).expanduser())}

    def evaluate(self, scorer: Scorer, inputs: SuiteInputs, out: Path) -> SuiteResult:
        return evaluate_core(scorer, self, out)


@dataclass(frozen=True)
class _Answer:
    """What came of one item."""

    hash: str
    right: float
    bits: float
    """Bits per byte of the right answer."""


def evaluate_core(scorer: Scorer, suite: CoreSuite, out: Path) -> SuiteResult:
    """Score the bundle's tasks; write `core.parquet` (a row an item) and `scores.json`.

    Raises:
        NotPossibleError: there is no bundle.
        EvaluationError: its files are not as they should be.
    """
    from pipeline.evaluation.lm_eval.model import SqueezeLM

    start = time.monotonic()
    tasks = read_tasks(Path(suite.bundle).expanduser(), suite.tasks)
    model = SqueezeLM(scorer, batch_tokens=suite.batch_tokens)
    answers = {task.name: _answers(model, task, read_items(task, suite.limit)) for task in tasks}
    _write(answers, out / ITEMS_FILE)
    scores = [score for task in tasks for score in _scores(task, answers[task.name])]
    centered = [score for score in scores if score.metric == CENTERED]
    mean = sum(score.value for score in centered) / len(centered)
    error = math.hypot(*(score.stderr or 0.0 for score in centered)) / len(centered)
    count = sum(score.count for score in centered)
    scores.insert(0, Score(CORE, CENTERED, mean, error, count, version=CORE_VERSION))
    details = CoreDetails({task.name: task.guessing for task in tasks}, dict(sorted(model.cut.items())))
    return finish(*(out, suite.kind, scores, details), seconds=time.monotonic() - start, files=[ITEMS_FILE])


def _answers(model: Any, task: CoreTask, items: Sequence[CoreItem]) -> list[_Answer]:
    requests = [_requests(model.scorer, task, item) for item in items]
    asked = [request for of_item in requests for request in of_item]
    found = iter(model.loglikelihoods_of(asked, [task.name] * len(asked)))
    return [
        _answer(model.scorer, item, of_item, [next(found) for _ in of_item])
        for item, of_item in zip(items, requests, strict=True)
    ]


def _requests(scorer: Scorer, task: CoreTask, item: CoreItem) -> list[Request]:
    """What is scored of each text: all but what a choice's texts begin with alike (of a schema: what they end with
    alike), after end-of-text and the rest. At least one token of every text."""
    encoded = [[scorer.eot_id, *scorer.tokenizer.encode(text)] for text in item.texts]
    shortest = min(map(len, encoded))
    if task.kind == "schema":
        shared = max(1, min(_alike([ids[::-1] for ids in encoded]), shortest - 1))
        return [(None, ids[:-shared], ids[-shared:]) for ids in encoded]
    shared = min(_alike(encoded), shortest - 1) if task.kind == "multiple_choice" else _alike(encoded)
    scored = encoded if task.kind == "multiple_choice" else encoded[1:]
    return [(None, ids[: max(1, shared)], ids[max(1, shared) :]) for ids in scored]


def _alike(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens sequences begin with alike."""
    for place, tokens in enumerate(zip(*sequences, strict=False)):
        if len(set(tokens)) > 1:
            return place
    return min(map(len, sequences))


def _answer(
    scorer: Scorer, item: CoreItem, requests: Sequence[Request], found: Sequence[tuple[float, bool]]
) -> _Answer:
    if len(requests) == 1:  # the end of a text
        number, right = 0, found[0][1]
    else:
        losses = [-value / len(ids) for (value, _), (_, _, ids) in zip(found, requests, strict=True)]
        number = item.right
        right = all(losses[number] < loss for place, loss in enumerate(losses) if place != number)
    size = len(scorer.tokenizer.decode_bytes(requests[number][2]))
    bits = -found[number][0] / math.log(2) / max(1, size)
    return _Answer(text_hash(json.dumps([*item.texts, item.right])), float(right), bits)


def _scores(task: CoreTask, answers: Sequence[_Answer]) -> Iterator[Score]:
    import numpy as np

    right, bits = (np.array([getattr(answer, name) for answer in answers]) for name in ("right", "bits"))
    for metric, values in (("acc", right), (CENTERED, _centered(right, task.guessing)), (ANSWER_BITS, bits)):
        yield Score(
            task=task.name,
            metric=metric,
            value=float(values.mean()),
            stderr=float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None,
            count=len(values),
            higher_is_better=metric != ANSWER_BITS,
            version=CORE_VERSION,
            shots=task.shots,
        )


def _centered(share: Any, guessing: float) -> Any:
    """A share of right answers with guessing at 0 and all at 1."""
    return (share - guessing) / (1 - guessing)


def _write(answers: Mapping[str, Sequence[_Answer]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {"task": task, "hash": answer.hash, "right": answer.right, "bits_per_byte": answer.bits}
        for task, of_task in answers.items()
        for answer in of_task
    ]
    with whole_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary, compression="zstd")
