"""What the terminal is spared: warnings about how Dagster is used, and tracebacks of mistakes that have a sentence."""

from __future__ import annotations

import sys
import warnings
from types import TracebackType
from typing import Final

import dagster as dg

from pipeline.base.errors import SqueezeError
from trainer.errors import TrainerError

_SAY_ENOUGH: Final = (SqueezeError, TrainerError, dg.DagsterInvalidSubsetError, dg.DagsterInvalidConfigError)
"""Errors that name what is wrong with a command, a profile or a run's configuration."""


def spare_the_terminal() -> None:
    """In this process: leave out warnings that only concern who writes assets, and end a command that cannot go on
    with what is wrong alone."""
    for category in (dg.BetaWarning, dg.PreviewWarning, dg.SupersessionWarning):
        warnings.filterwarnings("ignore", category=category)
    before = sys.excepthook
    if getattr(before, "spares_the_terminal", False):
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, _SAY_ENOUGH):
            print(f"error: {error}", file=sys.stderr)
        else:
            before(kind, error, trace)

    hook.spares_the_terminal = True  # type: ignore[attr-defined]
    sys.excepthook = hook
