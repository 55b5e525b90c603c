"""The record of an entry: what its heats found, and what they were made from, in one JSON file beside its profile.

In: the store's heats of an entry. Out: a `Record`, from which the board is made and which `check` holds against the
profile. It names every heat by its fingerprint, and its inputs by the hashes of their contents.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import StudyError
from pipeline.base.files import write_json
from pipeline.store import Store
from pipeline.study.data import FINAL, HeldoutSummary
from pipeline.study.plan import StudyPlan
from pipeline.study.race.heat import HEAT_VERSION, Heat, heat_identity, heat_inputs, heat_key, race_of
from pipeline.study.runs.seeds import HELDOUT
from trainer.records import read_record

FORMAT: Final = 1
_CURE: Final = "write it again with `squeeze race enter`"


@dataclass(frozen=True)
class HeatRecord:
    """One heat of an entry."""

    fingerprint: str
    inputs: dict[str, str]
    """Content hashes by key."""
    at: str
    """UTC time of its end."""
    heat: Heat


@dataclass(frozen=True)
class Record:
    """All heats of an entry."""

    format: int
    entry: str
    """The profile's name."""
    machine: str
    """In the words of whoever raced, or the system's."""
    commit: str | None
    """Of this project's code."""
    libraries: dict[str, str]
    heldout_bytes: dict[str, int]
    """UTF-8 bytes of the held-out sample by corpus."""
    heats: list[HeatRecord]


def record_of(plan: StudyPlan, store: Store, name: str, machine: str = "") -> Record:
    """What the store has of an entry. Raises StudyError where a heat has not been run."""
    _, _, entry = race_of(plan)
    artifacts = []
    for seed in entry.seeds:
        artifact = store.find_fresh(
            heat_key(seed),
            code_version=HEAT_VERSION,
            identity=heat_identity(plan, seed),
            inputs=heat_inputs(plan, seed),
        )
        if artifact is None:
            raise StudyError(
                f"{name}: seed {seed} has not been raced with these settings: run `squeeze race run` with its profile"
            )
        artifacts.append(artifact)
    built = artifacts[0].manifest.built
    sizes = store.input_of(artifacts[0], HELDOUT).summary_as(HeldoutSummary).bytes[FINAL]
    heats = [
        HeatRecord(
            item.fingerprint,
            {label: used.content_hash for label, used in item.manifest.inputs.items()},
            item.manifest.built.at,
            item.summary_as(Heat),
        )
        for item in artifacts
    ]
    return Record(FORMAT, name, machine or built.platform, built.git_commit, dict(built.libraries), dict(sizes), heats)


def write_record(record: Record, path: Path) -> None:
    """As JSON."""
    write_json(path, dataclasses.asdict(record))


def read_entry_record(path: Path) -> Record:
    """What `write_record` wrote. Raises StudyError for anything else."""
    record = read_record(path, Record, StudyError, what="the record of an entry", cure=_CURE)
    if record.format != FORMAT:
        raise StudyError(f"{path}: a record of format {record.format}, not {FORMAT}; {_CURE}")
    if not record.heats:
        raise StudyError(f"{path}: a record without heats; {_CURE}")
    return record


def hashes_of(record: Record) -> Mapping[str, Any]:
    """Content hashes of all inputs of all heats, by key. Raises StudyError where two heats had different ones."""
    found: dict[str, str] = {}
    for item in record.heats:
        for key, value in item.inputs.items():
            if found.setdefault(key, value) != value:
                raise StudyError(f"seeds were raced on different contents of {key}")
    return found
