"""What a suite of lm-eval keeps beside its scores, and how its scores follow from `items.parquet`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from pipeline.evaluation.item_values import BITS, MEAN, PERPLEXITY, Formula, ItemValues, item_rows, item_values
from pipeline.evaluation.lm_eval.item_table import ITEMS_FILE
from pipeline.evaluation.results import Details, Score
from trainer.records import check, parse_json

FORMULAS: Final[Mapping[str, Formula]] = {
    "perplexity": PERPLEXITY,
    "word_perplexity": PERPLEXITY,
    "byte_perplexity": PERPLEXITY,
    "bits_per_byte": BITS,
}
"""lm-eval's aggregation of a metric, where it is not the mean over items."""


@dataclass(frozen=True)
class LmEvalDetails(Details):
    """Everything is by task."""

    items_file: ClassVar[str] = ITEMS_FILE
    notes: Mapping[str, str] = field(default_factory=dict)
    """How items from the package archive differ from the hub's."""
    not_as_published: Mapping[str, str] = field(default_factory=dict)
    """The same in two words: why published scores are not set against these."""
    subtasks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of groups."""
    cut: Mapping[str, int] = field(default_factory=dict)
    """Choices whose prompt was cut on the left to fit the model."""
    in_windows: Mapping[str, int] = field(default_factory=dict)
    """Choices longer than the model sees, scored in windows."""

    def remarks(self) -> Iterator[tuple[str, str]]:
        yield from self.notes.items()
        for task, count in self.cut.items():
            yield task, f"{count:,} prompts were cut on the left to the model's context"
        for task, count in self.in_windows.items():
            yield task, f"{count:,} choices are longer than the model's context and were scored in windows"

    def unlike_published(self, task: str) -> str:
        return self.not_as_published.get(task, "")

    def values(self, score: Score, items: Mapping[str, list[Any]]) -> ItemValues | None:
        numbers = {name: number for number, name in enumerate(sorted(self._leaves(score.task)))}
        metric = score.metric.partition(" (")[0]
        keys, pairs, groups = [], [], []
        for task, item, digest, metrics in item_rows(items, "task", "item", "hash", "metrics"):
            values = check(dict[str, Any], parse_json(metrics, finite=False)) if task in numbers else {}
            pair = _amount_and_weight(values.get(metric))
            if pair is not None:
                keys.append((task, item, digest))
                pairs.append(pair)
                groups.append(numbers[task])
        return item_values(keys, pairs, FORMULAS.get(metric, MEAN), groups)

    def _leaves(self, task: str) -> Iterator[str]:
        below = self.subtasks.get(task) or []
        for name in below:
            yield from self._leaves(name)
        if not below:
            yield task


def _amount_and_weight(value: Any) -> tuple[float, float] | None:
    """lm-eval keeps a number an item, or a log-likelihood and the number of words or bytes it is for."""
    if isinstance(value, bool | int | float):
        return float(value), 1.0
    if isinstance(value, Sequence) and len(value) == 2 and all(isinstance(part, int | float) for part in value):
        return float(value[0]), float(value[1])
    return None
