"""What a score can and cannot tell about a model of this size, by one rule for all scores.

In: a score, the model's parameters, what guessing gives, and `signal.csv` beside this file: signal and noise of metrics
over studies' runs, which `squeeze study signal --table` writes. Out: one of four words and the smallest difference of
two models, one run of each, that is not noise.

1. A row of the table covers a score of its task and metric where the model has between half the parameters of the
   row's smallest arm and twice those of its largest, and the score between half and twice the row's items. Of
   several, that of most runs counts. A metric with less signal than noise tells nothing (`noise`). One that puts
   fewer than three in four of at least eight pairs of recipes in the order of bits per byte tells something else
   (`other_order`). Any other tells `differences`, from 2 sqrt(2) times its noise over seeds.
2. A score that no row covers has its standard error over items. A share of right answers at most two of them from
   guessing tells nothing (`guessing`); any other score `differences`, from 2 sqrt(2) of them. (Two models on the same
   items are compared item by item, which sees smaller ones.)

Without either nothing is said.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

from pipeline.base.errors import EvaluationError
from pipeline.evaluation.results import Score
from pipeline.evaluation.scores.noise import STANDARD_ERRORS

SIGNAL_TABLE: Final = Path(__file__).with_name("signal.csv")
COLUMNS: Final = (
    *("study", "task", "metric", "least_parameters", "most_parameters", "items", "arms", "runs"),
    *("noise", "signal", "kept", "pairs", "of_pairs"),
)
WITHIN: Final = 2.0
"""A row covers sizes and numbers of items up to this many times away from its own."""
LEAST_PAIRS: Final = 8
LEAST_IN_ORDER: Final = 0.75
TWO_RUNS: Final = math.sqrt(2)
"""Noise of a difference over that of one run."""

Word = Literal["differences", "noise", "other_order", "guessing"]


@dataclass(frozen=True)
class Tells:
    """What one score can tell."""

    word: Word
    least_difference: float | None = None
    """The smallest difference of two models that is not noise, in the score's unit; for `differences` alone."""
    because: str = ""
    """What it was worked out from, for people."""


@dataclass(frozen=True)
class Known:
    """A row of the table."""

    study: str
    task: str
    metric: str
    least_parameters: int
    most_parameters: int
    items: int | None
    """None where a score is of no number of items."""
    arms: int
    runs: int
    noise: float
    signal: float
    kept: bool
    pairs: int
    of_pairs: int

    def covers(self, score: Score, parameters: int) -> bool:
        if (self.task, self.metric) != (score.task, score.metric):
            return False
        if not self.least_parameters / WITHIN <= parameters <= self.most_parameters * WITHIN:
            return False
        return self.items is None or self.items / WITHIN <= score.count <= self.items * WITHIN

    def tells(self) -> Tells:
        of = f"{self.runs} runs of {self.arms} recipes"
        if not self.kept:
            return Tells("noise", because=f"less signal than noise over {of}")
        if self.of_pairs >= LEAST_PAIRS and self.pairs / self.of_pairs < LEAST_IN_ORDER:
            return Tells("other_order", because=f"{self.pairs} of {self.of_pairs} pairs of recipes in that order")
        return Tells("differences", STANDARD_ERRORS * TWO_RUNS * self.noise, f"noise over seeds, {of}")


def what_it_tells(
    score: Score, parameters: int | None, chance: float | None, table: Sequence[Known] | None = None
) -> Tells | None:
    """What a score of a model of so many parameters can tell; none where nothing is known of its noise.

    Args:
        chance: what guessing gives, for a share of right answers.
        table: signal and noise; none: the one beside this file.
    """
    known = read_table() if table is None else table
    covering = [row for row in known if parameters is not None and row.covers(score, parameters)]
    if covering:
        return max(covering, key=lambda row: row.runs).tells()
    if score.stderr is None:
        return None
    if chance is not None and abs(score.value - chance) <= STANDARD_ERRORS * score.stderr:
        return Tells("guessing", because="its standard error over items")
    return Tells("differences", STANDARD_ERRORS * TWO_RUNS * score.stderr, "its standard error over items")


@cache
def read_table(path: Path = SIGNAL_TABLE) -> tuple[Known, ...]:
    """The rows of a table of signal and noise. Raises EvaluationError naming a file that is none."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return tuple(_rows(csv.DictReader(file)))
    except (OSError, KeyError, ValueError) as error:
        raise EvaluationError(f"{path}: not a table of signal and noise ({error!r})") from error


def _rows(rows: csv.DictReader[str]) -> Iterator[Known]:
    for row in rows:
        yield Known(
            study=row["study"],
            task=row["task"],
            metric=row["metric"],
            least_parameters=int(row["least_parameters"]),
            most_parameters=int(row["most_parameters"]),
            items=int(row["items"]) if row["items"] else None,
            arms=int(row["arms"]),
            runs=int(row["runs"]),
            noise=float(row["noise"]),
            signal=float(row["signal"]),
            kept=row["kept"] == "True",
            pairs=int(row["pairs"]),
            of_pairs=int(row["of_pairs"]),
        )
