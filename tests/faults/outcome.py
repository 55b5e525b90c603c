"""What came of the faults of a session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """A fault counts as injected once it struck; one whose run had ended before is counted apart."""

    trials: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    """How runs in trouble ended, by the error's class, the exit status or the signal."""
    bytes_lost: int = 0
    wrong: list[str] = field(default_factory=list)
    """A line for each trial that was not survived, with what repeats it."""
    skipped: set[str] = field(default_factory=set)
    """Kinds that this machine cannot do, and why."""

    def note(
        self, ground: str, kind: str, seed: int, *, struck: int, ended: Sequence[str], problems: Sequence[str]
    ) -> None:
        """A trial is over. struck: how many faults did; ended: how each disturbed run ended."""
        self.trials += 1
        self.injected[f"{ground}: {kind}"] += struck
        self.missed[f"{ground}: {kind}"] += len(ended) - struck
        self.said.update(ended)
        if problems:
            again = f"run --of {ground} --seed {seed} --most 1"
            self.wrong.append(f"{again} ({kind}): {'; '.join(problems)}")

    def __str__(self) -> str:
        total, failed = self.injected.total(), len(self.wrong)
        lines = [
            f"{total} faults injected, {self.bytes_lost:,} bytes lost, {failed} trials wrong of {self.trials}; "
            f"{self.missed.total()} more faults came after the end of their run",
            "  injected: " + ", ".join(f"{name} {count}" for name, count in sorted(self.injected.items())),
            "  runs ended: " + ", ".join(f"{name} {count}" for name, count in self.said.most_common()),
            *(f"  skipped: {line}" for line in sorted(self.skipped)),
            *(f"  {line}" for line in self.wrong),
        ]
        return "\n".join(lines)
