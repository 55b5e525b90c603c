"""Tasks of lm-eval with several numbers of examples before each question: a curve over shots in one suite.

In: tasks, numbers of examples. Out: every score of the tasks at every number, and the items of all. The questions are
the same at each, so what examples gain is judged item by item. What does not fit the model's context loses its
beginning, the first examples first; how often is noted.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import Field, field_validator

from pipeline.base.files import whole_path
from pipeline.base.numbers import with_error
from pipeline.base.settings import runtime
from pipeline.evaluation.item_values import MEAN, ItemValues, ratio_stderr
from pipeline.evaluation.lm_eval.details import LmEvalDetails
from pipeline.evaluation.lm_eval.gold_answers import ANSWER_BITS, ANSWER_MARGIN
from pipeline.evaluation.lm_eval.item_table import ITEMS_FILE
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.results import Details, Score, SuiteResult, fields_from, finish
from pipeline.evaluation.suites.lm_eval import LM_EVAL_VERSION, LmEvalSuite, evaluate_lm_eval
from pipeline.evaluation.suites.suite import SuiteInputs, SuiteSettings

FEW_SHOT_VERSION: Final = f"1/{LM_EVAL_VERSION}"
SHOTS: Final = "shots"
"""The column of the items' table that says after how many examples."""

UNITS: Final = {"acc": "accuracy", "acc_norm": "accuracy", ANSWER_BITS: "answers", ANSWER_MARGIN: "margins"}
"""Metrics that are drawn, by what one picture has."""


@dataclass(frozen=True)
class ShotCurve:
    """One metric of one task over shots."""

    task: str
    metric: str
    shots: Sequence[int]
    values: Sequence[float]
    stderrs: Sequence[float | None]
    gain_stderrs: Sequence[float | None]
    """One standard error of each value minus the first, item by item; none where items do not tell."""


@dataclass(frozen=True)
class FewShotDetails(Details):
    """The curves, and what each number of examples has to say."""

    items_file: ClassVar[str] = ITEMS_FILE
    curves: tuple[ShotCurve, ...]
    by_shots: Mapping[str, LmEvalDetails]
    """What a suite of that number of examples would keep."""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        curves = tuple(fields_from(ShotCurve, curve) for curve in body["curves"])
        by_shots = {shots: fields_from(LmEvalDetails, details) for shots, details in body["by_shots"].items()}
        return fields_from(cls, {**body, "curves": curves, "by_shots": by_shots})

    def table(self) -> list[dict[str, Any]]:
        rows = []
        for curve in self.curves:
            row = {"task": curve.task, "metric": curve.metric}
            for shots, value, stderr in zip(curve.shots, curve.values, curve.stderrs, strict=True):
                row[in_words(shots)] = with_error(value, stderr)
            gain = curve.values[-1] - curve.values[0]
            row["last minus first"] = with_error(gain, curve.gain_stderrs[-1])
            rows.append(row)
        return rows

    def by_unit(self) -> dict[str, list[ShotCurve]]:
        """The curves that one picture can hold, by a word for their unit; other metrics have none."""
        found: dict[str, list[ShotCurve]] = {}
        for curve in self.curves:
            if curve.metric in UNITS:
                found.setdefault(UNITS[curve.metric], []).append(curve)
        return found

    def remarks(self) -> Iterator[tuple[str, str]]:
        for shots, details in self.by_shots.items():
            for task, remark in details.remarks():
                yield named(task, int(shots)), remark

    def benchmark(self, task: str) -> str:
        return _parts(task)[0]

    def unlike_published(self, task: str) -> str:
        name, shots = _parts(task)
        return self.by_shots[shots].unlike_published(name)

    def values(self, score: Score, items: Mapping[str, list[Any]]) -> ItemValues | None:
        name, shots = _parts(score.task)
        chosen = [place for place, of_row in enumerate(items.get(SHOTS, ())) if str(of_row) == shots]
        of_shots = {column: [values[place] for place in chosen] for column, values in items.items()}
        return self.by_shots[shots].values(dataclasses.replace(score, task=name), of_shots)


class FewShotSuite(SuiteSettings):
    """Tasks of lm-eval with several numbers of examples before each question."""

    version: ClassVar[str] = FEW_SHOT_VERSION
    description: ClassVar[str] = "Benchmarks of lm-eval over the number of examples before each question."
    details: ClassVar[type[Details]] = FewShotDetails

    kind: Literal["few_shot"] = "few_shot"
    tasks: tuple[str, ...] = Field(min_length=1)
    """Names as lm-eval has them: tasks, groups or tags."""
    shots: tuple[int, ...] = Field((0, 1, 2, 4, 8), min_length=2)
    """Numbers of examples before each question, rising."""
    limit: int | None = Field(None, gt=0)
    """Only the first so many items of each task; none: all."""
    data: Literal["hub", "archive"] = "hub"
    """As of `lm_eval`."""
    include_path: str | None = runtime(None)
    """As of `lm_eval`: a folder with task files of your own."""
    batch_tokens: int = runtime(8192, gt=0)

    @field_validator("shots")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value) < 0 or list(value) != sorted(set(value)):
            raise ValueError(f"numbers of examples rise from 0 or more, each once, not {list(value)}")
        return value

    def at(self, shots: int) -> LmEvalSuite:
        """The suite of one number of examples."""
        return LmEvalSuite(
            tasks=self.tasks,
            shots=shots,
            limit=self.limit,
            data=self.data,
            include_path=self.include_path,
            batch_tokens=self.batch_tokens,
        )

    def check(self) -> None:
        self.at(0).check()

    def reads_archive(self) -> bool:
        return self.data == "archive"

    def local_files(self) -> Mapping[str, Any]:
        return self.at(0).local_files()

    def evaluate(self, scorer: Scorer, inputs: SuiteInputs, out: Path) -> SuiteResult:
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="squeeze-shots-", dir=out) as folder:
            results = {}
            for shots in self.shots:
                place = Path(folder) / str(shots)
                place.mkdir()
                results[shots] = evaluate_lm_eval(scorer, inputs.archive, self.at(shots), inputs.cache, place)
            items = _merge(Path(folder), self.shots, out / ITEMS_FILE)
        by_shots = {str(shots): result.details for shots, result in results.items()}
        details = FewShotDetails((), {name: item for name, item in by_shots.items() if isinstance(item, LmEvalDetails)})
        scores = [
            dataclasses.replace(score, task=named(score.task, shots))
            for shots, result in results.items()
            for score in result.scores
        ]
        details = dataclasses.replace(details, curves=tuple(_curves(scores, details, items)))
        return finish(*(out, self.kind, scores, details), seconds=time.monotonic() - start, files=[ITEMS_FILE])


def in_words(shots: int) -> str:
    """`1 shot`, `4 shots`."""
    return f"{shots} shot{'' if shots == 1 else 's'}"


def named(task: str, shots: int) -> str:
    """What a task after so many examples is called, as in `hellaswag, 4 shots`."""
    return f"{task}, {in_words(shots)}"


def _parts(name: str) -> tuple[str, str]:
    """A task and its number of examples from what both are called."""
    task, _, words = name.rpartition(", ")
    return task, words.partition(" ")[0]


def _merge(folder: Path, shots: Sequence[int], path: Path) -> dict[str, list[Any]]:
    """The items of all numbers of examples in one table, as columns too."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for count in shots:
        table = pq.read_table(folder / str(count) / ITEMS_FILE)
        tables.append(table.append_column(SHOTS, pa.array([count] * table.num_rows, pa.int32())))
    merged = pa.concat_tables(tables)
    with whole_path(path) as temporary:
        pq.write_table(merged, temporary, compression="zstd")
    columns: dict[str, list[Any]] = merged.to_pydict()
    return columns


def _curves(scores: Sequence[Score], details: FewShotDetails, items: Mapping[str, list[Any]]) -> Iterator[ShotCurve]:
    """A curve for each metric of each task that has a score at more than one number of examples."""
    found: dict[tuple[str, str], list[Score]] = {}
    for score in scores:
        found.setdefault((details.benchmark(score.task), score.metric), []).append(score)
    for (task, metric), curve in found.items():
        values = [details.values(score, items) for score in curve]
        yield ShotCurve(
            task,
            metric,
            [int(_parts(score.task)[1]) for score in curve],
            [score.value for score in curve],
            [score.stderr for score in curve],
            [_gain_error(values[0], item) for item in values],
        )


def _gain_error(first: ItemValues | None, other: ItemValues | None) -> float | None:
    """Standard error of the difference of two means over the same items; none where they are not, or no such mean."""
    if first is None or other is None or first.keys != other.keys:
        return None
    if first.formula is not MEAN or len(set(first.groups.tolist())) > 1:
        return None
    return ratio_stderr(other.amounts - first.amounts, first.weights)
