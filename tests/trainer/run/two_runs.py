"""Run under torchrun: the same run uninterrupted, and stopped and resumed at each given step, in one process group.

`two_runs.py WHOLE.json PARTS.json STOP…`: what a resumed process does (build, warm up, load, train) is done again for
each part; only the start of Python and the process group is shared, which no result depends on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from trainer.config import read_run
from trainer.process.ranks import join_ranks, leave_ranks
from trainer.process.signals import StopRequest
from trainer.run.loop import train


class StopAt(StopRequest):
    """A signal that reaches one rank, the last, while step `step` is computed."""

    def __init__(self, steps: int, here: bool) -> None:
        super().__init__()
        self._left, self._here = steps, here

    def __bool__(self) -> bool:
        self._left -= 1
        return self._here and self._left <= 0


def main() -> None:
    whole, parts, *stops = sys.argv[1:]
    torch.set_num_threads(1)
    ranks = join_ranks("cpu")
    train(read_run(Path(whole)), ranks, StopRequest())
    done = 0
    for stop in map(int, stops):
        summary = train(read_run(Path(parts)), ranks, StopAt(stop - done, here=ranks.rank == ranks.world_size - 1))
        if (summary.state, summary.steps) != ("interrupted", stop):
            sys.exit(f"expected to be interrupted after step {stop}, found {summary}")
        done = stop
    train(read_run(Path(parts)), ranks, StopRequest())
    if "torch._dynamo" in sys.modules:
        sys.exit("torch's compiler was imported, and nothing is compiled")
    leave_ranks(ranks)


if __name__ == "__main__":
    main()
