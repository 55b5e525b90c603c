"""The record beside every artifact: what it is, what it came from, and the hash of each of its files.

A manifest is written last, so a folder that has one is complete. `summary` holds what the asset's function
found out (counts, tables), kept here so that a reused artifact shows the same in the UI as a fresh one.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pipeline.base.canonical import text_hash
from pipeline.base.errors import DamagedError, StoreError
from trainer.records import check, parse_json

FORMAT: Final = 1
SEAL: Final = "manifest_sha256"
"""Key of the hash over the rest of a manifest, which those of earlier versions lack."""
AGAIN: Final = "put it aside with `squeeze verify --repair`, and build again"


@dataclass(frozen=True)
class Input:
    """An artifact that another was built from, or that part of it whose hash `content_hash` is."""

    key: str
    fingerprint: str
    content_hash: str


@dataclass(frozen=True)
class FileRecord:
    """A file of an artifact: its size in bytes and its hashes, in hexadecimal.

    SHA-256 says what it is; XXH3, which older manifests lack, finds damage at the speed of memory.
    """

    bytes: int
    sha256: str
    xxh3: str | None = None


@dataclass(frozen=True)
class Provenance:
    """How an artifact came to be. It never enters a fingerprint."""

    at: str
    """UTC time of the commit, ISO 8601."""
    seconds: float
    profile: str
    run_id: str | None
    reason: str
    git_commit: str | None
    libraries: Mapping[str, str]
    runtime: Mapping[str, Any]
    platform: str = ""
    """System, processor and Python; empty in manifests of earlier versions."""


@dataclass(frozen=True)
class Manifest:
    """Everything the store knows of one artifact."""

    key: str
    fingerprint: str
    code_version: str
    identity: Mapping[str, Any]
    inputs: Mapping[str, Input]
    content_hash: str
    files: Mapping[str, FileRecord]
    summary: Mapping[str, Any]
    built: Provenance
    format: int = field(default=FORMAT)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(record.bytes for record in self.files.values())

    def to_json(self) -> str:
        """Its text, which holds the SHA-256 of all the rest: a flipped bit anywhere in it is found."""
        record = dataclasses.asdict(self)
        return json.dumps(record | {SEAL: _seal(record)}, indent=1, ensure_ascii=False)

    @classmethod
    def parse(cls, text: str, where: str) -> Manifest:
        """Read a manifest's text; `where` says for people whose it is.

        Raises DamagedError when it is not as it was written, StoreError when it is of a newer format.
        """
        try:
            raw = parse_json(text)
        except ValueError as error:
            raise DamagedError(f"{where}: this manifest cannot be read ({error}); {AGAIN}") from error
        seal = raw.pop(SEAL, None) if isinstance(raw, dict) else None
        version = raw.get("format") if isinstance(raw, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise StoreError(
                f"{where}: written by a newer version of squeeze (format {version}; this one reads up to {FORMAT}); "
                "upgrade squeeze-gpt, or point SQUEEZE_HOME at another folder"
            )
        if seal is not None and seal != _seal(raw):
            raise DamagedError(f"{where}: this manifest is damaged (its hash differs); {AGAIN}")
        try:
            manifest = check(cls, raw)
            _require_places_and_times(manifest)
        except ValueError as error:
            raise DamagedError(f"{where}: not a manifest of this store ({error}); {AGAIN}") from error
        return manifest


def _require_places_and_times(manifest: Manifest) -> None:
    """Raise ValueError for values of the right types that no manifest has, as one without a hash of its own may."""
    for name in manifest.files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"the file {name!r} is outside of it")
    if datetime.fromisoformat(manifest.built.at).tzinfo is None:
        raise ValueError("built.at has no time zone")


def _seal(record: Mapping[str, Any]) -> str:
    return text_hash(json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
