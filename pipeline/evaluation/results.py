"""What every suite hands back: scores with their standard errors, in one shape, and where their items are kept.

A score is small enough to show in a table, to compare with another model's and to fingerprint. The content hash of a
suite covers its scores, rounded to six significant digits, and nothing that depends on the machine (times, threads).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipeline.base.canonical import text_hash
from pipeline.base.errors import EvaluationError
from pipeline.base.files import write_text

SCORES_FILE: Final = "scores.json"
FORMAT: Final = 1


@dataclass(frozen=True)
class Score:
    """One number about a model."""

    task: str
    """A task of lm-eval, or what was scored, such as a corpus."""
    metric: str
    value: float
    stderr: float | None = None
    """One standard error, in the value's unit; none where there is no honest one."""
    count: int = 0
    """Items, documents or windows behind it."""
    higher_is_better: bool = True
    version: str | None = None
    """The task's version, as lm-eval counts it."""
    shots: int | None = None

    @property
    def name(self) -> str:
        """Task and metric, unique within a suite."""
        return f"{self.task}/{self.metric}"


@dataclass(frozen=True)
class SuiteResult:
    """A suite's scores, further tables for people, and how long it took."""

    content_hash: str
    kind: str
    scores: tuple[Score, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
    """Tables and curves as plain JSON values, by kind of suite."""
    seconds: float = 0.0


def finish(
    out: Path,
    kind: str,
    scores: Sequence[Score],
    details: Mapping[str, Any],
    *,
    seconds: float,
    files: Sequence[str] = (),
) -> SuiteResult:
    """Write `scores.json` into `out`, give the suite's result. Raises EvaluationError on a score that is not finite."""
    for score in scores:
        if not math.isfinite(score.value):
            raise EvaluationError(
                f"{score.name} came out as {score.value}: the model's logits are not finite, so its training diverged "
                "or its weights are damaged; look at metrics.jsonl of the run"
            )
    body = {
        "format": FORMAT,
        "kind": kind,
        "scores": [dataclasses.asdict(score) for score in scores],
        "details": details,
        "files": list(files),
    }
    write_text(out / SCORES_FILE, json.dumps(body, indent=1, ensure_ascii=False, sort_keys=True))
    return SuiteResult(
        content_hash=rounded_hash(body),
        kind=kind,
        scores=tuple(scores),
        details=details,
        seconds=seconds,
    )


def read_result(folder: Path) -> SuiteResult:
    """A finished suite's folder again. Raises EvaluationError naming the file when it cannot be read."""
    path = folder / SCORES_FILE
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        scores = tuple(Score(**item) for item in body["scores"])
        kind, details = body["kind"], body["details"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{path}: not a suite's scores ({error}); materialize the suite again") from error
    return SuiteResult(rounded_hash(body), kind, scores, details)


def rounded_hash(body: Any) -> str:
    """SHA-256 of a JSON value with its floats rounded to six significant digits: what the processor's last bits do not
    change."""
    return text_hash(json.dumps(_rounded(body), ensure_ascii=False, sort_keys=True))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
