"""What one run of an arm found: written by the run's process as `result.json`, kept in its artifact's summary.

This class alone knows the JSON; everybody else reads its fields.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.base.canonical import text_hash
from pipeline.base.errors import StudyError
from trainer.records import check, read_record

FINISHED: Final = "finished"
DIVERGED: Final = "diverged"
POOLED: Final = "all"
"""Name of the score on the sample of all corpora that are not apart, as one text."""
_LOGICAL: Final = ("state", "tokens", "curve", "bits_per_byte", "benchmarks")
_OF_A_FINISHED_RUN: Final = (
    "benchmarks",
    "final_train_loss",
    "seconds",
    "cpu_seconds",
    "tokens_per_second",
)


@dataclass(frozen=True)
class RunResult:
    """One run of one arm at one seed."""

    parameters: Mapping[str, int]
    """`total`, `embedding` and `active`."""
    flops_per_token: float
    """Of a run that learned from others, with their passes over its tokens and with what training them took."""
    bytes_per_token: float
    vocab_size: int
    steps: int
    tokens: int
    state: str
    """`finished`, or `diverged` with a message and no scores."""
    message: str | None = None
    """In what words the trainer gave up."""
    curve: list[dict[str, float]] = dataclasses.field(default_factory=list)
    """Points with `tokens` and the bits per byte of the curve's sample by corpus."""
    bits_per_byte: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """At the end, by corpus, and of the whole sample (`all`)."""
    benchmarks: Mapping[str, Mapping[str, float]] | None = None
    """Shares of right answers at the end, by task."""
    final_train_loss: float | None = None
    seconds: float | None = None
    """None of a run in several pieces, as the next two."""
    cpu_seconds: float | None = None
    tokens_per_second: float | None = None
    """Of processor time, beside whatever else ran."""

    def to_json(self) -> dict[str, Any]:
        """As `result.json` holds it: of a run that diverged without what only an end has."""
        left_out = ("message",) if self.state == FINISHED else _OF_A_FINISHED_RUN
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in left_out}

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> RunResult:
        """What `to_json` wrote; runs of before there were benchmarks have none.

        Raises StudyError for anything else.
        """
        try:
            return check(cls, values)
        except ValueError as error:
            raise StudyError(f"not the result of a run ({error}); materialize its arm again") from None

    @classmethod
    def of(cls, file: Path) -> RunResult:
        """What `to_json` wrote into a file. Raises StudyError where the file is damaged."""
        return read_record(file, cls, StudyError, what="the result of a run", cure="materialize its arm again")

    def content_hash(self) -> str:
        """A hash of what was found, without how long it took."""
        values = self.to_json()
        return text_hash(json.dumps({name: values.get(name) for name in _LOGICAL}, sort_keys=True))
