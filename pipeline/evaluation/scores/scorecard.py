"""One table of everything scored: this model, chance, compressors, earlier models and published baselines.

In: the folders of the suites' results, those of earlier models, and the lineage of all that was read. Out:
`scorecard.json`. Each comparison (`comparisons.py`) says whether it is within noise. An earlier model is compared on
the very same items and held-out text alone, item by item (`paired.py`); for a published number, whose items nobody has,
a difference of at most two standard errors of it is noise.

Which earlier models there are depends on the store and not on this model. They are looked up when the scorecard is
built and named in it by fingerprint, but are neither in its fingerprint nor in its content hash: training another
model rebuilds no scorecard, and the same model has the same one in every store.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import EvaluationError
from pipeline.base.files import write_text
from pipeline.evaluation.results import rounded_hash
from pipeline.evaluation.scores.baselines import read_baselines
from pipeline.evaluation.scores.comparisons import EARLIER, Comparison, Known, chance_of, comparisons
from pipeline.evaluation.scores.paired import Scored
from pipeline.evaluation.scores.tells import Tells, what_it_tells
from pipeline.evaluation.suites.table import read_result
from trainer.records import check, read_json, reason

SCORECARD_VERSION: Final = "6"
SCORECARD_FILE: Final = "scorecard.json"


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
    tells: Tells | None = None
    """What it can tell about a model of this size; none where nothing is known of its noise."""


@dataclass(frozen=True)
class Scorecard:
    """All rows, in the profile's order of suites, and where everything came from."""

    content_hash: str
    rows: tuple[Row, ...]
    lineage: Mapping[str, Any]
    model: Mapping[str, Any] = field(default_factory=dict)
    """Facts about the run, such as its `summary.json`."""
    notes: tuple[str, ...] = ()
    not_possible: Mapping[str, str] = field(default_factory=dict)
    """By suite, why it could not be had where the model was scored."""
    earlier: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint of each earlier model that was looked at, by its name here."""
    seconds: float = 0.0


@dataclass(frozen=True)
class Earlier:
    """A model that was scored before this one."""

    fingerprint: str
    suites: Mapping[str, Path]
    """Folder of each of its suites' results."""


def build_scorecard(
    suites: Mapping[str, Path],
    lineage: Mapping[str, Any],
    out: Path,
    *,
    earlier: Mapping[str, Earlier] | None = None,
    model: Mapping[str, Any] | None = None,
    leave_out_noise: bool = False,
) -> Scorecard:
    """Put all scores beside what they compare with; write `scorecard.json`.

    Args:
        suites: folder of each suite's result, by name.
        lineage: fingerprints and content hashes of everything read, as the store knows them; kept as it is.
        earlier: earlier models by a name people know them by.
        model: facts about the model, kept as they are.
        leave_out_noise: leave out scores that have less signal than noise in models of this size, and say so.

    Raises:
        EvaluationError: a suite's scores cannot be read.
    """
    start = time.monotonic()
    baselines = read_baselines()
    results = {name: Scored(read_result(folder), folder) for name, folder in suites.items()}
    before = {
        label: {name: Scored(read_result(folder), folder) for name, folder in model.suites.items() if name in suites}
        for label, model in (earlier or {}).items()
    }
    parameters = ((model or {}).get("parameters") or {}).get("total")
    rows = []
    for name, scored in results.items():
        for score in scored.result.scores:
            known = Known(name, scored, before, baselines)
            told = what_it_tells(score, parameters, chance_of(score, known))
            rows.append(Row(name, **dataclasses.asdict(score), comparisons=comparisons(score, known), tells=told))
    notes = tuple(f"{task}: {note}" for scored in results.values() for task, note in scored.result.details.remarks())
    noisy = [row for row in rows if row.tells is not None and row.tells.word == "noise"] if leave_out_noise else []
    if noisy:
        rows = [row for row in rows if row not in noisy]
        names = ", ".join(f"{row.task} {row.metric}" for row in noisy)
        notes += (f"left out, since models of this size have less signal than noise in them: {names}",)
    why_not = {name: scored.result.not_possible for name, scored in results.items() if scored.result.not_possible}
    fingerprints = {label: model.fingerprint for label, model in (earlier or {}).items()}
    body = {
        "format": 1,
        "rows": [dataclasses.asdict(row) for row in rows],
        "model": dict(model or {}),
        "lineage": dict(lineage),
        "notes": list(notes),
        "not_possible": why_not,
        "earlier": fingerprints,
    }
    write_text(out / SCORECARD_FILE, json.dumps(body, indent=1, ensure_ascii=False, sort_keys=True))
    return Scorecard(
        content_hash=_content_hash(body),
        rows=tuple(rows),
        lineage=lineage,
        model=model or {},
        notes=notes,
        not_possible=why_not,
        earlier=fingerprints,
        seconds=time.monotonic() - start,
    )


def read_scorecard(folder: Path) -> Scorecard:
    """A finished scorecard again. Raises EvaluationError naming the file when it cannot be read."""
    path = folder / SCORECARD_FILE
    again = "materialize scorecard again"
    body = read_json(path, EvaluationError, what="a scorecard", cure=again)
    try:
        return check(Scorecard, {**body, "content_hash": _content_hash(body)})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{path}: not a scorecard ({reason(error)}); {again}") from error


def _content_hash(body: Mapping[str, Any]) -> str:
    """Of everything that follows from the model and its suites, whatever else is in the store, however long the
    model took to train, and from whatever place its documents were read."""
    rows = [
        {**row, "comparisons": [item for item in row["comparisons"] if item["kind"] != EARLIER]} for row in body["rows"]
    ]
    model = {key: value for key, value in body["model"].items() if key == "content_hash"}
    read = {key: item.get("content_hash") for key, item in body["lineage"].items()}
    return rounded_hash({**body, "rows": rows, "earlier": None, "model": model, "lineage": read})
