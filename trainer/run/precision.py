"""The precision that a run computes in, with what spoke for it; no torch. `ways.py` chooses one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Name = Literal["bf16", "float32"]
NAMES: Final[tuple[Name, ...]] = ("bf16", "float32")
AUTO: Final = "auto"


@dataclass(frozen=True)
class Precision:
    """The precision of a run, with what spoke for it."""

    name: Name
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Of the fastest pass that was tried, by precision, the mean over ranks; empty where none was tried."""

    @property
    def words(self) -> str:
        """Its name for people, with how much faster it is than the other where that was measured."""
        if not self.seconds:
            return self.name
        other = next(seconds for name, seconds in self.seconds.items() if name != self.name)
        return f"{self.name} ({other / self.seconds[self.name]:.2f} times as fast here as the other)"
