"""What a quality filter is: thresholds over stored signals, and the rules that they make.

In: the signals of some documents, a column each. Out: a rule for each threshold that is set, with the documents that
break it. A filter reads no text, so changing a threshold rebuilds nothing but row ids. A filter is a file here with one
class, whose fields are the keys of a profile; `Filters` in `filters.py` is where it becomes known.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, NamedTuple, TypeAlias

import numpy as np
from pydantic import Field

from pipeline.base.settings import Settings

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Ratio = Annotated[float, Field(ge=0.0)]
Signals: TypeAlias = Mapping[str, np.ndarray]
"""The columns `lang`, `bytes` and those of `SIGNAL_FIELDS`, by name, of N documents."""


class Rule(NamedTuple):
    """One threshold over N documents."""

    name: str
    """As the waterfall shows it."""
    broken: np.ndarray
    """bool [N]"""
    judged: np.ndarray
    """The N values that the rule looked at."""


class Filter(Settings):
    """Thresholds of one publication, or for one purpose; None leaves a rule out."""

    @abstractmethod
    def rules(self, signals: Signals) -> Iterator[Rule]:
        """Every rule that is on, in the order in which a document is judged by them."""


def bounds(
    signals: Signals,
    name: str,
    *,
    least: float | None = None,
    most: float | None = None,
    label: str = "",
    called: str = "",
) -> Iterator[Rule]:
    """The rules "at least" and "at most" of the signal `name`; NaN breaks neither.

    label: what the rules' names begin with; called: what they call the signal, its name by default.
    """
    called = called or name.replace("_", " ")
    counted = called in ("words", "sentences")
    if least is not None:
        too_low = f"{label}too few {called}" if counted else f"{label}{called} too low"
        yield Rule(too_low, signals[name] < least, signals[name])
    if most is not None:
        too_high = f"{label}too many {called}" if counted else f"{label}{called} too high"
        yield Rule(too_high, signals[name] > most, signals[name])
