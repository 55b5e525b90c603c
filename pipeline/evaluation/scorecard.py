"""One table of everything scored: this model, chance, compressors, earlier models and published baselines.

In: the folders of the suites' results, those of earlier models, and the lineage of all that was read. Out:
`scorecard.json`. Each comparison says whether it is within noise: the difference is at most two standard errors of it.
Errors of two models on the very same items are taken as independent, which overstates the noise; so "beyond noise"
is safe to say. Bits per byte is compared with an earlier model only on the very same held-out text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipeline.errors import EvaluationError
from pipeline.evaluation.baselines import Baselines, read_baselines
from pipeline.evaluation.results import Score, SuiteResult, read_result, rounded_values

SCORECARD_VERSION: Final = "1"
SCORECARD_FILE: Final = "scorecard.json"
STANDARD_ERRORS: Final = 2.0
"""A difference beyond so many standard errors of it is not noise (about 95% of chance differences are within)."""


@dataclass(frozen=True)
class Comparison:
    """Another number for the same thing."""

    name: str
    kind: str
    """`chance`, `compressor`, `published` or `earlier`."""
    value: float
    better: bool
    """This model is better, whether or not by more than noise."""
    within_noise: bool | None
    """None where no standard error is known on either side, or the number was taken in another way."""
    stderr: float | None = None
    source: str = ""
    comparable: bool = True


@dataclass(frozen=True)
class Row:
    """One score and what stands beside it."""

    suite: str
    task: str
    metric: str
    value: float
    stderr: float | None
    count: int
    higher_is_better: bool
    shots: int | None = None
    version: str | None = None
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Scorecard:
    """All rows, in the profile's order of suites, and where everything came from."""

    content_hash: str
    rows: tuple[Row, ...]
    lineage: Mapping[str, Any]
    model: Mapping[str, Any] = field(default_factory=dict)
    """Facts about the run, such as its `summary.json`."""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


def build_scorecard(
    suites: Mapping[str, Path],
    lineage: Mapping[str, Any],
    out: Path,
    *,
    earlier: Mapping[str, Mapping[str, Path]] | None = None,
    model: Mapping[str, Any] | None = None,
    baselines: Baselines | None = None,
) -> Scorecard:
    """Put all scores beside what they compare with; write `scorecard.json`.

    Args:
        suites: folder of each suite's result, by name.
        lineage: fingerprints and content hashes of everything read, as the store knows them; kept as it is.
        earlier: for each earlier model, a name people know it by and the folders of its suites' results.
        model: facts about the model, kept as they are.

    Raises:
        EvaluationError: a suite's scores cannot be read.
    """
    start = time.monotonic()
    baselines = baselines or read_baselines()
    results = {name: read_result(folder) for name, folder in suites.items()}
    before = {
        label: {name: read_result(folder) for name, folder in folders.items() if name in suites}
        for label, folders in (earlier or {}).items()
    }
    rows = [
        Row(
            suite=name,
            task=score.task,
            metric=score.metric,
            value=score.value,
            stderr=score.stderr,
            count=score.count,
            higher_is_better=score.higher_is_better,
            shots=score.shots,
            version=score.version,
            comparisons=tuple(_comparisons(name, score, result, before, baselines)),
        )
        for name, result in results.items()
        for score in result.scores
    ]
    notes = tuple(f"{task}: {note}" for result in results.values() for task, note in _notes(result))
    body = {
        "format": 1,
        "rows": [dataclasses.asdict(row) for row in rows],
        "model": dict(model or {}),
        "lineage": dict(lineage),
        "notes": list(notes),
    }
    temporary = out / f"{SCORECARD_FILE}.tmp"
    temporary.write_text(json.dumps(body, indent=1, ensure_ascii=False, sort_keys=True), encoding="utf-8")
    temporary.replace(out / SCORECARD_FILE)
    hashed = json.dumps(rounded_values(body), ensure_ascii=False, sort_keys=True).encode("utf-8")
    return Scorecard(
        content_hash=hashlib.sha256(hashed).hexdigest(),
        rows=tuple(rows),
        lineage=lineage,
        model=model or {},
        notes=notes,
        seconds=time.monotonic() - start,
    )


def read_scorecard(folder: Path) -> Scorecard:
    """A finished scorecard again. Raises EvaluationError naming the file when it cannot be read."""
    path = folder / SCORECARD_FILE
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        rows = tuple(
            Row(**{**row, "comparisons": tuple(Comparison(**item) for item in row["comparisons"])})
            for row in body["rows"]
        )
        digest = hashlib.sha256(json.dumps(rounded_values(body), ensure_ascii=False, sort_keys=True).encode("utf-8"))
        return Scorecard(digest.hexdigest(), rows, body["lineage"], body["model"], tuple(body["notes"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{path}: not a scorecard ({error}); materialize scorecard again") from error


def within_noise(difference: float, *errors: float | None) -> bool | None:
    """Whether a difference is at most two standard errors of it; None where no error is known."""
    known = [error for error in errors if error is not None]
    return abs(difference) <= STANDARD_ERRORS * math.hypot(*known) if known else None


def _comparisons(
    suite: str,
    score: Score,
    result: SuiteResult,
    earlier: Mapping[str, Mapping[str, SuiteResult]],
    baselines: Baselines,
) -> Iterator[Comparison]:
    chance = baselines.chance.get(score.task)
    if chance is not None and score.metric in ("acc", "acc_norm"):
        yield _against(score, "guessing", "chance", chance)
    if result.kind == "bits_per_byte":
        row = _text_row(result, score.task)
        for name, value in row.get("compressors", {}).items():
            yield _against(score, COMPRESSOR_NAMES[name], "compressor", value)
    for label, results in earlier.items():
        if suite not in results or not same_text(result, results[suite], score.task):
            continue
        for other in results[suite].scores:
            if (other.name, other.version, other.count, other.shots) == (
                *(score.name, score.version, score.count, score.shots),
            ):
                yield _against(score, label, "earlier", other.value, stderr=other.stderr)
    for item in baselines.of(score.task, score.metric):
        yield _against(
            *(score, item.model, "published", item.value),
            stderr=item.stderr,
            source=item.source,
            comparable=item.comparable,
        )


COMPRESSOR_NAMES: Final = {
    "gzip": "gzip -9",
    "xz": "xz -9e",
    "zstd": "zstd -19",
    "xz_primed": "xz -9e after training text",
    "zstd_primed": "zstd -19 after training text",
}


def _against(
    score: Score,
    name: str,
    kind: str,
    value: float,
    *,
    stderr: float | None = None,
    source: str = "",
    comparable: bool = True,
) -> Comparison:
    difference = score.value - value
    return Comparison(
        name=name,
        kind=kind,
        value=value,
        better=difference > 0 if score.higher_is_better else difference < 0,
        within_noise=within_noise(difference, score.stderr, stderr) if comparable else None,
        stderr=stderr,
        source=source,
        comparable=comparable,
    )


def _text_row(result: SuiteResult, task: str) -> Mapping[str, Any]:
    return next((row for row in result.details.get("rows", []) if row["name"] == task), {})


def same_text(result: SuiteResult, other: SuiteResult, task: str) -> bool:
    """Whether two results of bits per byte are about the same text; other kinds always are."""
    if result.kind != "bits_per_byte":
        return True
    return bool(_text_row(result, task).get("text_hash") == _text_row(other, task).get("text_hash"))


def _notes(result: SuiteResult) -> Iterator[tuple[str, str]]:
    notes = result.details.get("notes", {})
    if isinstance(notes, Mapping):
        yield from notes.items()
    else:
        for note in notes:
            yield result.kind.replace("_", " "), note
