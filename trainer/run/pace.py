"""How large a run's next batch is, how long its sequences are, and how far the run has come; pure functions, no state.

A run is as long as its whole batches, `training.batch_tokens` each, whatever is learned from at once: where the batch
begins smaller (`schedule.batch_divisors`), a whole batch's tokens are several steps, and learning rates, weight decay
and momentum follow the tokens, so that runs of one length see the same text under the same rates. A size changes only
where a whole batch has ended, so every one of them comes out even.

Shorter contexts (`schedule.context_divisors`) cut each sequence into equal pieces, of the same tokens and targets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trainer.config import ScheduleConfig


class PlannedStep(NamedTuple):
    """An optimizer step that a run will take."""

    done: float
    """Whole batches before it."""
    sequences: int
    pieces: int
    """That each sequence is cut into."""


@dataclass(frozen=True)
class Pace:
    """Of a run of `batches` whole batches of `batch` sequences each.

    Where a time limit says how long the run is, what it is thought to come to, in whole batches and as
    `optim.schedule.steps_in_time` says it, is given as `expected`.
    """

    schedule: ScheduleConfig
    batch: int
    batches: int

    @property
    def sequences(self) -> int:
        """Of the whole run."""
        return self.batch * self.batches

    def next_batch(self, done: int, expected: float) -> int:
        """Sequences of the batch that comes after the first `done`."""
        rest = self.batch - done % self.batch
        size = self.batch // _part(self.schedule.batch_divisors, self.schedule.batch_rise, done // self.batch, expected)
        return size if rest % size == 0 else rest  # the estimate has changed since this whole batch began

    def pieces(self, done: int, expected: float) -> int:
        """Pieces that each sequence is cut into after the first `done`."""
        return _part(self.schedule.context_divisors, self.schedule.context_rise, done / self.batch, expected)

    def planned(self) -> Iterator[PlannedStep]:
        """The whole run's steps, in order, where its length is what was asked for."""
        done = 0
        while done < self.sequences:
            size = self.next_batch(done, self.batches)
            yield PlannedStep(done / self.batch, size, self.pieces(done, self.batches))
            done += size

    def steps(self, expected: float) -> int:
        """Optimizer steps of the whole run."""
        divisors, rise = self.schedule.batch_divisors, self.schedule.batch_rise
        batches = round(expected)
        return sum(_part(divisors, rise, number, expected) for number in range(batches)) if divisors else batches


def _part(divisors: Sequence[int], rise: float, done: float, expected: float) -> int:
    """The divisor after `done` of `expected` whole batches: each in turn for equal shares of `rise`, then one."""
    rising = rise * expected
    return divisors[int(done * len(divisors) / rising)] if divisors and done < rising else 1
