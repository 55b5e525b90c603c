"""Bits of the right answer: what a model that cannot yet choose still says about a multiple-choice item.

In: lm-eval's results with the items they are made of. Out: two more scores a task, and each item's part in them beside
its other metrics. Accuracy of a small model stays at chance long after the right answers have become likelier; their
bits per byte, and how far they are ahead of the best wrong answer, move from the first steps on (Heineman et al. 2025,
"Signal and Noise"; Magnusson et al. 2025, "DataDecide").

Bytes are those of the continuation as it was scored, lm-eval's delimiter included, so that the figure is comparable
among tokenizers. Where several answers are right, the likeliest of them by the byte counts.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pipeline.evaluation.results import Score

ANSWER_BITS: Final = "answer_bits_per_byte"
"""-log2 of the right answer's probability over its bytes, the mean over items: less is better."""
ANSWER_MARGIN: Final = "answer_margin"
"""Bits per byte of the likeliest wrong answer minus those of the right one, the mean over items: more is better."""
ANSWER_METRICS: Final = (ANSWER_BITS, ANSWER_MARGIN)


def add_answers(results: Mapping[str, Any], tasks: Mapping[str, Any]) -> None:
    """Write each item's two figures into its sample and among its metrics.

    Args:
        results: lm-eval's, with `samples`, which are changed.
        tasks: lm-eval's task objects by name. Tasks without a right continuation are left as they are.
    """
    for name, samples in results["samples"].items():
        for sample in samples:
            if figures := _figures(tasks.get(name), sample):
                sample.update(figures)
                sample["metrics"] = [*sample["metrics"], *figures]


def answer_scores(results: Mapping[str, Any], of_tasks: Sequence[Score]) -> list[Score]:
    """The scores of what `add_answers` wrote: of each task, and of each group over all items below it.

    of_tasks: the scores that lm-eval gave, whose version and shots these have too.
    """
    scores = []
    for first in {score.task: score for score in reversed(of_tasks)}.values():
        samples = [sample for leaf in _leaves(results, first.task) for sample in results["samples"].get(leaf, ())]
        for metric in ANSWER_METRICS:
            values = [sample[metric] for sample in samples if metric in sample]
            if not values:
                continue
            error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
            scores.append(
                Score(
                    task=first.task,
                    metric=metric,
                    value=statistics.fmean(values),
                    stderr=error,
                    count=len(values),
                    higher_is_better=metric != ANSWER_BITS,
                    version=first.version,
                    shots=first.shots,
                )
            )
    return scores


def answer_figures(bits: Sequence[float], sizes: Sequence[int], right: Sequence[int]) -> dict[str, float]:
    """Both figures of one item.

    Args:
        bits: -log2 of each choice's probability.
        sizes: each choice's bytes.
        right: places of the right ones; with all right, or none wrong, there is no margin.
    """
    per_byte = [bit / size for bit, size in zip(bits, sizes, strict=True)]
    answer = min(per_byte[place] for place in right)
    wrong = [value for place, value in enumerate(per_byte) if place not in right]
    return {ANSWER_BITS: answer} | ({ANSWER_MARGIN: min(wrong) - answer} if wrong else {})


def _figures(task: Any, sample: Mapping[str, Any]) -> dict[str, float]:
    kind = getattr(task, "OUTPUT_TYPE", None)
    if kind not in ("multiple_choice", "loglikelihood") or getattr(task.config, "process_results", None):
        return {}  # a function of the task's own knows what is right, such as TruthfulQA's of several true answers
    continuations = [str(arguments[1]) for arguments in sample["arguments"]]
    bits = [-float(first[0]) / math.log(2) for first, *_ in sample["resps"]]
    right = [0]
    if kind == "multiple_choice":
        count = len(task.doc_to_choice(sample["doc"]))  # further requests are about the choices without their question
        continuations, bits = continuations[:count], bits[:count]
        right = _right(task, sample["doc"], count)
    sizes = [len(text.encode()) for text in continuations]
    if not right or not all(sizes) or not all(map(math.isfinite, bits)):
        return {}
    return answer_figures(bits, sizes, right)


def _right(task: Any, doc: Any, count: int) -> list[int]:
    """Places of the right choices, as lm-eval reads them; none where an item has no valid answer."""
    target = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    targets = target if isinstance(target, list) else [target]
    choices = list(task.doc_to_choice(doc))
    places = [choices.index(item) if isinstance(item, str) and item in choices else item for item in targets]
    return [place for place in places if isinstance(place, int) and 0 <= place < count]


def _leaves(results: Mapping[str, Any], task: str) -> Iterator[str]:
    below = results.get("group_subtasks", {}).get(task) or []
    for name in below:
        yield from _leaves(results, name)
    if not below:
        yield task
