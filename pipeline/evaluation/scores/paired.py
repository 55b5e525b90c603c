"""Results item by item: written beside a suite's scores, and read again to set two models side by side.

Two models are scored on the very same items, and most of what makes an item hard is the item. So the noise of their
difference is that of the differences item by item, which is far smaller than that of two independent samples. In: the
folders of two finished suites. Out: the difference's standard error and a p-value: McNemar's exact test where every
item is right or wrong (McNemar 1947), else two-sided normal on the paired standard error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.base.files import whole_path
from pipeline.evaluation.results import Score, SuiteResult

if TYPE_CHECKING:
    import numpy as np

ITEMS_FILE: Final = "items.parquet"
DOCUMENTS_FILE: Final = "documents.parquet"
SIGNIFICANT: Final = 0.05
"""Differences that chance gives more often than this are within noise."""

_SCALES: Final[tuple[tuple[Callable[[float], float], Callable[[float], float]], ...]] = (
    (lambda r: r, lambda r: 1.0),  # a mean
    (lambda r: math.exp(-r), lambda r: math.exp(-r)),  # a perplexity of mean log-likelihoods
    (lambda r: -r / math.log(2), lambda r: 1 / math.log(2)),  # bits
)
"""How a score follows from the items' ratio, and the size of its derivative."""


@dataclass(frozen=True)
class Paired:
    """The difference of two models on the same items."""

    stderr: float
    """One standard error of the difference, in the score's unit."""
    p_value: float

    @property
    def within_noise(self) -> bool:
        return self.p_value >= SIGNIFICANT


@dataclass(frozen=True)
class Values:
    """What one score is made of: its value is a function of sum(amounts) / sum(weights), group by group."""

    keys: tuple[Any, ...]
    """What each item is; two models' values can be paired where these are equal."""
    amounts: np.ndarray
    weights: np.ndarray
    groups: np.ndarray
    """Number of the task each item is of, for scores that are means over tasks."""


class Scored:
    """A finished suite with its items, read when they are needed."""

    def __init__(self, result: SuiteResult, folder: Path) -> None:
        self.result = result
        self.folder = folder

    def values(self, score: Score) -> Values | None:
        """The items behind a score; none where they are not kept, or where they do not add up to it."""
        match self.result.kind:
            case "lm_eval":
                return self._items(score)
            case "bits_per_byte":
                return self._documents(score.task)
            case "length_extrapolation":
                return self._windows(score.task)
        return None

    @cached_property
    def _table(self) -> Mapping[str, list[Any]]:
        import pyarrow.parquet as pq

        name = ITEMS_FILE if self.result.kind == "lm_eval" else DOCUMENTS_FILE
        path = self.folder / name
        return pq.read_table(path).to_pydict() if path.is_file() else {}

    def _items(self, score: Score) -> Values | None:
        tasks = {name: number for number, name in enumerate(sorted(self._leaves(score.task)))}
        metric = score.metric.partition(" (")[0]
        keys, pairs, groups = [], [], []
        columns = (self._table.get(name, []) for name in ("task", "item", "hash", "metrics"))
        for task, item, digest, metrics in zip(*columns, strict=True):
            value = json.loads(metrics).get(metric) if task in tasks else None
            pair = _amount_and_weight(value)
            if pair is not None:
                keys.append((task, item, digest))
                pairs.append(pair)
                groups.append(tasks[task])
        return _values(keys, pairs, groups)

    def _leaves(self, task: str) -> Iterator[str]:
        below = self.result.details.get("subtasks", {}).get(task) or []
        for name in below:
            yield from self._leaves(name)
        if not below:
            yield task

    def _documents(self, name: str) -> Values | None:
        row = next((row for row in self.result.details.get("rows", []) if row["name"] == name), None)
        if row is None:
            return None
        everywhere = row["lang"] is not None and row["name"] == row["corpus"]  # all English, whatever the corpus
        keys, pairs = [], []
        columns = ("corpus", "document", "lang", "bytes", "nats_text")
        for corpus, number, lang, size, nats in zip(*(self._table.get(c, []) for c in columns), strict=True):
            if (everywhere or corpus == row["corpus"]) and row["lang"] in (None, lang):
                keys.append((corpus, number, size))
                pairs.append((-nats, float(size)))
        return _values(keys, pairs, [0] * len(keys))

    def _windows(self, task: str) -> Values | None:
        for curve in self.result.details.get("curves", []):
            if task == f"{curve['scaling']} {curve['factor']}x":
                losses = curve.get("last_by_window", [])
                keys = [(self.result.details.get("text_hash"), number) for number in range(len(losses))]
                return _values(keys, [(loss, 1.0) for loss in losses], [0] * len(losses))
        return None


def same_items(a: Values | None, b: Values | None) -> bool | None:
    """Whether two scores are about the very same items; none where either did not keep them."""
    return None if a is None or b is None else a.keys == b.keys


def paired(a: Score, b: Score, values_a: Values | None, values_b: Values | None) -> Paired | None:
    """How certain the difference of two models' scores is; none where it cannot be worked out item by item."""
    import numpy as np

    if values_a is None or values_b is None or values_a.keys != values_b.keys or len(values_a.keys) < 2:
        return None
    if not np.array_equal(values_a.weights, values_b.weights):
        return None
    for grouped in (False, True):
        groups = values_a.groups if grouped else np.zeros_like(values_a.groups)
        ratios = [_ratio(values, groups) for values in (values_a, values_b)]
        for scale, slope in _SCALES:
            if all(
                math.isclose(scale(ratio), score.value, rel_tol=1e-6, abs_tol=1e-9)
                for ratio, score in zip(ratios, (a, b), strict=True)
            ):
                error = _difference_error(values_a, values_b, groups)
                stderr = error * slope(sum(ratios) / 2)
                return Paired(stderr, _p_value(values_a, values_b, ratios[1] - ratios[0], error))
    return None


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact p-value of McNemar's test: items that one model alone got right, by a fair coin."""
    count = only_a + only_b
    tail = sum(math.comb(count, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / 2**count)


def _amount_and_weight(value: Any) -> tuple[float, float] | None:
    """lm-eval keeps a number an item, or a log-likelihood and the number of words or bytes it is for."""
    if isinstance(value, bool | int | float):
        return float(value), 1.0
    if isinstance(value, Sequence) and len(value) == 2 and all(isinstance(part, int | float) for part in value):
        return float(value[0]), float(value[1])
    return None


def _values(keys: list[Any], pairs: list[tuple[float, float]], groups: list[int]) -> Values | None:
    import numpy as np

    if not keys:
        return None
    amounts, weights = np.array(pairs, dtype=np.float64).T
    return Values(tuple(keys), amounts, weights, np.array(groups))


def _ratio(values: Values, groups: np.ndarray) -> float:
    """sum(amounts) / sum(weights), the mean over groups of it."""
    import numpy as np

    return float(
        np.mean([values.amounts[groups == g].sum() / values.weights[groups == g].sum() for g in np.unique(groups)])
    )


def _difference_error(a: Values, b: Values, groups: np.ndarray) -> float:
    """Standard error of the difference of the two ratios over items drawn at random, the same for both
    (the ratio estimator's linearisation, Cochran 1977, section 2.11)."""
    import numpy as np

    variances = []
    numbers = np.unique(groups)
    for group in numbers:
        mask = groups == group
        difference, weights = (b.amounts - a.amounts)[mask], a.weights[mask]
        residuals = difference - difference.sum() / weights.sum() * weights
        count = len(weights)
        variances.append((residuals**2).sum() * count / max(count - 1, 1) / weights.sum() ** 2)
    return float(np.sqrt(np.sum(variances)) / len(numbers))


def _p_value(a: Values, b: Values, difference: float, error: float) -> float:
    import numpy as np

    both = np.concatenate([a.amounts, b.amounts])
    if np.isin(both, (0.0, 1.0)).all() and (a.weights == 1).all():
        return mcnemar(int((a.amounts > b.amounts).sum()), int((a.amounts < b.amounts).sum()))
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(abs(difference) / error / math.sqrt(2))


def write_items(samples: Mapping[str, Any], path: Path) -> None:
    """One row an item of lm-eval: its place in the task, a hash of its text, log-likelihoods, each metric as JSON."""
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
    with whole_path(path) as temporary:
        pq.write_table(pa.table(columns, schema=schema), temporary, compression="zstd")


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
