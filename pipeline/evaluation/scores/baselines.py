"""Published scores of other models, from a data file that names the source of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from pipeline.base.bounded_yaml import load_yaml
from pipeline.base.errors import EvaluationError

BASELINES_FILE: Final = Path(__file__).with_name("baselines.yaml")
PROPORTIONS: Final = ("acc", "acc_norm", "exact_match")
"""Metrics that are a share of items, so that their standard error follows from the count."""


@dataclass(frozen=True)
class Baseline:
    """One published number."""

    model: str
    task: str
    metric: str
    value: float
    source: str
    count: int | None = None
    shots: int = 0
    comparable: bool = True
    """Taken as ours is: the same harness, prompt, shots and split."""

    @property
    def stderr(self) -> float | None:
        """sqrt(p (1 - p) / n) for a share of items; none for other metrics or without a count."""
        if self.metric not in PROPORTIONS or not self.count:
            return None
        return math.sqrt(self.value * (1 - self.value) / self.count)


@dataclass(frozen=True)
class Baselines:
    """Everything in the data file."""

    scores: tuple[Baseline, ...]
    chance: Mapping[str, float]
    """What guessing gives on a task."""

    def of(self, task: str, metric: str) -> list[Baseline]:
        return [score for score in self.scores if (score.task, score.metric) == (task, metric)]


def read_baselines(path: Path = BASELINES_FILE) -> Baselines:
    """Read a data file of baselines. Raises EvaluationError naming the file and the entry that does not fit."""
    return _read(path)


@cache
def _read(path: Path) -> Baselines:
    from ruamel.yaml.error import YAMLError

    try:
        data: Any = load_yaml(path.read_text(encoding="utf-8"))
        scores = tuple(Baseline(model=model["name"], **entry) for model in data["models"] for entry in model["scores"])
        chance = {str(task): float(value) for task, value in data.get("chance", {}).items()}
    except (OSError, YAMLError, KeyError, TypeError, ValueError) as error:
        raise EvaluationError(f"{path}: not a file of baselines ({error})") from error
    return Baselines(scores, chance)
