"""What a run says while it goes on: metrics.jsonl, TensorBoard, Weights & Biases, and a line for people.

Only the first rank has a `MetricsLog`. metrics.jsonl is the truth (the UI tails it): one JSON object a logged step,
flushed at once; lines of steps that a resumed run will do again are cut off first, so that each step stands there once.
evaluations.jsonl has a line each evaluation during the run, kept in the same way.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainer.config import TrainingConfig
from trainer.errors import ConfigError
from trainer.numbers import duration
from trainer.scoring.evaluation import Evaluation

log = logging.getLogger(__name__)

METRICS_FILE = "metrics.jsonl"
EVALUATIONS_FILE = "evaluations.jsonl"
CHOICE_KEYS = ("acc", "acc_norm")
LINE_SECONDS = 5.0  # between lines for people


class MetricsLog:
    """Writers for one run. `step` is what the run resumes at: later lines are dropped."""

    def __init__(self, out: Path, config: TrainingConfig, step: int) -> None:
        self._out, self._config = out, config
        self._path = out / METRICS_FILE
        self._evaluations_path = out / EVALUATIONS_FILE
        self._open(step)
        self._wandb = _open_wandb(out) if config.wandb else None
        self._last_line = 0.0
        self._bar = _Bar() if sys.stderr.isatty() else None

    def _open(self, step: int) -> None:
        for path in (self._path, self._evaluations_path):
            cut_metrics(path, step)
        self._file = self._path.open("a", encoding="utf-8")
        self._tensorboard = _open_tensorboard(self._out, step) if self._config.tensorboard else None

    def go_back(self, step: int) -> None:
        """Drop what was written after `step`, which the run does again. (Weights & Biases keeps what it was sent.)"""
        self._file.close()
        if self._tensorboard is not None:
            self._tensorboard.close()
        self._open(step)

    def write(self, values: dict[str, Any], steps: int) -> None:
        """Record a step's values; move the bar on a terminal, or say a line every few seconds anywhere else."""
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()
        numbers = {key: value for key, value in values.items() if isinstance(value, int | float) and key != "step"}
        if self._tensorboard is not None:
            for key, value in numbers.items():
                self._tensorboard.add_scalar(key, value, values["step"])
        if self._wandb is not None:
            self._wandb.log(numbers, step=values["step"])
        if self._bar is not None:
            self._bar.show(values, steps)
            return
        now = time.monotonic()
        if now - self._last_line >= LINE_SECONDS or values["step"] == steps:
            self._last_line = now
            log.info("%s", progress_line(values, steps))

    def write_evaluation(self, step: int, evaluated: Evaluation) -> None:
        """Record what an evaluation after `step` found."""
        with self._evaluations_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **asdict(evaluated)}) + "\n")
        numbers = {
            f"{name}/{key}": result[key]
            for results, keys in ((evaluated.validation, ("loss", "bits_per_byte")), (evaluated.choices, CHOICE_KEYS))
            for name, result in results.items()
            for key in keys
        }
        if self._tensorboard is not None:
            for key, value in numbers.items():
                self._tensorboard.add_scalar(key, value, step)
        if self._wandb is not None:
            self._wandb.log(numbers, step=step)

    def close(self) -> None:
        """End every writer; what was written stays."""
        if self._bar is not None:
            self._bar.close()
        self._file.close()
        if self._tensorboard is not None:
            self._tensorboard.close()
        if self._wandb is not None:
            self._wandb.finish()


class _Bar:
    """A progress bar on stderr, with the same figures as `progress_line`."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=Console(stderr=True), transient=False)
        self._task = self._progress.add_task("", total=None)
        self._progress.start()

    def show(self, values: dict[str, Any], steps: int) -> None:
        line = progress_line(values, steps)
        self._progress.update(self._task, completed=values["step"], total=steps, description=line)

    def close(self) -> None:
        self._progress.stop()


def progress_line(values: dict[str, Any], steps: int) -> str:
    """`step 120/488 · loss 4.123 · 2.31 bits/byte · 28,600 tokens/s · … · 1:23 left`."""
    parts = [f"step {values['step']:,}/{steps:,}", f"loss {values['loss']:.4f}"]
    if values.get("bits_per_byte") is not None:
        parts.append(f"{values['bits_per_byte']:.3f} bits/byte")
    parts.append(f"{values['tokens_per_second']:,.0f} tokens/s")
    if values.get("mfu") is not None:
        parts.append(f"MFU {values['mfu']:.1%}")
    parts.append(f"{values['memory_bytes'] / 2**30:.1f} GiB")
    parts.append(f"{duration(values['eta_seconds'])} left")
    return " · ".join(parts)


def cut_metrics(path: Path, step: int) -> None:
    """Drop the lines after `step`, and a last line that a kill cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (json.JSONDecodeError, KeyError):
            log.warning("%s: a line was cut short and is dropped: %.40s", path, line)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(kept), encoding="utf-8")
    temporary.replace(path)


def _open_tensorboard(out: Path, step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(out / "tensorboard"), purge_step=step + 1 if step else None)


def _open_wandb(out: Path) -> Any:
    try:
        import wandb
    except ImportError:
        raise ConfigError("training.wandb is set, but wandb is not installed: pip install wandb") from None
    return wandb.init(project="squeeze", dir=str(out), id=out.resolve().name, resume="allow")
