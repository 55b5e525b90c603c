"""Whether a run ends before its last step: by a signal, or because its time is up. All ranks agree on it each step."""

from __future__ import annotations

from trainer.process.ranks import Ranks
from trainer.process.signals import StopRequest
from trainer.run.figures.summary import End


class Ending:
    """The requests to stop and the time limit of one process."""

    def __init__(self, stop: StopRequest, max_minutes: float | None, ranks: Ranks) -> None:
        self._stop, self._ranks = stop, ranks
        self._most_seconds = None if max_minutes is None else max_minutes * 60
        self.time_gone = 0.0
        """The share of the time limit that has passed by the first rank's clock; 0 without a limit."""

    def look_at_clock(self, seconds: float) -> None:
        """Take in how long the run has lasted, over all resumptions."""
        (self.time_gone,) = self._ranks.sum([self._share(seconds)])

    def due(self, seconds: float, *, last: bool) -> End | None:
        """How the run ends here, `seconds` after its begin; a signal during the `last` step comes too late."""
        asked, self.time_gone = self._ranks.sum([bool(self._stop), self._share(seconds)])  # one wait a step, for both
        if asked and not last:
            return "interrupted"
        return "time_limit" if self.time_gone >= 1 else None

    def _share(self, seconds: float) -> float:
        """The share of the limit that has passed; the first rank's counts, so the others add nothing to it."""
        if self._most_seconds is None or not self._ranks.is_first:
            return 0.0
        return seconds / self._most_seconds
