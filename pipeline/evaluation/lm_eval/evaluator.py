"""lm-eval's own evaluator over loaded tasks, and its results as the project's scores."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from pipeline.base.errors import EvaluationError
from pipeline.evaluation.lm_eval.archive_data import archive_set
from pipeline.evaluation.lm_eval.details import LmEvalDetails
from pipeline.evaluation.results import Score

if TYPE_CHECKING:
    from lm_eval.api.model import LM

BOOTSTRAPS: Final = 1000
"""Resamples for the standard error of metrics that have no closed form, such as perplexity."""


def evaluate_tasks(model: LM, tasks: Any, limit: int | None) -> Mapping[str, Any]:
    """Score loaded tasks with lm-eval's evaluator, every item kept: its own results for any model of its interface."""
    from lm_eval.evaluator import evaluate

    results = evaluate(lm=model, task_dict=tasks, limit=limit, bootstrap_iters=BOOTSTRAPS, log_samples=True)
    if results is None:
        raise EvaluationError("lm-eval gave no results: only the first of several ranks has them")
    return results


def scores_of(results: Mapping[str, Any]) -> list[Score]:
    """Every metric of every task and group, with lm-eval's standard errors."""
    scores = []
    better = results.get("higher_is_better", {})
    for task, metrics in results["results"].items():
        for key, value in metrics.items():
            metric, _, filtered = key.partition(",")
            if not filtered or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            stderr = metrics.get(f"{metric}_stderr,{filtered}")
            scores.append(
                Score(
                    task=task,
                    metric=metric if filtered == "none" else f"{metric} ({filtered})",
                    value=float(value),
                    stderr=float(stderr) if isinstance(stderr, int | float) else None,
                    count=_count(results, task),
                    higher_is_better=bool(better.get(task, {}).get(metric, True)),
                    version=str(results["versions"][task]) if results["versions"].get(task) is not None else None,
                    shots=results["n-shot"].get(task),
                )
            )
    return scores


def details_of(
    results: Mapping[str, Any], *, from_archive: bool, cut: Mapping[str, int], in_windows: Mapping[str, int]
) -> LmEvalDetails:
    """How the tasks lie in each other, how the archive's items differ from the hub's, and what did not fit the model.

    Args:
        from_archive: items were read from the package archive where it has them.
        cut: by task, choices whose prompt was cut.
        in_windows: by task, choices longer than the model sees.
    """
    sets = {task: archive_set(task) for task in results["results"]} if from_archive else {}
    noted = {task: items for task, items in sets.items() if items is not None and items.note}
    return LmEvalDetails(
        notes={task: items.note for task, items in noted.items()},
        not_as_published={task: items.differs for task, items in noted.items()},
        subtasks=dict(results.get("group_subtasks", {})),
        cut=dict(sorted(cut.items())),
        in_windows=dict(sorted(in_windows.items())),
    )


def _count(results: Mapping[str, Any], task: str) -> int:
    counts = results["n-samples"]
    if task in counts:
        return int(counts[task]["effective"])
    subtasks = results.get("group_subtasks", {}).get(task, [])
    return sum(_count(results, name) for name in subtasks)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars and warnings that lm-eval and datasets print, and without a pool of processes for
    bootstraps (forking a process that holds torch can hang)."""
    import datasets
    from tqdm import tqdm

    begin = tqdm.__init__  # which has read TQDM_DISABLE when it was imported, maybe long ago

    def begin_hidden(bar: tqdm, *args: Any, **options: Any) -> None:
        begin(bar, *args, **options | {"disable": True})

    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets")]
    levels = [logger.level for logger in loggers]
    variables = {"DISABLE_MULTIPROC": "1"}
    before = {name: os.environ.get(name) for name in variables}
    bars = datasets.is_progress_bar_enabled() if hasattr(datasets, "is_progress_bar_enabled") else True
    try:
        os.environ.update(variables)
        datasets.disable_progress_bars()
        tqdm.__init__ = begin_hidden
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        tqdm.__init__ = begin
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if bars:
            datasets.enable_progress_bars()
