"""What preflight found: a line for each thing looked at, as data that the log, the command and Dagster show alike."""

from __future__ import annotations

from collections.abc import Container, Sequence
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


def only_if_made(finding: Finding, key: str, may_reuse: Container[str]) -> Finding:
    """The finding; a refusal as a note where the store has an asset of equal settings, which may be all that is needed.

    Whether it is shows when what comes before it is made: content that comes out the same is reused.
    """
    if finding.verdict != "refused" or key not in may_reuse:
        return finding
    text = f"{finding.text} (the store has {key} of these settings; only if it is made anew does this end the run)"
    return Finding(finding.check, "note", text)


def refusal(findings: Sequence[Finding]) -> PreflightError | None:
    """The refusals as one error; none where there are none."""
    refused = [finding for finding in findings if finding.verdict == "refused"]
    if not refused:
        return None
    if len(refused) == 1:
        return PreflightError(f"preflight: {refused[0].text}")
    lines = "\n".join(f"  {finding.check}: {finding.text}" for finding in refused)
    return PreflightError(f"preflight: {len(refused)} things stand in the way:\n{lines}")
