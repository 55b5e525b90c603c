"""Whether two scores differ by more than noise, and whether they are about the same thing at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from pipeline.evaluation.results import Score
from pipeline.evaluation.scores.paired import Scored, paired, same_items

STANDARD_ERRORS: Final = 2.0
"""A difference beyond so many standard errors of it is not noise (about 95% of chance differences are within)."""


@dataclass(frozen=True)
class Verdict:
    """Whether two models' scores differ."""

    within_noise: bool | None = None
    """None where no error is known."""
    noise: float | None = None
    """One standard error of the difference, item by item."""
    why_not: str = ""
    """Why they cannot be compared at all."""

    @property
    def comparable(self) -> bool:
        return not self.why_not


def judge(score: Score, other: Score, scored: Scored, other_scored: Scored) -> Verdict:
    """Two models' scores of one name: item by item where both kept the items, by the two errors where not."""
    if (score.version, score.shots, score.count) != (other.version, other.shots, other.count):
        return Verdict(why_not="other items, shots or version")
    texts = [item.result.details.text_hash_of(score.task) for item in (scored, other_scored)]
    if texts[0] != texts[1]:
        return Verdict(why_not="other held-out text")
    values = (scored.values(score), other_scored.values(other))
    if same_items(*values) is False:
        return Verdict(why_not="other items")
    pair = paired(score, other, *values)
    if pair is not None:
        return Verdict(pair.within_noise, pair.stderr)
    return Verdict(within_noise(other.value - score.value, score.stderr, other.stderr))


def within_noise(difference: float, *errors: float | None) -> bool | None:
    """Whether a difference is at most two standard errors of it; None where no error is known."""
    known = [error for error in errors if error is not None]
    return abs(difference) <= STANDARD_ERRORS * math.hypot(*known) if known else None
