"""Run under torchrun: `until.py RUN.json STEP` trains until a signal in that step, or to the end."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from trainer.config import read_run
from trainer.process.ranks import join_ranks, leave_ranks
from trainer.process.signals import StopRequest
from trainer.run.loop import train


class StopAt(StopRequest):
    """Asks to stop once metrics.jsonl has the step; seen by the first rank alone."""

    def __init__(self, metrics: Path, step: int, here: bool) -> None:
        super().__init__()
        self._metrics, self._step, self._here = metrics, step, here

    def __bool__(self) -> bool:
        return self._here and json.loads(self._metrics.read_text().splitlines()[-1])["step"] >= self._step


def main() -> None:
    torch.set_num_threads(1)
    run = read_run(Path(sys.argv[1]))
    ranks = join_ranks("cpu")
    train(run, ranks, StopAt(Path(run.out) / "metrics.jsonl", int(sys.argv[2]), ranks.is_first))
    leave_ranks(ranks)


if __name__ == "__main__":
    main()
