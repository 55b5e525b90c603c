"""What preflight found: a line for each thing looked at, as data that the log, the command and Dagster show alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.base.errors import SqueezeError

Verdict = Literal["ok", "note", "refused"]


class PreflightError(SqueezeError):
    """What a run needs and cannot have; every refusal at once."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    """What, in a word or two."""
    verdict: Verdict
    """`note`: the run goes on, and somebody should know."""
    text: str
    """What was found, and for a refusal what to set."""


def refusal(findings: Sequence[Finding]) -> PreflightError | None:
    """The refusals as one error; none where there are none."""
    refused = [finding for finding in findings if finding.verdict == "refused"]
    if not refused:
        return None
    if len(refused) == 1:
        return PreflightError(f"preflight: {refused[0].text}")
    lines = "\n".join(f"  {finding.check}: {finding.text}" for finding in refused)
    return PreflightError(f"preflight: {len(refused)} things stand in the way:\n{lines}")
