"""Evaluations that a request to stop ends within a second, on every rank at once.

In: the parts of a rank's share and what to do with each, and whether this rank was asked to stop. Out: the work done,
or `EvaluationStoppedError` on all ranks. They agree about four times a second, after as many parts as the first rank
does in that time, so that an exchange costs next to nothing. Within a part, which takes seconds on a slow machine, each
module of the model looks for itself, so a rank that was asked comes to the next agreement soon.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from trainer.process.ranks import Ranks

LOOK_SECONDS = 0.25
T = TypeVar("T")


class EvaluationStoppedError(Exception):
    """A request to stop came while a model was scored; what was scored so far is dropped."""


class Each(Protocol):
    """What does some work for each part of a share."""

    def __call__(self, share: Sequence[T], work: Callable[[T], object], /) -> None: ...


def each_in_turn(share: Sequence[T], work: Callable[[T], object], /) -> None:
    """Do the work for each part, whatever comes."""
    for part in share:
        work(part)


class Interruption:
    """When the ranks of an evaluation give up together. `asked` says whether this rank was asked to."""

    def __init__(self, ranks: Ranks, asked: Callable[[], bool]) -> None:
        self._ranks, self._asked = ranks, asked

    def each(self, share: Sequence[T], work: Callable[[T], object], /) -> None:
        """Do the work for each part of this rank's share; all ranks have to come here, with shares of any size.

        Raises `EvaluationStoppedError` on all ranks once one was asked to stop.
        """
        first, stride = 0, 1
        while True:
            started = time.monotonic()
            with contextlib.suppress(EvaluationStoppedError):
                for part in share[first : first + stride]:
                    work(part)
            first += stride
            seconds = max(time.monotonic() - started, 1e-6)
            wanted = max(1, min(2 * stride, round(stride * LOOK_SECONDS / seconds)))
            values = [self._asked(), max(0, len(share) - first), wanted if self._ranks.is_first else 0]
            asked, left, stride = map(int, self._ranks.sum(values))
            if asked:
                raise EvaluationStoppedError
            if not left:
                return

    @contextlib.contextmanager
    def within(self, model: Any) -> Iterator[None]:
        """Have the modules of `model` raise `EvaluationStoppedError` as soon as this rank is asked to stop."""

        def look(*_: object) -> None:
            if self._asked():
                raise EvaluationStoppedError

        hooks = [module.register_forward_pre_hook(look) for module in model.modules()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
