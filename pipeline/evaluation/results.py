"""What every suite hands back: scores with their standard errors in one shape, and details by kind of suite.

A score is small enough to show in a table, to compare with another model's and to fingerprint. The content hash of a
suite covers its scores and details, rounded to six significant digits, and nothing that depends on the machine (times,
threads). `finish` writes `scores.json`; `pipeline.evaluation.suites.table.read_result` reads it, whatever its kind.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Self, TypeVar

from pipeline.base.canonical import text_hash
from pipeline.base.errors import EvaluationError
from pipeline.base.files import write_text
from pipeline.evaluation.item_values import ItemValues

SCORES_FILE: Final = "scores.json"
FORMAT: Final = 1
T = TypeVar("T")


@dataclass(frozen=True)
class Score:
    """One number about a model."""

    task: str
    """A task of lm-eval, or what was scored, such as a corpus."""
    metric: str
    value: float
    stderr: float | None = None
    """One standard error, in the value's unit; none where there is no honest one."""
    count: int = 0
    """Items, documents or windows behind it."""
    higher_is_better: bool = True
    version: str | None = None
    """The task's version, as lm-eval counts it."""
    shots: int | None = None

    @property
    def name(self) -> str:
        """Task and metric, unique within a suite."""
        return f"{self.task}/{self.metric}"


@dataclass(frozen=True)
class Details:
    """What a suite keeps beside its scores: tables and curves for people, and what its scores are made of.

    Each kind of suite has a class of its own, whose fields are the keys of `details` in `scores.json`. The methods are
    all that the scorecard, comparisons and pages ask of a kind; each has an answer for kinds that have nothing to say.
    """

    items_file: ClassVar[str] = ""
    """The parquet file beside `scores.json` with a row an item; empty where there is none."""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """The details of a `scores.json` again. Raises TypeError or KeyError for another kind's."""
        return fields_from(cls, body)

    def table(self) -> list[dict[str, Any]]:
        """A table for people, a row a line; empty where the scores themselves are the best table."""
        return []

    def markdown(self) -> str:
        """What people read in place of a table."""
        return ""

    def remarks(self) -> Iterator[tuple[str, str]]:
        """What to know before a score is believed, as (task, remark)."""
        yield from ()

    def text_hash_of(self, task: str) -> str | None:
        """Hash of the text a score is of; two models' scores are compared where it is the same."""
        return None

    def yardsticks(self, task: str) -> Mapping[str, float]:
        """What else was measured on the same text, by the name people read, in the score's unit."""
        return {}

    def benchmark(self, task: str) -> str:
        """The benchmark that a score's task is of, by the name that others know: the task itself, unless a suite scores
        one in several ways."""
        return task

    def chance(self, task: str) -> float | None:
        """What guessing gives on a task, where the suite knows it by itself."""
        return None

    def unlike_published(self, task: str) -> str:
        """In two words, why published scores of a task are of something else; empty where they are not."""
        return ""

    def values(self, score: Score, items: Mapping[str, list[Any]]) -> ItemValues | None:
        """The items behind a score, out of the columns of `items_file`; none where they are not kept."""
        return None


@dataclass(frozen=True)
class SuiteResult:
    """A suite's scores, its details, and how long it took."""

    content_hash: str
    kind: str
    scores: tuple[Score, ...]
    details: Details = field(default_factory=Details)
    seconds: float = 0.0
    not_possible: str = ""
    """Why the suite could not be had here, in a sentence; empty where it could."""


def not_possible(out: Path, kind: str, why: str) -> SuiteResult:
    """Write a `scores.json` without scores into `out`, which says why there are none."""
    body = {"format": FORMAT, "kind": kind, "scores": [], "details": {}, "files": [], "not_possible": why}
    write_text(out / SCORES_FILE, json.dumps(body, indent=1, ensure_ascii=False, sort_keys=True))
    return SuiteResult(rounded_hash(body), kind, (), not_possible=why)


def finish(
    out: Path, kind: str, scores: Sequence[Score], details: Details, *, seconds: float, files: Sequence[str] = ()
) -> SuiteResult:
    """Write `scores.json` into `out`, give the suite's result. Raises EvaluationError on a score that is not finite."""
    for score in scores:
        if not math.isfinite(score.value):
            raise EvaluationError(
                f"{score.name} came out as {score.value}: the model's logits are not finite, so its training diverged "
                "or its weights are damaged; look at metrics.jsonl of the run"
            )
    body = {
        "format": FORMAT,
        "kind": kind,
        "scores": [dataclasses.asdict(score) for score in scores],
        "details": dataclasses.asdict(details),
        "files": list(files),
    }
    write_text(out / SCORES_FILE, json.dumps(body, indent=1, ensure_ascii=False, sort_keys=True))
    return SuiteResult(rounded_hash(body), kind, tuple(scores), details, seconds)


def fields_from(kind: type[T], body: Mapping[str, Any]) -> T:
    """A dataclass from the keys of a JSON object that it has fields for.

    Keys it does not know are left out, and fields that have defaults may be missing: results of earlier versions stay
    readable beside a new one.
    """
    names = {item.name for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in body.items() if name in names})


def rounded_hash(body: Any) -> str:
    """SHA-256 of a JSON value with its floats rounded to six significant digits, so that a processor's last bits do not
    change it."""
    return text_hash(json.dumps(_rounded(body), ensure_ascii=False, sort_keys=True))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
