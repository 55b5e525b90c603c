"""Scores as rows that people read: for the UI's tables, the console and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pipeline.base.numbers import with_error
from pipeline.evaluation.results import SuiteResult
from pipeline.evaluation.scores.comparisons import Comparison
from pipeline.evaluation.scores.scorecard import Row, Scorecard


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
    "beside": lambda row: "\n".join(comparison_words(item) for item in row.comparisons),
}
"""The scorecard's columns wherever it is shown: on the page, in the model card, and on its asset's page, which has a
column for each thing that scores are compared with in place of `beside`."""


def score_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Each score with what stands beside it in words, such as `GPT-2 124M 0.2892 (this is worse)`, a line each."""
    return [{name: column(row) for name, column in SCORE_COLUMNS.items()} for row in rows]


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
