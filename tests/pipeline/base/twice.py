"""An executor that holds parts to their contract: each runs twice at once, on arguments that it must not change."""

from __future__ import annotations

import dataclasses
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pipeline.base.executor import Processes, Shared

R = TypeVar("R")
PATIENCE = 60.0
"""Seconds in which the other attempt must begin."""


class Twice(Processes):
    """Two processes run each task, both from the same moment on; what need not come in order comes backwards."""

    def __init__(self) -> None:
        super().__init__(2)
        self.tasks: list[str] = []
        """The function of every task that ran, by name."""

    def map(
        self,
        function: Callable[..., R],
        tasks: Sequence[tuple[Any, ...]],
        *,
        ordered: bool = True,
        worth: bool = True,
        most_at_once: int | None = None,
    ) -> Iterator[R]:
        name = getattr(function, "__name__", str(function))
        for task in tasks if ordered else reversed(tasks):
            with tempfile.TemporaryDirectory() as meeting:
                attempts = [(function, task, Path(meeting), number) for number in range(2)]
                one, other = super().map(attempt, attempts)
            assert pickle.dumps(one) == pickle.dumps(other), f"{name} returned two results"
            self.tasks.append(name)
            yield one


def attempt(function: Callable[..., R], arguments: tuple[Any, ...], meeting: Path, number: int) -> R:
    """What the function returns, called when the other attempt is there; its arguments' arrays cannot be written."""
    freeze(arguments)
    before = pickle.dumps(arguments)
    (meeting / str(number)).touch()
    deadline = time.monotonic() + PATIENCE
    while len(list(meeting.iterdir())) < 2:
        assert time.monotonic() < deadline, "the other attempt did not begin"
        time.sleep(0.001)
    result = function(*arguments)
    assert pickle.dumps(arguments) == before, f"{function} changed its arguments"
    return result


def freeze(value: object) -> None:
    """Make every array in a value read-only: those of tuples, lists, mappings, dataclasses and shared values too."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif isinstance(value, Mapping):
        freeze(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            freeze(item)
    elif isinstance(value, Shared):
        freeze(value.value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        freeze([getattr(value, field.name) for field in dataclasses.fields(value)])
