"""Scores as rows that people read: for the UI's tables, the console and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pipeline.base.numbers import with_error
from pipeline.evaluation.results import SuiteResult
from pipeline.evaluation.scores.comparisons import Comparison
from pipeline.evaluation.scores.scorecard import Row, Scorecard
from pipeline.evaluation.suites.bits_per_byte import ENGLISH

BITS_PER_BYTE: Final = "bits_per_byte"


def suite_rows(result: SuiteResult) -> list[dict[str, Any]]:
    """A suite's scores, a row each."""
    return [
        {
            "task": score.task,
            "metric": score.metric,
            "score": with_error(score.value, score.stderr),
            "count": score.count,
            "shots": score.shots,
            "version": score.version,
        }
        for score in result.scores
    ]


SCORE_COLUMNS: Final[Mapping[str, Callable[[Row], Any]]] = {
    "task": lambda row: row.task,
    "metric": lambda row: row.metric,
    "score": lambda row: with_error(row.value, row.stderr),
    "items": lambda row: row.count,
    "shots": lambda row: row.shots,
    "can tell": lambda row: tells_words(row),
    "beside": lambda row: "\n".join(comparison_words(item) for item in row.comparisons),
}
"""The scorecard's columns wherever it is shown: on the page, in the model card, and on its asset's page, which has a
column for each thing that scores are compared with in place of `beside`."""


def score_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Each score with what stands beside it in words, such as `GPT-2 124M 0.2892 (this is worse)`, a line each."""
    return [{name: column(row) for name, column in SCORE_COLUMNS.items()} for row in rows]


def headline(rows: Sequence[Row]) -> Row | None:
    """The score that stands for a model: bits per byte of all English held-out text; without English, of the corpus
    with the most held-out documents; without bits per byte the first score there is."""
    texts = [row for row in rows if row.metric == BITS_PER_BYTE and "/" not in row.task]
    english = next((row for row in texts if row.task == ENGLISH), None)
    return english or max(texts, key=lambda row: row.count, default=None) or next(iter(rows), None)


def score_name(row: Row) -> str:
    """What a score is of, in words."""
    if row.metric != BITS_PER_BYTE:
        return f"{row.task} {row.metric.replace('_', ' ')}"
    return f"bits per byte of {'all English' if row.task == ENGLISH else row.task} held-out text"


def best_beside(row: Row) -> Comparison | None:
    """The best of the compressors on the same text; where there are none, what guessing gives."""
    beside = [item for item in row.comparisons if item.comparable and item.kind in ("compressor", "chance")]
    return (max if row.higher_is_better else min)(beside, key=lambda item: item.value, default=None)


def numbers_of(card: Scorecard) -> dict[str, float]:
    """Every score as a plain number under a name that depends on suite, task and metric alone, so that a line can be
    drawn through the scorecards of a time."""
    numbers = {}
    for row in card.rows:
        words = dict.fromkeys((row.suite, row.task, row.metric))
        numbers[" ".join(word.replace("/", " ") for word in words)] = float(row.value)
    return numbers


def not_possible_rows(card: Scorecard) -> list[dict[str, Any]]:
    """A row for each suite that could not be had."""
    return [{"suite": name, "not possible here": why} for name, why in card.not_possible.items()]


def rows_beside(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Scores with a column for everything they are compared with, and none for what no row has: narrow enough for an
    asset's page."""
    lines = []
    for row in rows:
        columns = {name: column(row) for name, column in SCORE_COLUMNS.items() if name != "beside"}
        task, metric, score = columns.pop("task"), columns.pop("metric"), columns.pop("score")
        name = task if metric == "bits_per_byte" else f"{task} {metric}"
        line = {"score of": name, "this model": score} | columns
        line |= {item.name: round(item.value, 4) for item in row.comparisons if item.comparable}
        lines.append({name: value for name, value in line.items() if value is not None})
    return lines


def comparison_words(item: Comparison) -> str:
    """A comparison in words; `better` and `worse` are this model's side of it."""
    if not item.comparable:
        verdict = f"not comparable: {item.why_not}"
    elif item.within_noise:
        verdict = "within noise"
    else:
        verdict = "this is better" if item.better else "this is worse"
    return f"{item.name} {item.value:.4f} ({verdict})"


def tells_words(row: Row) -> str | None:
    """What a score can tell about a model of this size, in words; none where nothing is known of its noise."""
    if row.tells is None:
        return None
    if row.tells.word == "differences" and row.tells.least_difference is not None:
        return f"differences of {row.tells.least_difference:.2g}"
    return {
        "noise": "nothing (noise)",
        "other_order": "another order",
        "guessing": "nothing (guessing)",
    }.get(row.tells.word)


def plottable(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows in the shape of `pipeline.reporting.plots.scores`, without numbers taken in another way."""
    return [
        {
            "name": f"{row.task} {row.metric}" if row.metric != "bits_per_byte" else row.task,
            "value": row.value,
            "stderr": row.stderr,
            "comparisons": [
                {"name": item.name, "kind": item.kind, "value": item.value}
                for item in row.comparisons
                if item.comparable
            ],
        }
        for row in rows
    ]
