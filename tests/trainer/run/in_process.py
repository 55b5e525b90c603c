"""Runs of one rank in the test's own process."""

from __future__ import annotations

from pathlib import Path

import torch

from trainer.config import read_run
from trainer.process.ranks import Ranks
from trainer.process.signals import StopRequest
from trainer.run.figures.summary import RunSummary
from trainer.run.loop import train

ONE = Ranks(0, 1, torch.device("cpu"))


class StopAfter(StopRequest):
    """A signal that arrives while step `steps` is computed."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._left = steps

    def __bool__(self) -> bool:
        self._left -= 1
        return self._left <= 0


def go(path: Path, stop: StopRequest | None = None) -> RunSummary:
    """Train as the run's file says; returns the summary."""
    return train(read_run(path), ONE, StopRequest() if stop is None else stop)
