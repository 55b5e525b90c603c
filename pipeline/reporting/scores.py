"""Scores as rows that people read: for the UI's tables, the console and the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.base.numbers import with_error
from pipeline.evaluation.results import SuiteResult
from pipeline.evaluation.scores.scorecard import Comparison, Row, Scorecard


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


def rows_beside(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Scores with a column for everything they are compared with: narrow enough for an asset's page."""
    names = list(dict.fromkeys(item.name for row in rows for item in row.comparisons if item.comparable))
    lines = []
    for row in rows:
        values = {item.name: item.value for item in row.comparisons if item.comparable}
        name = row.task if row.metric == "bits_per_byte" else f"{row.task} {row.metric}"
        line = {"score of": name, "this model": with_error(row.value, row.stderr), "items": row.count}
        lines.append(line | {name: round(values[name], 4) if name in values else "" for name in names})
    return lines


def scorecard_rows(scorecard: Scorecard) -> list[dict[str, Any]]:
    """Each score with what stands beside it in words, such as `GPT-2 124M 0.2892 (worse)`."""
    return [
        {
            "suite": row.suite,
            "task": row.task,
            "metric": row.metric,
            "score": with_error(row.value, row.stderr),
            "count": row.count,
            "beside": " · ".join(comparison_words(item) for item in row.comparisons),
        }
        for row in scorecard.rows
    ]


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
