"""What the terminal is spared: warnings about how Dagster is used, and tracebacks of mistakes that have a sentence."""

from __future__ import annotations

import sys
import warnings
from types import TracebackType

import dagster as dg

from pipeline.base.errors import SqueezeError
from trainer.errors import TrainerError


def spare_the_terminal() -> None:
    """In this process: leave out warnings that only concern who writes assets, and end a command that cannot go on
    with the project's own sentence alone."""
    for category in (dg.BetaWarning, dg.PreviewWarning, dg.SupersessionWarning):
        warnings.filterwarnings("ignore", category=category)
    before = sys.excepthook
    if getattr(before, "spares_the_terminal", False):
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, (SqueezeError, TrainerError)):
            print(f"error: {error}", file=sys.stderr)
        else:
            before(kind, error, trace)

    hook.spares_the_terminal = True  # type: ignore[attr-defined]
    sys.excepthook = hook
