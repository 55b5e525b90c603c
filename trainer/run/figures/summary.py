"""`summary.json`: how a run ended and what it took. Written by the trainer, read by whoever wants to know; no torch.

In: a finished or interrupted run's figures, or the file of one. Out: a `RunSummary`, or the file. The file is there
only once a run has ended in order. One of another version is read as far as it goes: what it lacks is as in a run that
did nothing, what it has beyond is left out.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trainer.errors import DataError
from trainer.files import write_text
from trainer.model.kernels import PLAIN, Kernels
from trainer.records import check, read_record
from trainer.run.checkpoints.best import BestCheckpoint
from trainer.run.folder import SUMMARY_FILE
from trainer.scoring.evaluation import ChoiceScore, HeldoutScore

End = Literal["finished", "time_limit", "interrupted"]
"""`time_limit`: training.max_minutes; `interrupted`: a signal came, and the same command goes on."""


@dataclass(frozen=True)
class ParameterCounts:
    """A model's parameters."""

    total: int
    embedding: int
    """Tokens, positions and an untied head."""
    active: int
    """What one token uses of the total."""


@dataclass(frozen=True)
class TeacherRecord:
    """A model that a run learned from: what it is, and what it took, its own teachers included."""

    content_hash: str
    parameters: int
    tokens: int
    flops: int
    device_hours: float


@dataclass(frozen=True)
class RunSummary:
    """A run's end. Costs are in whatever currency the price is given in; counts are over all resumptions."""

    state: End
    steps: int = 0
    skipped_steps: list[int] = field(default_factory=list)
    """Steps whose batch a roll-back left out."""
    tokens: int = 0
    """That the optimizer learned from."""
    sequences: int = 0
    final_train_loss: float | None = None
    validation: dict[str, HeldoutScore] = field(default_factory=dict)
    """Of the evaluation at the end, as `choices` is."""
    choices: dict[str, ChoiceScore] = field(default_factory=dict)
    parameters: ParameterCounts = ParameterCounts(0, 0, 0)
    flops: int = 0
    """Of this run alone, its teachers' passes over its tokens included."""
    flops_per_token: int = 0
    seconds: float = 0.0
    device_hours: float = 0.0
    cost: float | None = None
    tokens_per_second: float = 0.0
    mfu: float | None = None
    peak_memory_bytes: int = 0
    """Of the rank that says so: the first one's in the file."""
    world_size: int = 1
    device: str = "?"
    precision: str | None = None
    """What the run computed in; none in summaries of before it could be chosen."""
    precision_seconds: dict[str, float] = field(default_factory=dict)
    """Of a layer's pass in each, where it was chosen by them."""
    kernels: Kernels = PLAIN
    """What the run computed by, which the machine chooses along with the precision."""
    way_seconds: dict[str, float] = field(default_factory=dict)
    """Of a layer's pass in each way that was tried."""
    resumed_from: list[int] = field(default_factory=list)
    """Steps at which the run went on from a checkpoint."""
    best: BestCheckpoint | None = None
    """Of the evaluations during the run."""
    content_hash: str | None = None
    """SHA-256 over the final weights' files; none where the run was interrupted."""
    shards: str | None = None
    """The reader's hash of what was trained on."""
    tokenizer: str | None = None
    """The content hash of the shards' tokenizer; none in summaries of before it was said."""
    teachers: list[TeacherRecord] = field(default_factory=list)

    @property
    def whole_flops(self) -> int:
        """With what training the teachers took, and theirs."""
        return self.flops + sum(teacher.flops for teacher in self.teachers)

    @property
    def whole_device_hours(self) -> float:
        """As `whole_flops`."""
        return self.device_hours + sum(teacher.device_hours for teacher in self.teachers)

    @property
    def interrupted(self) -> bool:
        return self.state == "interrupted"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, what an interrupted run has not left out."""
        values = dataclasses.asdict(self)
        if self.interrupted:
            del values["best"], values["content_hash"]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunSummary:
        """The summary that `to_json`, now or in another version, made these values of."""
        return check(cls, values)


def write_summary(out: Path, summary: RunSummary) -> None:
    """Leave the summary in a run's folder. A score may be NaN where training went wrong in its last step."""
    write_text(out / SUMMARY_FILE, json.dumps(summary.to_json(), indent=2) + "\n")


def read_summary(out: Path) -> RunSummary | None:
    """What a run's folder says of its end; none before it. Raises `DataError` where the file is damaged."""
    path = out / SUMMARY_FILE
    if not path.is_file():
        return None
    what, cure = "a run's summary", "delete it and start the run again"
    return read_record(path, RunSummary, DataError, what=what, cure=cure, finite=False)


def _known(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that the class has a field for."""
    return {item.name: values[item.name] for item in dataclasses.fields(kind) if item.name in values}
