"""What a run says while it goes on: metrics.jsonl, the services that show it (`trackers`), and a line for people.

Only the first rank has a `MetricsLog`. metrics.jsonl is the truth (the UI tails it): one JSON object a logged step,
flushed at once; lines of steps that a resumed run will do again are cut off first, so that each step stands there once.
evaluations.jsonl has a line each evaluation during the run, kept in the same way.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.files import naming, whole_file
from trainer.numbers import duration
from trainer.records import parse_json
from trainer.run.figures.trackers import Trackers
from trainer.run.folder import EVALUATIONS_FILE, METRICS_FILE
from trainer.scoring.evaluation import Evaluation

log = logging.getLogger(__name__)

LINE_SECONDS = 5.0  # between lines for people


@dataclass(frozen=True)
class StepFigures:
    """What a step came to: loss in nats a token, the scheduled learning rate, the gradient's norm before clipping."""

    loss: float
    lr: float
    grad_norm: float
    expert_imbalance: float | None = None
    """The busiest expert's load over the mean; none for a dense model."""


@dataclass(frozen=True, kw_only=True)
class StepLine(StepFigures):
    """A line of metrics.jsonl: a step's figures, and where the run stands after it."""

    step: int
    tokens: int
    bits_per_byte: float
    """Of the training text: the loss in bits over the shards' mean bytes a token."""
    tokens_per_second: float
    mfu: float | None
    memory_bytes: int
    seconds: float
    eta_seconds: float
    epoch: int
    stage: str

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, in the order in which they are read best."""
        values = dataclasses.asdict(self)
        head = {name: values.pop(name) for name in ("step", "tokens")}
        if self.expert_imbalance is None:
            del values["expert_imbalance"]
        return head | values


class MetricsLog:
    """Writers for one run. `step` is what the run resumes at: later lines are dropped."""

    def __init__(self, out: Path, step: int, trackers: Trackers | None = None) -> None:
        self._path = out / METRICS_FILE
        self._evaluations_path = out / EVALUATIONS_FILE
        self._open(step)
        self._trackers = trackers
        self._last_line = 0.0
        self._bar = _Bar() if sys.stderr.isatty() else None

    def _open(self, step: int) -> None:
        for path in (self._path, self._evaluations_path):
            cut_metrics(path, step)
        self._file = self._path.open("a", encoding="utf-8")

    def go_back(self, step: int) -> None:
        """Drop what was written after `step`, which the run does again."""
        self._file.close()
        if self._trackers is not None:
            self._trackers.go_back(step)
        self._open(step)

    def write(self, line: StepLine, steps: int) -> None:
        """Record a step of `steps`; move the bar on a terminal, or say a line every few seconds anywhere else."""
        values = line.to_json()
        with naming(self._path):
            self._file.write(json.dumps(values) + "\n")
            self._file.flush()
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float) and name != "step"}
        self._draw(numbers, line.step)
        if self._bar is not None:
            self._bar.show(line, steps)
            return
        now = time.monotonic()
        if now - self._last_line >= LINE_SECONDS or line.step == steps:
            self._last_line = now
            log.info("%s", progress_line(line, steps))

    def write_evaluation(self, step: int, evaluated: Evaluation) -> None:
        """Record what an evaluation after `step` came to, in place of what one before a resumption did."""
        cut_metrics(self._evaluations_path, step - 1)
        with naming(self._evaluations_path), self._evaluations_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **dataclasses.asdict(evaluated)}) + "\n")
        self._draw(evaluated.figures(), step)

    def _draw(self, figures: dict[str, float], step: int) -> None:
        if self._trackers is not None:
            self._trackers.log(figures, step)

    def close(self) -> None:
        """End every writer; what was written stays."""
        if self._bar is not None:
            self._bar.close()
        with naming(self._path):
            self._file.close()
        if self._trackers is not None:
            self._trackers.close()


class _Bar:
    """A progress bar on stderr, with the same figures as `progress_line`."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=Console(stderr=True), transient=False)
        self._task = self._progress.add_task("", total=None)
        self._progress.start()

    def show(self, line: StepLine, steps: int) -> None:
        self._progress.update(self._task, completed=line.step, total=steps, description=progress_line(line, steps))

    def close(self) -> None:
        self._progress.stop()


def progress_line(line: StepLine, steps: int) -> str:
    """`step 120/488 · loss 4.123 · 2.31 bits/byte · 28,600 tokens/s · … · 1:23 left`."""
    parts = [f"step {line.step:,}/{steps:,}", f"loss {line.loss:.4f}", f"{line.bits_per_byte:.3f} bits/byte"]
    parts.append(f"{line.tokens_per_second:,.0f} tokens/s")
    if line.mfu is not None:
        parts.append(f"MFU {line.mfu:.1%}")
    parts.append(f"{line.memory_bytes / 2**30:.1f} GiB")
    parts.append(f"{duration(line.eta_seconds)} left")
    return " · ".join(parts)


def cut_metrics(path: Path, step: int) -> None:
    """Drop the lines after `step`, a last line that a kill cut short, and any that is none."""
    if not path.exists():
        return
    kept = []
    for line in path.read_bytes().splitlines():
        try:
            if parse_json(line, finite=False)["step"] <= step:
                kept.append(line + b"\n")
        except (ValueError, KeyError, TypeError):
            log.warning("%s: a line is cut short or damaged and is dropped: %.40r", path, line)
    with whole_file(path) as file:
        file.writelines(kept)
